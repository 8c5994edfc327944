"""The synthetic people dataset: layout, labels, determinism, refusals."""

import json
import multiprocessing
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmpose.datasets import CocoDataset

from prtr_plugin.datasets import generate_people

TINY = dict(num_train=2, num_val=1, image_size=(96, 64))


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in Path(folder).rglob('*')
        if path.is_file()
    }


def load(folder, split='train2017'):
    path = folder / 'annotations' / f'person_keypoints_{split}.json'
    return json.loads(path.read_text())


@pytest.fixture(scope='module')
def people(tmp_path_factory):
    out = tmp_path_factory.mktemp('synthetic') / 'people'
    assert generate_people(out, num_train=10, num_val=2)
    return out


def test_read_by_mmpose(people):
    for split, count in (('train2017', 10), ('val2017', 2)):
        dataset = CocoDataset(
            ann_file=f'annotations/person_keypoints_{split}.json',
            data_root=str(people),
            data_prefix=dict(img=f'{split}/'),
        )
        assert len(list((people / split).glob('*.jpg'))) == count
        assert len(load(people, split)['images']) == count
        assert 0 < len(dataset) == len(load(people, split)['annotations'])
        first = dataset.get_data_info(0)
        assert Path(first['img_path']).is_file()
        assert first['keypoints'].shape == (1, 17, 2)


def test_names_agree_with_mmpose(people):
    dataset = CocoDataset(
        ann_file='annotations/person_keypoints_val2017.json',
        data_root=str(people),
        data_prefix=dict(img='val2017/'),
    )
    (category,) = load(people)['categories']
    names = dataset.metainfo['keypoint_id2name']
    assert category['keypoints'] == [names[i] for i in range(17)]
    assert sorted(tuple(sorted(b - 1 for b in bone)) for bone in category['skeleton']) == sorted(
        tuple(sorted(bone)) for bone in dataset.metainfo['skeleton_links']
    )


def test_labels_are_consistent(people):
    content = load(people)
    sizes = {i['id']: (i['width'], i['height']) for i in content['images']}
    ids = [a['id'] for a in content['annotations']]
    assert len(set(ids)) == len(ids)
    for person in content['annotations']:
        width, height = sizes[person['image_id']]
        joints = np.array(person['keypoints']).reshape(17, 3)
        labelled = joints[:, 2] > 0
        assert person['num_keypoints'] == labelled.sum() >= 7
        assert (joints[~labelled] == 0).all()
        x, y, w, h = person['bbox']
        assert x >= 0 and y >= 0 and x + w <= width and y + h <= height
        points = joints[labelled, :2]
        assert (points >= 0).all() and (points < (width, height)).all()
        assert (points >= np.array([x, y]) - 2).all()
        assert (points <= np.array([x + w, y + h]) + 2).all()
        assert 0 < person['area'] <= w * h
        assert person['iscrowd'] == 0 and person['segmentation']


def test_left_and_right_follow_the_view(people):
    """Whoever shows the nose has the left shoulder on the right."""
    front, back = [], []
    for person in load(people)['annotations']:
        joints = np.array(person['keypoints']).reshape(17, 3)
        if (joints[[3, 4, 5, 6, 11, 12], 2] == 0).any():
            continue  # cut off: a missing nose says nothing
        trunk = joints[5:7, :2].mean(0) - joints[11:13, :2].mean(0)
        across = joints[5, :2] - joints[6, :2]
        # Sideways of the trunk, so that leaning people count as well.
        side = across[0] * -trunk[1] + across[1] * trunk[0]
        (front if joints[0, 2] else back).append(side > 0)
    assert len(front) >= 5
    assert np.mean(front) > 0.9
    assert not back or np.mean(back) < 0.1


def test_same_seed_same_files(tmp_path):
    for name, seed in (('a', 3), ('b', 3), ('c', 4)):
        assert generate_people(tmp_path / name, **TINY, seed=seed)
    first = contents(tmp_path / 'a')
    assert contents(tmp_path / 'b') == first
    other = contents(tmp_path / 'c')
    assert all(other[name] != first[name] for name in first)
    # Nothing but the results is left behind.
    assert sorted(p.name for p in tmp_path.iterdir()) == ['a', 'b', 'c']


def test_people_of_a_seed(people):
    """Those of before; if not so, VERSION has to be raised."""
    annotations = load(people)['annotations']
    assert len(annotations) == 20
    first, last = annotations[0], annotations[-1]
    nose_and_eyes = [268.55, 57.68, 2, 273.12, 56.25, 2, 266.43, 53.16, 2]
    assert first['keypoints'][:9] == pytest.approx(nose_and_eyes, abs=0.02)
    assert first['bbox'] == pytest.approx([198.5, 44.0, 109.0, 117.0], abs=1)
    ears_and_shoulder = [111.06, 74.54, 2, 136.39, 71.58, 2, 104.53, 100.06, 2]
    assert last['keypoints'][:18] == pytest.approx([0] * 9 + ears_and_shoulder, abs=0.02)


def test_threads_of_opencv(tmp_path, monkeypatch):
    """Forked processes would wait for those of their parent for ever."""
    pool, seen = multiprocessing.Pool, []

    def make_pool(*args, **kwargs):
        seen.append(cv2.getNumThreads())
        return pool(*args, **kwargs)

    monkeypatch.setattr(multiprocessing, 'Pool', make_pool)
    before = cv2.getNumThreads()
    cv2.setNumThreads(4)
    cv2.GaussianBlur(np.zeros((2000, 2000, 3), np.uint8), (9, 9), 0)  # starts them
    generate_people(tmp_path / 'people', **TINY)
    assert seen == [1] and cv2.getNumThreads() == 4
    cv2.setNumThreads(before)


def test_picture_does_not_depend_on_the_count(people, tmp_path):
    assert generate_people(tmp_path / 'few', num_train=3, num_val=1)
    few, many = contents(tmp_path / 'few'), contents(people)
    names = [name for name in few if name.endswith('.jpg')]
    assert len(names) == 4
    assert all(few[name] == many[name] for name in names)


def test_overwriting(tmp_path):
    out = tmp_path / 'people'
    assert generate_people(out, **TINY)
    before = contents(out)
    assert not generate_people(out, **TINY)
    with pytest.raises(FileExistsError, match='other settings.*"force"'):
        generate_people(out, **TINY, seed=1)
    assert contents(out) == before
    assert generate_people(out, **TINY, seed=1, force=True)
    assert contents(out) != before


def test_other_folders_are_never_replaced(tmp_path):
    (tmp_path / 'thesis.txt').write_text('irreplaceable')
    with pytest.raises(FileExistsError, match='does not hold synthetic people'):
        generate_people(tmp_path, **TINY, force=True)
    assert list(tmp_path.iterdir()) == [tmp_path / 'thesis.txt']


@pytest.mark.parametrize(
    'options',
    [
        dict(num_train=0),
        dict(num_val=1000000),
        dict(max_people=-1),
        dict(seed=-1),
        dict(image_size=(320, 8)),
        dict(image_size=(320, 240, 3)),
    ],
)
def test_bad_arguments(tmp_path, options):
    ((name, value),) = options.items()
    with pytest.raises(ValueError) as error:
        generate_people(tmp_path / 'people', **{**TINY, **options})
    assert name in str(error.value) and str(value) in str(error.value)
    assert not (tmp_path / 'people').exists()
