"""Own data, made ready."""

import json
import re
import shutil

import pytest
from PIL import Image

from helpers.own_people import JOINTS, LINKS, write_json
from prtr_plugin.apis import check_annotations, check_data
from prtr_plugin.datasets import find_splits, prepare_data
from prtr_plugin.datasets.own_data import unmended_findings


@pytest.fixture
def content(own_people):
    return json.loads((own_people / 'annotations/labels.json').read_text())


@pytest.fixture
def write(own_people, tmp_path):
    """Writes annotation files beside the pictures of `own_people`."""

    def run(**files):
        (tmp_path / 'data').mkdir()
        (tmp_path / 'data/images').symlink_to(own_people / 'images')
        for name, content in files.items():
            write_json(tmp_path / f'data/annotations/{name}.json', content)
        return tmp_path / 'data'

    return run


def read(part):
    return json.loads(part.ann_file.read_text())


def test_split(own_people, content, tmp_path):
    own = prepare_data(own_people, tmp_path)
    train, val = read(own.train), read(own.val)
    assert own.val.num_images == 2 and own.train.num_images == 8
    ids = [{image['id'] for image in part['images']} for part in (train, val)]
    assert ids[0].isdisjoint(ids[1])
    assert ids[0] | ids[1] == {image['id'] for image in content['images']}
    for part, known in zip((train, val), ids):
        assert {person['image_id'] for person in part['annotations']} <= known
    both = train['annotations'] + val['annotations']
    assert sorted(p['id'] for p in both) == sorted(p['id'] for p in content['annotations'])
    # by the seed
    assert read(prepare_data(own_people, tmp_path / 'a').val) == val
    assert read(prepare_data(own_people, tmp_path / 'b', seed=3).val) != val


def test_joints(own_people, tmp_path):
    own = prepare_data(own_people, tmp_path)
    joints = own.dataset_info['keypoint_info']
    assert [joints[k]['name'] for k in range(5)] == JOINTS
    assert joints[1]['swap'] == 'right_wrist' and joints[0]['swap'] == '' and own.flip
    links = [info['link'] for info in own.dataset_info['skeleton_info'].values()]
    assert links == [tuple(JOINTS[k - 1] for k in link) for link in LINKS]
    assert own.name == 'people5'


def test_complete_files_stay_where_they_are(content, write, tmp_path):
    own = prepare_data(write(train=content, val=content), tmp_path / 'out')
    assert own.train.ann_file.parent.parent.name == 'data' and not (tmp_path / 'out').exists()
    assert own.notes == []


def test_what_is_missing_is_filled_in(content, write, tmp_path):
    expected = json.loads(json.dumps(content))
    for person in content['annotations']:
        for key in ('area', 'num_keypoints', 'iscrowd'):
            del person[key]
        person['category_id'] = 7
    box = content['annotations'][0].pop('bbox')
    content['images'][0].update(width=0, height=0)
    content['categories'] = [
        dict(id=0, name='things'),
        dict(content['categories'][0], id=7, name='dancer'),
    ]
    own = prepare_data(write(train=content, val=content), tmp_path / 'out')
    made = read(own.train)
    for ours, theirs in zip(made['annotations'], expected['annotations']):
        assert ours['num_keypoints'] == theirs['num_keypoints'] and ours['iscrowd'] == 0
        assert ours['area'] == pytest.approx(0.53 * ours['bbox'][2] * ours['bbox'][3])
        assert ours['category_id'] == 1
    assert made['categories'] == [dict(expected['categories'][0], id=1, name='dancer')]
    assert made['images'] == expected['images']
    # the box around the joints is near the whole person
    x, y, w, h = made['annotations'][0]['bbox']
    assert box[0] - 20 < x < box[0] + 40 and 0.4 * box[3] < h < 1.5 * box[3] and w > 0 and y > -20
    assert any('area' in note and 'size 1 times' in note for note in own.notes)


def test_zeros_and_empty_lists_are_filled_in(content, write, tmp_path):
    first, second, third, fourth = content['annotations'][:4]
    fourth.update(bbox=[0, 0, 0, 0], area=1234)
    width, height = content['images'][0]['width'], content['images'][0]['height']
    first.update(bbox=[0, 0, 0, 0], area=0)
    second.update(keypoints=[])
    third.update(bbox=None, area=None, num_keypoints=1, keypoints=[50, 40, 2] + [0] * 12)
    data = write(train=content, val=content)
    made = read(prepare_data(data, tmp_path / 'out').train)['annotations']
    assert made[0]['area'] == pytest.approx(0.53 * made[0]['bbox'][2] * made[0]['bbox'][3])
    assert made[0]['area'] > 0 and made[1]['keypoints'] == [0] * 15
    margin = 0.05 * max(width, height)
    assert made[3]['bbox'] != [0, 0, 0, 0] and made[3]['area'] == 1234
    assert made[2]['bbox'] == [50 - margin, 40 - margin, 2 * margin, 2 * margin]
    # and training takes them
    findings = check_annotations(str(prepare_data(data, tmp_path / 'again').train.ann_file))
    assert not [found for found in findings if found.severity == 'error']


def test_what_is_filled_in_is_no_mistake(content, write):
    """Others are found as before, in the file that they are in."""
    for person in content['annotations']:
        for field in ('id', 'category_id', 'bbox', 'area', 'num_keypoints'):
            del person[field]
    for image in content['images']:
        image.update(width=0, height=None)
    data = write(train=content)
    (split,) = find_splits(data).values()
    assert not unmended_findings(split)
    content['annotations'][1]['keypoints'][2] = 7
    write_json(split.file, content)
    (split,) = find_splits(data).values()
    findings = unmended_findings(split)
    assert {found.file for found in findings} == {str(split.file)}
    assert any(found.field == 'keypoints' and 'visib' in str(found) for found in findings)


def test_turned_photographs(own_people, content, write, tmp_path):
    image = content['images'][0]
    size = image.pop('width'), image.pop('height')
    data = write(train=content, val=content)
    (data / 'images').unlink()
    shutil.copytree(own_people / 'images', data / 'images')
    path = data / 'images' / image['file_name']
    with Image.open(path) as picture:
        exif = picture.getexif()
        exif[274] = 6  # turned by a quarter
        picture.save(path, exif=exif)
    made = read(prepare_data(data, tmp_path / 'out').train)['images'][0]
    assert (made['height'], made['width']) == size


def test_joints_of_the_files_must_be_the_same(content, write, tmp_path):
    other = json.loads(json.dumps(content))
    other['categories'][0]['keypoints'] = [JOINTS[0], *JOINTS[2:0:-1], *JOINTS[3:]]
    spelled = json.loads(json.dumps(content))
    spelled['categories'][0]['keypoints'] = ['Nose', 'L-wrist', 'RightWrist', *JOINTS[3:]]
    own = prepare_data(write(train=content, val=spelled), tmp_path / 'out')
    assert own.dataset_info['keypoint_info'][1]['name'] == 'left_wrist'
    write_json(tmp_path / 'data/annotations/val.json', other)
    message = 'val.json", .*have "right_wrist" as joint 2, but .*train.json" has "left_wrist".*same'
    with pytest.raises(ValueError, match=message):
        prepare_data(tmp_path / 'data', tmp_path / 'out')
    # `prtr check` says the same
    _, (finding,) = check_data(tmp_path / 'data')
    assert re.search(message, str(finding)) and finding.severity == 'error'
    for person in other['annotations']:
        person['keypoints'] += [1, 1, 2]
    other['categories'][0]['keypoints'].append('tail')
    write_json(tmp_path / 'data/annotations/val.json', other)
    *_, finding = check_data(tmp_path / 'data')[1]
    assert finding.problem.startswith('are 6 joints, but') and finding.problem.endswith('has 5')


def test_the_check_names_what_is_mended(content, write):
    del content['images'][0]['width']
    del content['annotations'][1]['bbox']
    rows, findings = check_data(write(train=content))
    assert findings == []
    assert 'train.json": filled in area' not in rows['mended']
    assert 'train.json": filled in bbox 1 times, size 1 times' in rows['mended']


def test_numbers_of_categories_may_differ(content, write, tmp_path):
    other = json.loads(json.dumps(content))
    other['categories'][0]['id'] = 0
    for person in other['annotations']:
        person['category_id'] = 0
    own = prepare_data(write(train=content, val=other), tmp_path / 'out')
    assert own.val.num_people == own.train.num_people
    assert {person['category_id'] for person in read(own.val)['annotations']} == {1}


def test_validation_has_somebody(content, write, tmp_path):
    """Pictures without labelled joints do not count as such."""
    usable = {image['id'] for image in content['images'][:2]}
    for person in content['annotations']:
        if person['image_id'] not in usable:
            person.update(keypoints=[0] * 15, num_keypoints=0)
    data = write(train=content)
    for seed in range(5):
        own = prepare_data(data, tmp_path / str(seed), seed=seed)
        assert own.train.num_people and own.val.num_people
        assert own.train.num_images + own.val.num_images == len(content['images'])


def test_validation_data_alone(content, write, tmp_path):
    data = write(train=content, val=content)
    for image in content['images']:
        image['file_name'] = f'elsewhere_{image["file_name"]}'
    write_json(data / 'annotations/train.json', content)
    own = prepare_data(data, tmp_path / 'out', split=False)
    assert own.train == own.val and own.val.ann_file.name == 'val.json'
    with pytest.raises(FileNotFoundError, match='elsewhere_'):
        prepare_data(data, tmp_path / 'out')
    (data / 'annotations/train.json').unlink()
    shutil.copy(data / 'annotations/val.json', data / 'annotations/test.json')
    assert prepare_data(data, tmp_path / 'out', split=False).val == own.val
    with pytest.raises(ValueError, match='val and test, but none to train on|test and val, but'):
        prepare_data(data, tmp_path / 'out')


def test_other_categories_are_left_out(content, write, tmp_path):
    dog = dict(content['annotations'][0], id=999, category_id=5, keypoints=[1, 2, 2])
    content['annotations'].append(dog)
    content['categories'].append(dict(id=5, name='dog', keypoints=['tail']))
    own = prepare_data(write(train=content, val=content), tmp_path / 'out')
    assert 999 not in {person['id'] for person in read(own.train)['annotations']}
    assert own.notes[0] == '1 annotations are not of the category "person" and left out'


def test_joints_without_names(content, write, tmp_path):
    content['categories'] = [dict(id=1, name='person')]
    own = prepare_data(write(train=content), tmp_path / 'out')
    joints = own.dataset_info['keypoint_info'].values()
    assert [joint['name'] for joint in joints] == [f'joint_{i}' for i in range(1, 6)]
    assert not own.flip


def test_flip(content, write, tmp_path):
    content['categories'][0]['keypoints'] = ['tip', 'left_a', 'right_a', 'left_b', 'b']
    data = write(train=content)
    assert not prepare_data(data, tmp_path / 'a').flip
    assert prepare_data(data, tmp_path / 'b', flip=True).flip
    own = prepare_data(data, tmp_path / 'c', flip={'left_b': 'b', 'left_a': 'right_a'})
    assert own.flip and own.dataset_info['keypoint_info'][4]['swap'] == 'left_b'
    own = prepare_data(data, tmp_path / 'd', flip=False)
    assert not own.flip and own.dataset_info['keypoint_info'][1]['swap'] == ''


def test_errors(content, write, tmp_path):
    one = dict(content, images=content['images'][:1])
    first = content['images'][0]['id']
    one['annotations'] = [p for p in content['annotations'] if p['image_id'] == first]
    with pytest.raises(ValueError, match='labels in one picture only'):
        prepare_data(write(train=one), tmp_path / 'out')


@pytest.mark.parametrize(
    'section, changes, message',
    [
        ('annotations', dict(keypoints=[1, 2, 2]), 'keypoints=.* is not a flat list of 15'),
        ('annotations', dict(keypoints='x'), 'keypoints=x is not a flat list'),
        ('annotations', dict(bbox=5), 'bbox=5 is not a list of four numbers'),
        ('categories', dict(keypoints=5), 'keypoints'),
        ('categories', dict(skeleton=5), 'cannot be read as COCO keypoints'),
        ('categories', dict(skeleton=[[1, 9]]), 'links .* do not fit 5 joints'),
    ],
)
def test_damaged_fields(content, write, tmp_path, section, changes, message):
    content[section][0].update(changes)
    with pytest.raises(ValueError, match=message):
        prepare_data(write(train=content), tmp_path / 'out')


def test_nobody(content, write, tmp_path):
    for person in content['annotations']:
        person.update(keypoints=[0] * 15, num_keypoints=0)
    with pytest.raises(ValueError, match='no person with a box and a labelled joint'):
        prepare_data(write(train=content), tmp_path / 'out')
