"""Tests of the paper's way to clip ground-truth boxes."""

import numpy as np
import pytest
from mmpose.registry import TRANSFORMS

import prtr_plugin.datasets  # noqa: F401


@pytest.fixture
def clip():
    return TRANSFORMS.build(dict(type='ClipBBoxInclusive'))


def sample(bbox, **kwargs):
    x, y, w, h = bbox
    return dict(
        bbox=np.array([[x, y, x + w, y + h]], dtype=np.float32),
        raw_ann_info=dict(id=7, bbox=bbox),
        ori_shape=(48, 64),
        **kwargs,
    )


@pytest.mark.parametrize(
    'bbox, expected',
    [
        ([10, 20, 30, 10], [10, 20, 39, 29]),
        ([0, 0, 64, 48], [0, 0, 63, 47]),
        ([40, 30, 40, 40], [40, 30, 63, 47]),
        # the corner is moved before the width is used, which keeps its length
        ([-8, -4, 30, 20], [0, 0, 29, 19]),
        ([10.25, 20.5, 3.5, 2.25], [10.25, 20.5, 12.75, 21.75]),
    ],
)
def test_boxes(clip, bbox, expected):
    assert clip(sample(bbox))['bbox'].tolist() == [expected]


def test_other_keys_stay(clip):
    before = sample([10, 20, 30, 10], bbox_score=np.ones(1))
    after = clip(dict(before))
    assert set(after) == set(before)
    assert all(after[k] is before[k] for k in before if k != 'bbox')


def test_several_people(clip):
    results = sample([10, 20, 30, 10])
    results['raw_ann_info'] = [dict(id=1, bbox=[10, 20, 30, 10]), dict(id=2, bbox=[0, 0, 5, 5])]
    assert clip(results)['bbox'].tolist() == [[10, 20, 39, 29], [0, 0, 4, 4]]


def test_detector_boxes_stay(clip):
    """Detections have no raw annotation, and not even an image size."""
    bbox = np.array([[-3.5, 2.0, 80.0, 90.0]], dtype=np.float32)
    results = clip(dict(bbox=bbox))
    assert results['bbox'] is bbox


@pytest.mark.parametrize(
    'bbox',
    [
        [10, 20, 0, 10],
        [10, 20, 30, 0],
        [10, 20, 1, 10],
        [10, 20, -5, 10],
        [70, 20, 10, 10],
        [10, -20, 30, 1],
        [10, 20, float('nan'), 10],
    ],
)
def test_empty_box(clip, bbox):
    with pytest.raises(ValueError) as error:
        clip(sample(bbox))
    message = str(error.value)
    for part in (f'bbox={bbox}', 'id=7', 'width 64', 'remove'):
        assert part in message


def test_wrong_place(clip):
    with pytest.raises(ValueError, match='before GetBBoxCenterScale'):
        clip(sample([10, 20, 30, 10], bbox_center=np.zeros((1, 2))))
    results = sample([10, 20, 30, 10])
    del results['ori_shape']
    with pytest.raises(KeyError, match='after LoadImage'):
        clip(results)
