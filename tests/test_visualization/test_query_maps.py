import numpy as np
import pytest

from prtr_plugin.visualization import attend_joints, draw_maps, figure_to_image, map_joints


@pytest.mark.parametrize('layer', [1, None])
def test_maps_lead_to_the_joints(plus, batch, layer):
    """Nothing around has a higher expected OKS, computed pixel by pixel."""
    people = map_joints(plus, batch, layer)
    assert len(people) == 3
    sigma = plus.head.transformer.peak_sigma
    centers = np.stack(np.meshgrid(np.arange(24) + 0.5, np.arange(32) + 0.5), axis=-1)
    for person in people:
        assert person.layer == (layer or 2) and person.maps.shape == (17, 32, 24)
        assert len(set(person.queries)) == 17
        meta = person.sample.metainfo
        corner = meta['input_center'] - meta['input_scale'] / 2
        for probs, keypoint in zip(person.maps, person.keypoints):
            assert probs.sum() == pytest.approx(1, abs=1e-4)
            point = (keypoint - corner) / meta['input_scale'] * np.array([24, 32])
            oks = [
                (probs * np.exp(-((centers - p) ** 2).sum(-1) / (2 * sigma**2))).sum()
                for p in (point, *(centers.reshape(-1, 2)))
            ]
            # but for the error of the parabola in the untrained, flat maps
            assert oks[0] >= max(oks[1:]) * (1 - 1e-2)
    first, second = map_joints(plus, batch, 1)[0], map_joints(plus, batch, 2)[0]
    assert abs(first.maps - second.maps).max() > 1e-3


def test_picture(plus, batch):
    (person, *_) = map_joints(plus, batch)
    image = np.full((120, 160, 3), 128, np.uint8)
    drawn = figure_to_image(draw_maps(image, person, plus.dataset_meta, ['nose']))
    moved = person._replace(maps=np.roll(person.maps, 7, axis=2))
    other = figure_to_image(draw_maps(image, moved, plus.dataset_meta, ['nose']))
    assert drawn.shape[1] == 4.5 * 120 and (drawn != other).any()
    with pytest.raises(ValueError, match='no joint tail'):
        draw_maps(image, person, plus.dataset_meta, ['tail'])


def test_what_does_not_fit_is_refused(model, plus, cascade, batch):
    with pytest.raises(TypeError, match='PixelPRTRTransformer, but its transformer is PRTRTrans'):
        map_joints(model, batch)
    with pytest.raises(TypeError, match='PRTRCascade'):
        map_joints(cascade, batch)
    with pytest.raises(ValueError, match='layer must be from 1 to 2'):
        map_joints(plus, batch, 3)


def test_attention_of_the_same_queries(plus, batch):
    """Each row of weights sums to 1, over the tokens of the coarsest map."""
    maps, attention = map_joints(plus, batch)[0], attend_joints(plus, batch)[0]
    np.testing.assert_array_equal(maps.keypoints, attention.keypoints)
    heads = plus.head.transformer.decoder.layers[0].cross_attn.num_heads
    assert attention.decoder.shape == (heads, 17, 8, 6)
    assert attention.encoder.shape == (heads, 8, 6, 8, 6)
    np.testing.assert_allclose(attention.decoder.sum(axis=(2, 3)), 1, atol=1e-5)
