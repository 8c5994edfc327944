"""Where label tools put annotations and pictures."""

import json
import shutil

import pytest

from helpers.own_people import write_json
from prtr_plugin.datasets import find_splits


@pytest.fixture
def content(own_people):
    return json.loads((own_people / 'annotations/labels.json').read_text())


def pictures(own_people, folder):
    shutil.copytree(own_people / 'images', folder)


def test_folder_and_file(own_people, content):
    for data in (own_people, own_people / 'annotations/labels.json', str(own_people)):
        (role,) = splits = find_splits(data)
        assert role == 'train' and splits[role].image_dir == own_people / 'images'
        assert splits[role].content == content and not splits[role].changed


def test_coco(own_people, content, tmp_path):
    for split in ('train', 'val'):
        pictures(own_people, tmp_path / f'{split}2017')
        write_json(tmp_path / f'annotations/person_keypoints_{split}2017.json', content)
    write_json(tmp_path / 'annotations/instances_train2017.json', content)
    splits = find_splits(tmp_path)
    assert {role: split.image_dir.name for role, split in splits.items()} == {
        'train': 'train2017',
        'val': 'val2017',
    }
    assert splits['val'].file.name == 'person_keypoints_val2017.json'


def test_roboflow(own_people, content, tmp_path):
    for split in ('train', 'valid', 'test'):
        pictures(own_people, tmp_path / split)
        write_json(tmp_path / split / '_annotations.coco.json', content)
    splits = find_splits(tmp_path)
    assert sorted(splits) == ['test', 'train', 'val']
    assert splits['val'].image_dir == tmp_path / 'valid'


def test_cvat(own_people, content, tmp_path):
    pictures(own_people, tmp_path / 'images/default')
    write_json(tmp_path / 'annotations/person_keypoints_default.json', content)
    (split,) = find_splits(tmp_path).values()
    assert split.image_dir == tmp_path / 'images/default'


def test_label_studio(own_people, content, tmp_path):
    pictures(own_people, tmp_path / 'images')
    for image in content['images']:
        image['file_name'] = 'images\\' + image['file_name']
    write_json(tmp_path / 'result.json', content)
    (split,) = find_splits(tmp_path).values()
    assert split.image_dir == tmp_path and split.changed
    assert split.content['images'][0]['file_name'] == 'images/000000000001.jpg'
    # names with folders of another machine
    for image in content['images']:
        image['file_name'] = 'C:\\upload\\' + image['file_name'].rpartition('\\')[2]
    write_json(tmp_path / 'result.json', content)
    (split,) = find_splits(tmp_path).values()
    assert split.image_dir == tmp_path / 'images'
    assert split.content['images'][0]['file_name'] == '000000000001.jpg'


def test_a_single_file_has_the_pictures_of_its_name(own_people, content, tmp_path):
    for split in ('train', 'val'):
        pictures(own_people, tmp_path / split)
    write_json(tmp_path / 'annotations/val.json', content)
    for data in (tmp_path, tmp_path / 'annotations/val.json'):
        (split,) = find_splits(data).values()
        assert split.image_dir == tmp_path / 'val'


def test_folders_that_tell_pictures_apart(own_people, content, tmp_path):
    """Of a path of another machine as much is kept as there is here."""
    names = [image['file_name'] for image in content['images']]
    for i, camera in enumerate(('cam1', 'cam2')):
        (tmp_path / 'images' / camera).mkdir(parents=True)
        for k, name in enumerate(names[5 * i : 5 * i + 5]):
            shutil.copy(own_people / 'images' / name, tmp_path / f'images/{camera}/{k}.jpg')
    for k, image in enumerate(content['images']):
        image['file_name'] = f'C:\\project\\cam{k // 5 + 1}\\{k % 5}.jpg'
    write_json(tmp_path / 'labels.json', content)
    (split,) = find_splits(tmp_path).values()
    assert split.image_dir == tmp_path / 'images'
    assert [image['file_name'] for image in split.content['images'][4:6]] == [
        'cam1/4.jpg',
        'cam2/0.jpg',
    ]
    shutil.rmtree(tmp_path / 'images/cam2')
    with pytest.raises(FileNotFoundError, match='names the picture "C:/project/cam2/0.jpg"'):
        find_splits(tmp_path)


def test_pictures_beside_others_of_the_same_names(own_people, content, tmp_path):
    for name in ('depth', 'images', 'masks'):
        pictures(own_people, tmp_path / name)
    write_json(tmp_path / 'labels.json', content)
    (split,) = find_splits(tmp_path).values()
    assert split.image_dir == tmp_path / 'images'
    (tmp_path / 'images').rename(tmp_path / 'rgb')
    with pytest.raises(ValueError, match='in several folders: .*depth, .*masks, .*called "images"'):
        find_splits(tmp_path)
    # the remedy that leaves them where they are
    with pytest.raises(ValueError, match=r'as in "depth/\S+jpg"'):
        find_splits(tmp_path)
    for image in content['images']:
        image['file_name'] = f'rgb/{image["file_name"]}'
    write_json(tmp_path / 'labels.json', content)
    assert find_splits(tmp_path)['train'].image_dir == tmp_path


def test_copies_below_the_pictures(own_people, content, tmp_path):
    for name in ('pictures', 'pictures/thumbs', '.cache'):
        pictures(own_people, tmp_path / name)
    (tmp_path / 'all').symlink_to(tmp_path / 'pictures')
    write_json(tmp_path / 'annotations/labels.json', content)
    (split,) = find_splits(tmp_path).values()
    assert split.image_dir.resolve() == tmp_path / 'pictures'


def test_a_few_pictures_are_missing(own_people, content, tmp_path):
    pictures(own_people, tmp_path / 'images')
    names = [image['file_name'] for image in content['images']]
    for image in content['images']:
        image['file_name'] = f'C:\\upload\\{image["file_name"]}'
    write_json(tmp_path / 'labels.json', content)
    (tmp_path / 'images' / names[4]).unlink()
    (split,) = find_splits(tmp_path).values()
    assert [image['file_name'] for image in split.content['images']] == names
    for name in names[6:]:
        (tmp_path / 'images' / name).unlink()
    with pytest.raises(FileNotFoundError, match=f'names the picture "C:/upload/{names[4]}"'):
        find_splits(tmp_path)


@pytest.mark.parametrize(
    'files, message',
    [
        ({}, 'no annotation file in COCO'),
        ({'notes.json': []}, 'no annotation file in COCO'),
        ({'a_keypoints.json': 'x'}, 'has no list "images"'),
        ({'a_keypoints.json': dict(images=[1], annotations=[], categories=[])}, r'images\[0\]'),
        ({'val/keypoints.json': None, 'test/keypoints.json': None}, 'none to train on'),
        ({'a/keypoints.json': None, 'b/keypoints.json': None}, 'several annotation files'),
        ({'keypoints.json': None}, 'names the picture "000000000001.jpg", which is in no folder'),
    ],
)
def test_errors(content, tmp_path, files, message):
    for name, text in files.items():
        write_json(tmp_path / name, content if text is None else text)
    with pytest.raises((FileNotFoundError, ValueError), match=message):
        find_splits(tmp_path)


def test_missing_and_cut_off(tmp_path):
    with pytest.raises(FileNotFoundError, match='does not exist'):
        find_splits(tmp_path / 'nothing')
    (tmp_path / 'keypoints.json').write_text('{"images": [')
    with pytest.raises(ValueError, match='not valid JSON'):
        find_splits(tmp_path)
