import copy

import numpy as np
import pytest
from mmpose.datasets.transforms import BottomupRandomCrop

from prtr_plugin.datasets.transforms import PersonRandomCrop

K, W, H = 5, 60, 40
SETTINGS = dict(crop_size=(20, 30), crop_type='absolute_range')


def image(num, seed=0):
    """What the dataset gives for an image with ``num`` people."""
    rng = np.random.default_rng(seed)
    results = dict(
        img=rng.integers(0, 255, (H, W, 3), dtype=np.uint8),
        img_shape=(H, W),
        id=[], raw_ann_info=None)  # yapf: disable
    if num:
        corner = rng.integers(0, 30, (num, 2)).astype(np.float32)
        size = rng.integers(2, 12, (num, 2))
        results.update(
            bbox=np.concatenate((corner, corner + size), axis=1),
            keypoints=corner[:, None] + rng.random((num, K, 2)) * 10,
            keypoints_visible=np.ones((num, K), np.float32),
            bbox_score=np.arange(num, dtype=np.float32),
            area=np.arange(num, dtype=np.float32),
            iscrowd=np.arange(num) % 2,
            category_id=np.ones(num, int),
            num_keypoints=list(range(num)),
            id=list(range(100, 100 + num)),
            raw_ann_info=[dict(id=i) for i in range(num)],
        )
    return results


def crop(results, seed, cls=PersonRandomCrop, **kwargs):
    np.random.seed(seed)
    return cls(**{**SETTINGS, **kwargs})(copy.deepcopy(results))


@pytest.mark.parametrize('num', [1, 2, 7])
@pytest.mark.parametrize('seed', range(5))
def test_people(num, seed):
    """Against a plain search of the crop in the image."""
    before = image(num, seed)
    after = crop(before, seed, allow_negative_crop=True)
    x, y = -after['warp_mat'][:2, 2].astype(int)
    h, w = after['img_shape']
    assert 20 <= h <= 30 and 20 <= w <= 30
    np.testing.assert_array_equal(after['img'], before['img'][y : y + h, x : x + w])
    boxes = before['bbox'] - [x, y, x, y]
    kept = [
        i for i, (x1, y1, x2, y2) in enumerate(boxes) if x1 < w and y1 < h and x2 > 0 and y2 > 0
    ]
    np.testing.assert_allclose(after['bbox'], boxes[kept].clip(0, [w, h, w, h]), atol=1e-5)
    points = before['keypoints'][kept] - [x, y]
    inside = ((points >= 0) & (points <= [w, h])).all(axis=-1)
    np.testing.assert_array_equal(after['keypoints_visible'], inside)
    np.testing.assert_allclose(after['keypoints'], points.clip(0, [w, h]), atol=1e-5)
    for key in ('bbox_score', 'area', 'iscrowd', 'category_id'):
        np.testing.assert_array_equal(after[key], before[key][kept])
    for key in ('num_keypoints', 'id', 'raw_ann_info'):
        assert after[key] == [before[key][i] for i in kept]


def test_nobody():
    before = image(0)
    after = crop(before, 0)
    assert after['img'].shape[:2] == after['img_shape']
    assert 'bbox' not in after and after['id'] == []
    assert after.get('raw_ann_info') is None


def test_nobody_left():
    before = image(2)
    before['bbox'][:] = [0, 0, 1, 1]
    size = dict(crop_size=(20, 20), crop_type='absolute')
    assert crop(before, 3, **size) is None
    after = crop(before, 3, allow_negative_crop=True, **size)
    assert after['bbox'].shape == (0, 4)
    assert after['keypoints'].shape == (0, K, 2)
    assert after['iscrowd'].shape == (0,) and after['id'] == []


def test_parent_class_fails():
    """If it stops to fail, the subclass is no longer needed."""
    with pytest.raises(ValueError, match='truth value'):
        crop(image(2), 0, BottomupRandomCrop, allow_negative_crop=True)
