"""Every rule for annotation files, files that are legitimate, and files that hold anything."""

import copy
import json
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mmengine.config import Config

from helpers.annotation_mutants import HEIGHT, NAMES, WIDTH, K, good_files
from prtr_plugin.datasets import FileUse, check_annotations, report

COCO = dict(from_file='configs/_base_/datasets/coco.py')
STRICT = FileUse(COCO, keypoints=True, area=True, whole_images=True)
LSPE = Path(__file__).resolve().parents[3] / 'configs/body_2d_keypoint/prtr/_base_/lspe.py'


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('contract')


def check(folder, data, use=STRICT):
    path = folder / 'ann.json'
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return check_annotations(str(path), use)


def errors(findings):
    return [finding for finding in findings if finding.severity == 'error']


@pytest.mark.parametrize('use', [STRICT, FileUse(), FileUse(COCO)])
def test_good_file(folder, use):
    assert check(folder, good_files()[0], use) == []


def test_mostly_boxes_without_joints(folder):
    data = good_files()[0]
    for person in data['annotations'][1:]:
        person.update(keypoints=[], num_keypoints=0)
    assert all(found.field == 'keypoints' for found in errors(check(folder, data, FileUse())))


def change(section, field, value):
    def apply(data):
        row = data[section][1]
        if value is ...:
            del row[field]
        else:
            row[field] = value(row[field]) if callable(value) else value

    return apply


def replace(i, value):
    return lambda values: [*values[:i], value, *values[i + 1 :]]


NAN, INF = float('nan'), float('inf')
# change, (section, id, field), words of the problem; the annotation has id 11, the image id 2
ERRORS = [
    (change('images', 'id', ...), ('images', 1, 'id'), 'is missing'),
    (change('images', 'id', '2'), ('images', '2', 'id'), 'is not an integer'),
    (change('images', 'id', 2.0), ('images', 2.0, 'id'), 'is not an integer'),
    (change('images', 'id', True), ('images', True, 'id'), 'is not an integer'),
    (change('images', 'id', 2**70), ('images', 2**70, 'id'), 'is not an integer'),
    (change('images', 'id', 1), ('images', 1, 'id'), 'is used twice'),
    (change('annotations', 'id', 10), ('annotations', 10, 'id'), 'is used twice'),
    (change('annotations', 'id', -5), ('annotations', -5, 'id'), 'is not an integer'),
    (change('annotations', 'image_id', 77), ('annotations', 11, 'image_id'), 'not an id in "im'),
    (change('annotations', 'image_id', '1'), ('annotations', 11, 'image_id'), 'not an integer'),
    (change('annotations', 'category_id', 7), ('annotations', 11, 'category_id'), 'not an id in'),
    (change('images', 'width', ...), ('images', 2, 'width'), 'is missing'),
    (change('images', 'height', 0), ('images', 2, 'height'), 'is not a positive integer'),
    (change('images', 'width', '160'), ('images', 2, 'width'), 'is not a positive integer'),
    (change('images', 'width', NAN), ('images', 2, 'width'), 'is not a positive integer'),
    (change('images', 'file_name', ...), ('images', 2, 'file_name'), 'is not a name'),
    (change('images', 'file_name', ''), ('images', 2, 'file_name'), 'is not a name'),
    (change('annotations', 'bbox', ...), ('annotations', 11, 'bbox'), 'is missing'),
    (change('annotations', 'bbox', [1, 2, 3]), ('annotations', 11, 'bbox'), 'four numbers'),
    (change('annotations', 'bbox', replace(0, '5')), ('annotations', 11, 'bbox'), 'four numbers'),
    (change('annotations', 'bbox', replace(0, 10**400)), ('annotations', 11, 'bbox'), 'four'),
    (change('annotations', 'bbox', replace(0, NAN)), ('annotations', 11, 'bbox'), 'NaN or inf'),
    (change('annotations', 'bbox', replace(2, -9)), ('annotations', 11, 'bbox'), 'negative size'),
    (change('annotations', 'bbox', replace(2, 0.5)), ('annotations', 11, 'bbox'), '1 pixel'),
    (change('annotations', 'bbox', replace(0, 500)), ('annotations', 11, 'bbox'), 'outside'),
    (change('annotations', 'bbox', replace(2, 1e5)), ('annotations', 11, 'bbox'), 'nearly all'),
    (change('annotations', 'keypoints', ...), ('annotations', 11, 'keypoints'), 'is missing'),
    (change('annotations', 'keypoints', [0] * 42), ('annotations', 11, 'keypoints'), '17 joints'),
    (
        change('annotations', 'keypoints', [[1, 2, 2]] * 17),
        ('annotations', 11, 'keypoints'),
        'flat',
    ),
    (change('annotations', 'keypoints', replace(2, 3)), ('annotations', 11, 'keypoints'), 'visib'),
    (change('annotations', 'keypoints', replace(2, NAN)), ('annotations', 11, 'keypoints'), 'visi'),
    (change('annotations', 'keypoints', replace(0, NAN)), ('annotations', 11, 'keypoints'), 'NaN'),
    (change('annotations', 'keypoints', replace(0, INF)), ('annotations', 11, 'keypoints'), 'inf'),
    (
        change('annotations', 'keypoints', replace(1, None)),
        ('annotations', 11, 'keypoints'),
        'flat',
    ),
    (
        change('annotations', 'keypoints', [0.5, 0.5, 2] * 17),
        ('annotations', 11, 'keypoints'),
        '0..1',
    ),
    (
        change('annotations', 'keypoints', replace(0, -900)),
        ('annotations', 11, 'keypoints'),
        'size',
    ),
    (change('annotations', 'keypoints', [0, 0, 2] * 17), ('annotations', 11, 'keypoints'), '0..1'),
    (change('annotations', 'keypoints', [9, 9, 2] * 17), ('annotations', 11, 'keypoints'), 'near'),
    (change('annotations', 'bbox', [85, 15, 135, 105]), ('annotations', 11, 'bbox'), 'x2 - x1'),
    (change('annotations', 'num_keypoints', 0), ('annotations', 11, 'num_keypoints'), 'agree'),
    (change('annotations', 'num_keypoints', '17'), ('annotations', 11, 'num_keypoints'), 'number'),
    (change('annotations', 'iscrowd', 'no'), ('annotations', 11, 'iscrowd'), 'is not 0 or 1'),
    (change('annotations', 'area', ...), ('annotations', 11, 'area'), 'is missing'),
    (change('annotations', 'area', 'big'), ('annotations', 11, 'area'), 'is not a number'),
    (change('annotations', 'area', NAN), ('annotations', 11, 'area'), 'not a positive number'),
    (change('annotations', 'area', 0), ('annotations', 11, 'area'), 'not a positive number'),
    (change('annotations', 'area', 1e9), ('annotations', 11, 'area'), 'does not fit the box'),
]


@pytest.mark.parametrize('apply, where, words', ERRORS)
def test_one_damaged_object(folder, apply, where, words):
    """The finding names file, section, id and field, and no other object."""
    data = good_files()[0]
    apply(data)
    found = errors(check(folder, data))
    assert any(
        (f.section, f.id, f.field) == where and words in str(f) and f.remedy for f in found
    ), report(found)
    assert {f.file for f in found} == {str(folder / 'ann.json')}
    # a missing or doubled id of a picture is also felt by its people
    if where[0] == 'annotations':
        assert {f.id for f in found} == {where[1]}


@pytest.mark.parametrize(
    'text, words',
    [
        ('', 'is not valid JSON'),
        ('{"images": [', 'is not valid JSON'),
        ('[' * 100000, 'is not valid JSON'),
        ('[]', 'is not a JSON object'),
        ('{"images": []}', "lacks ['annotations', 'categories']"),
        ('{"images": {}, "annotations": [], "categories": []}', 'images is not a list but dict'),
        ('{"images": [], "annotations": [4], "categories": []}', 'annotations 0 is not an object'),
        ('{"images": [], "annotations": [], "categories": []}', 'has no person'),
    ],
)
def test_shape(folder, text, words):
    (finding,) = check(folder, text)
    assert words in str(finding) and finding.severity == 'error'


def test_files_that_cannot_be_read(folder):
    for path, words in ((folder, 'cannot be read'), (folder / 'gone.json', 'does not exist')):
        (finding,) = check_annotations(str(path))
        assert words in str(finding)


def everybody(apply):
    data = good_files()[0]
    for person in data['annotations']:
        points = np.reshape(person['keypoints'], (K, 3))
        apply(person, points)
        person['keypoints'] = points.ravel().tolist()
    return data


def corners(person, points):
    x, y, w, h = person['bbox']
    person['bbox'] = [x, y, x + w, y + h]


def relative_boxes(person, points):
    person['bbox'] = [v / size for v, size in zip(person['bbox'], [WIDTH, HEIGHT] * 2)]


def relative_joints(person, points):
    points[:, :2] /= (WIDTH, HEIGHT)


def moved_joints(person, points):
    points[:, 0] += 100 * (points[:, 2] > 0)


@pytest.mark.parametrize(
    'apply, words',
    [
        (corners, 'replace x2, y2 by x2 - x1, y2 - y1'),
        (relative_boxes, 'bbox is not in pixels'),
        (relative_joints, 'all joints are within 0..1'),
        (moved_joints, 'box'),
    ],
)
def test_mistakes_of_whole_files(folder, apply, words):
    found = errors(check(folder, everybody(apply)))
    assert any(words in str(finding) for finding in found)
    # one sentence for all people
    assert len(report(found)) < 4


@pytest.mark.parametrize('other', ['order', 'names'])
def test_names_of_joints(folder, other):
    data = good_files()[0]
    names = [*NAMES[:1], *NAMES[2:0:-1], *NAMES[3:]] if other == 'order' else ['a', *NAMES[1:]]
    data['categories'][0]['keypoints'] = names
    (finding,) = errors(check(folder, data))
    assert (finding.section, finding.id, finding.field) == ('categories', 1, 'keypoints')
    assert str(names) in str(finding) and str(NAMES) in str(finding)


def test_spelling_of_names(folder):
    data = good_files()[0]
    data['categories'][0]['keypoints'] = [
        ''.join(word.capitalize() for word in name.split('_')) for name in NAMES
    ]
    assert check(folder, data) == []
    data['categories'][0]['keypoints'] = [name.replace('left_', 'l ') for name in NAMES]
    assert check(folder, data) == []


def legitimate():
    """As in COCO and in conversions of other datasets."""
    data = good_files()[0]
    people = data['annotations']
    people[0]['bbox'] = [-0.4, 7.6, 61.3, 113.1]
    people[0]['keypoints'][:3] = [-3.5, 20.0, 2]
    people[0]['segmentation'] = [[1, 2, 3, 4, 5, 6]]
    people[1]['score'] = 'extra'
    people[2]['area'] = int(people[2]['area'])
    people[2]['keypoints'] = [float(v) for v in people[2]['keypoints']]
    people[5]['segmentation'] = dict(counts=[1, 2], size=[120, 160])  # the crowd
    del people[6]['num_keypoints'], people[6]['iscrowd']
    data['images'].append(dict(id=9, file_name='nobody.png', width=5, height=5, crowdIndex=0.1))
    data['info'] = data['licenses'] = None
    for v in (0, 1):
        seen = np.reshape(people[7]['keypoints'], (K, 3))
        seen[seen[:, 2] == 0, v] = np.nan
        people[7]['keypoints'] = seen.ravel().tolist()
    return data


def test_legitimate_files(folder):
    assert check(folder, legitimate()) == []
    data = legitimate()
    del data['categories'][0]['keypoints']
    (finding,) = check(folder, data)
    assert finding.severity == 'warning' and 'keypoints are missing' in str(finding)


@pytest.mark.parametrize(
    'ann_file, img_dir, metainfo, use',
    [
        ('lspe/annotations/person_keypoints_val.json', 'lspe/val', LSPE, {}),
        ('coco_sample/annotations/person_keypoints_train2017.json', 'coco_sample/train2017', 0, {}),
        ('coco_sample/annotations/person_keypoints_val2017.json', 'coco_sample/val2017', 0, {}),
        ('coco_protocol/person_keypoints_val2017.json', None, 0, dict(whole_images=True)),
    ],
)
def test_real_files(shared, ann_file, img_dir, metainfo, use):
    data = shared / 'data'
    if not (data / ann_file).is_file():
        pytest.skip(f'no {ann_file}')
    metainfo = Config.fromfile(metainfo).dataset_info if metainfo else COCO
    img_dir = img_dir and str(data / img_dir)
    use = FileUse(metainfo, img_dir, keypoints=True, area=True, **use)
    assert check_annotations(str(data / ann_file), use) == []


def test_less_for_other_uses(folder):
    """What nobody reads is no reason to stop."""
    data = good_files()[0]
    del data['annotations'][0]['area'], data['annotations'][1]['keypoints']
    (finding,) = errors(check(folder, data, FileUse(COCO)))
    assert finding.field == 'num_keypoints'
    del data['annotations'][1]['num_keypoints']
    data['annotations'][2]['area'] = float('nan')
    (area, keypoints) = sorted(check(folder, data, FileUse(COCO)), key=lambda f: f.field)
    assert area.severity == keypoints.severity == 'warning'
    assert 'it is left out' in str(keypoints)
    assert len(errors(check(folder, data))) == 3


def test_people_who_are_left_out(folder):
    """num_keypoints of CrowdPose counts visible joints; mmpose drops people with 0."""
    data = good_files()[0]
    person = data['annotations'][0]
    person['keypoints'] = [
        min(v, 1) if i % 3 == 2 else v for i, v in enumerate(person['keypoints'])
    ]
    person['num_keypoints'] = 0
    (finding,) = check(folder, data)
    assert finding.severity == 'warning' and 'left out in spite of labels' in str(finding)


def test_people_without_area(folder):
    """COCO has one of them: no labels, no area, and a flat box."""
    data = good_files()[0]
    person = data['annotations'][3]
    person.update(bbox=[85, 15, 50, 0], area=0.0)
    assert person['num_keypoints'] == 0
    (finding,) = check(folder, data)
    assert finding.severity == 'warning' and 'it is left out' in str(finding)
    person['area'] = 2000
    (finding,) = errors(check(folder, data))
    assert (finding.id, finding.field) == (person['id'], 'bbox')


def test_several_categories(folder):
    data = good_files()[0]
    data['categories'].append(dict(data['categories'][0], id=2))
    assert check(folder, data) == []
    data['annotations'][3]['category_id'] = 2
    (finding,) = check(folder, data)
    assert finding.value == [1, 2] and finding.severity == 'warning'
    assert check(folder, data, FileUse(COCO)) == []


def places(data):
    """All (container, key) of a file, down to the numbers."""
    stack, found = [data], []
    while stack:
        value = stack.pop()
        keys = value if isinstance(value, dict) else range(len(value))
        for key in keys:
            found.append((value, key))
            if isinstance(value[key], (dict, list)):
                stack.append(value[key])
    return found


NUMBERS = st.integers() | st.floats() | st.sampled_from([10**400, -(10**400), 2**63])
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(values=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), JSON), min_size=1, max_size=3))
def test_anything_anywhere(folder, values):
    """Nothing is raised, and the report is text."""
    data = copy.deepcopy(good_files()[0])
    for place, value in values:
        candidates = places(data)
        if candidates:
            container, key = candidates[int(place * len(candidates))]
            container[key] = value
    for use in (STRICT, FileUse()):
        for line in report(check(folder, data, use)):
            line.encode()


@settings(max_examples=50, deadline=None)
@given(JSON)
def test_any_file(folder, content):
    assert errors(check(folder, content))
    path = folder / 'boxes.json'
    path.write_text(json.dumps(content))
    found = check(folder, good_files()[0], FileUse(bbox_file=str(path)))
    assert errors(found)


@pytest.mark.slow
def test_time(folder):
    """A file of the size of COCO's, in seconds of one processor."""
    data, num = good_files()[0], 64000
    images = [dict(data['images'][0], id=i, file_name=f'{i}.png') for i in range(num)]
    people = [dict(data['annotations'][0], id=i, image_id=i % num) for i in range(150000)]
    (folder / 'ann.json').write_text(json.dumps(dict(data, images=images, annotations=people)))
    start = time.process_time()
    assert check_annotations(str(folder / 'ann.json'), STRICT) == []
    assert time.process_time() - start < 20
