"""Tests of the paper's random scale and rotation."""

import random

import numpy as np
import pytest
from mmcv.transforms.utils import cache_random_params
from mmpose.registry import TRANSFORMS

import prtr_plugin.datasets  # noqa: F401

N = 40_000


def build(**kwargs):
    return TRANSFORMS.build(dict(type='RandomBBoxClippedNormal', **kwargs))


def draw(transform, num=N, seed=0):
    """Center, scale and rotation of boxes of 100 x 200 pixels at (7, 9)."""
    np.random.seed(seed)
    results = transform(
        dict(
            bbox_center=np.tile(np.float32([7, 9]), (num, 1)),
            bbox_scale=np.tile(np.float32([100, 200]), (num, 1)),
        )
    )
    return (results['bbox_center'], results['bbox_scale'], results['bbox_rotation'])


def reference(sf, rf, num=N, seed=1):
    """Scales and rotations, a person at a time, as the paper's code draws."""
    generator, uniform = np.random.RandomState(seed), random.Random(seed)
    scales, rotations = [], []
    for _ in range(num):
        scales.append(np.clip(generator.randn() * sf + 1, 1 - sf, 1 + sf))
        if uniform.random() <= 0.6:
            rotations.append(np.clip(generator.randn() * rf, -2 * rf, 2 * rf))
        else:
            rotations.append(0)
    return np.array(scales), np.array(rotations)


@pytest.mark.parametrize('sf, rf', [(0.3, 40), (0.25, 30)])
def test_distribution(sf, rf):
    _, scale, rotation = draw(build(scale_factor=(1 - sf, 1 + sf), rotate_factor=rf))
    expected_scale, expected_rotation = reference(sf, rf)
    # both sides are resized alike
    np.testing.assert_allclose(scale[:, 1], 2 * scale[:, 0], rtol=1e-6)
    # N draws are off by about 1 / sqrt(N) = 0.005 standard deviations
    for ours, theirs, sigma, limits in (
        (scale[:, 0] / 100, expected_scale, sf, (1 - sf, 1 + sf)),
        (rotation, expected_rotation, rf, (-2 * rf, 2 * rf)),
    ):
        assert ours.shape == (N,)
        assert ours.min() == pytest.approx(limits[0], rel=1e-6)
        assert ours.max() == pytest.approx(limits[1], rel=1e-6)
        assert ours.mean() == pytest.approx(theirs.mean(), abs=0.02 * sigma)
        assert ours.std() == pytest.approx(theirs.std(), abs=0.02 * sigma)
        shares = np.linspace(0.01, 0.99, 99)
        np.testing.assert_allclose(
            np.quantile(ours, shares), np.quantile(theirs, shares), atol=0.06 * sigma
        )
        for limit in limits:
            assert np.isclose(ours, limit).mean() == pytest.approx(
                np.isclose(theirs, limit).mean(), abs=0.01
            )
    assert (rotation != 0).mean() == pytest.approx(0.6, abs=0.01)
    # known values: the mass beyond one sigma, and beyond two of those 60 %
    assert np.isclose(scale[:, 0], 100 * (1 + sf)).mean() == pytest.approx(0.159, abs=0.01)
    assert np.isclose(rotation, 2 * rf).mean() == pytest.approx(0.6 * 0.023, abs=0.003)


def test_scale_and_rotation_are_independent():
    _, scale, rotation = draw(build())
    rotated = rotation != 0
    assert abs(np.corrcoef(scale[rotated, 0], rotation[rotated])[0, 1]) < 0.02


def test_defaults_are_those_for_coco():
    center, scale, rotation = draw(build())
    assert (center == [7, 9]).all()  # no shift
    assert scale[:, 0].max() == pytest.approx(130)
    assert rotation.max() == 80


def test_every_setting_counts():
    still = dict(shift_prob=0, scale_prob=0, rotate_prob=0)
    center, scale, rotation = draw(build(**still))
    assert (center == [7, 9]).all()
    assert (scale == [100, 200]).all()
    assert (rotation == 0).all()

    center = draw(build(**{**still, 'shift_prob': 0.5}, shift_factor=0.1))[0]
    offset = (center - [7, 9]) / [100, 200]
    assert np.abs(offset).max() == pytest.approx(0.1, rel=1e-4)
    assert (offset != 0).all(axis=1).mean() == pytest.approx(0.5, abs=0.01)

    scale = draw(build(**{**still, 'scale_prob': 0.3}))[1]
    assert (scale[:, 0] != 100).mean() == pytest.approx(0.3, abs=0.01)

    rotation = draw(build(**{**still, 'rotate_prob': 1.0}))[2]
    assert (rotation != 0).all()


def test_seed_and_cache():
    transform = build(shift_prob=1.0)
    first, again = draw(transform, 8), draw(transform, 8)
    other = draw(transform, 8, seed=1)
    for a, b, c in zip(first, again, other):
        assert np.array_equal(a, b) and not np.array_equal(a, c)
    # several images can share their random numbers, as with the parent
    with cache_random_params(transform):
        assert np.array_equal(draw(transform, 8, seed=0)[1], draw(transform, 8, seed=1)[1])


def test_repr_names_the_class():
    assert repr(build(rotate_factor=30)).startswith('RandomBBoxClippedNormal(')
    assert 'rotate_factor=30' in repr(build(rotate_factor=30))


@pytest.mark.parametrize('scale_factor', [0.3, (0.0, 2.0), (1.3, 0.7), (0.7,), ('a', 'b')])
def test_bad_scale_factor(scale_factor):
    with pytest.raises(ValueError, match=r'scale_factor=.*give \(0\.7, 1\.3'):
        build(scale_factor=scale_factor)
