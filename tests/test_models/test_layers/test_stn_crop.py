import numpy as np
import pytest
import torch
import torch.nn.functional as F

from prtr_plugin.models.layers import STNCrop

SIZES = [(12, 16), (6, 8), (3, 4)]


def random_feats(batch_size=3, channels=(2, 3, 4)):
    g = torch.Generator().manual_seed(0)
    return [
        torch.randn(batch_size, c, *size, generator=g, dtype=torch.double)
        for c, size in zip(channels, SIZES)
    ]


def random_boxes(nums, seed=1):
    """Boxes that partly leave the image."""
    g = torch.Generator().manual_seed(seed)
    return [torch.rand(n, 4, generator=g, dtype=torch.double) for n in nums]


def valid_share(*rows):
    return torch.tensor(rows, dtype=torch.double)


def naive(feats, boxes, valid_hw, resolution, zoom):
    """Person by person and point by point, in the pixels of each level."""
    crops = []
    for i, image_boxes in enumerate(boxes):
        for cx, cy, w, h in image_boxes * valid_hw[i].flip(0).repeat(2):
            crop = []
            for feat in feats:
                height, width = feat.shape[-2:]
                for channel in feat[i]:
                    for ty in torch.linspace(-zoom / 2, zoom / 2, resolution[1]).double():
                        for tx in torch.linspace(-zoom / 2, zoom / 2, resolution[0]).double():
                            # pixel centres lie at 0.5, 1.5, ...
                            x = ((cx + tx * w) * width - 0.5).clamp(0, width - 1)
                            y = ((cy + ty * h) * height - 0.5).clamp(0, height - 1)
                            x0 = int(x.floor().clamp(max=width - 2))
                            y0 = int(y.floor().clamp(max=height - 2))
                            dx, dy = x - x0, y - y0
                            v = channel[y0 : y0 + 2, x0 : x0 + 2]
                            crop.append(
                                (1 - dy) * ((1 - dx) * v[0, 0] + dx * v[0, 1])
                                + dy * ((1 - dx) * v[1, 0] + dx * v[1, 1])
                            )
            crops.append(torch.stack(crop).view(-1, *resolution[::-1]))
    return torch.stack(crops)


@pytest.mark.parametrize('resolution, zoom', [((3, 2), 1.25), ((2, 4), 0.8)])
def test_crops_equal_the_naive_ones(resolution, zoom):
    feats, boxes = random_feats(), random_boxes([2, 0, 1])
    share = valid_share((1, 1), (0.5, 1), (0.75, 0.5))
    layer = STNCrop(resolution, zoom, (0, 1, 2)).double()
    expected = naive(feats, boxes, share, resolution, zoom)
    torch.testing.assert_close(layer(feats, boxes, share), expected, rtol=1e-5, atol=1e-6)


def test_samples_in_the_middle_of_their_shares():
    """A crop of the size of the map, whose samples are its pixels."""
    feat = random_feats()[0]
    layer = STNCrop((16, 12), zoom=1.0, levels=(0,), align_corners=False).double()
    box = torch.tensor([[[0.5, 0.5, 1, 1]]] * len(feat)).double()
    torch.testing.assert_close(layer([feat], box), feat, rtol=1e-4, atol=1e-5)
    on_the_border = STNCrop((16, 12), zoom=1.0, levels=(0,)).double()
    assert (on_the_border([feat], box) - feat).abs().max() > 0.1


def test_a_person_has_the_same_crop_in_any_company():
    feats, boxes = random_feats(), random_boxes([1, 5, 3])
    share = valid_share((1, 1), (0.5, 1), (0.75, 0.5))
    layer = STNCrop((4, 5), levels=(0, 2)).double()
    crops = layer(feats, boxes, share)
    assert crops.shape == (9, 6, 5, 4)
    alone = torch.cat(
        [
            layer([f[i : i + 1] for f in feats], [box[None]], share[i : i + 1])
            for i, image_boxes in enumerate(boxes)
            for box in image_boxes
        ]
    )
    torch.testing.assert_close(crops, alone)


def test_levels_are_taken_in_the_order_given():
    feats, boxes = random_feats(), random_boxes([1, 1, 1])
    share = valid_share((1, 1), (1, 1), (1, 1))
    both = STNCrop((3, 3), levels=(2, 0)).double()(feats, boxes, share)
    assert both.shape[1] == 4 + 2
    for level, part in ((2, both[:, :4]), (0, both[:, 4:])):
        one = STNCrop((3, 3), levels=(level,)).double()(feats, boxes, share)
        torch.testing.assert_close(part, one)


def test_padding_is_outside_of_the_image():
    """A box of the valid image covers its share of the padded one."""
    x = (torch.arange(16) + 0.5).expand(1, 1, 12, 16)
    box = [torch.tensor([[0.5, 0.5, 0.5, 0.5]])]
    layer = STNCrop((2, 2), zoom=1.0, levels=(0,))
    crop = layer([x], box, torch.tensor([[1.0, 0.5]]))
    # the valid image is 8 wide and the box goes from 2 to 6
    torch.testing.assert_close(crop[0, 0, 0], torch.tensor([2.0, 6.0]))


def test_gradients_reach_features_and_boxes():
    feats, boxes = random_feats(2), random_boxes([2, 1])
    # away from the image border and from pixel centres
    boxes = [0.3 + 0.2 * b for b in boxes]
    share = valid_share((1, 1), (0.8, 0.9))
    layer = STNCrop((2, 3), levels=(1, 2)).double()
    inputs = [t.requires_grad_() for t in (*feats[1:], *boxes)]

    def crop(feat1, feat2, boxes1, boxes2):
        return layer([None, feat1, feat2], [boxes1, boxes2], share)

    assert torch.autograd.gradcheck(crop, inputs)


def test_nobody():
    feats = random_feats()
    layer = STNCrop((4, 5), levels=(0, 1)).double()
    crops = layer(feats, random_boxes([0, 0, 0]), valid_share(*[(1, 1)] * 3))
    assert crops.shape == (0, 5, 5, 4)


def test_box_of_zero_size_is_a_point():
    feats = random_feats(1)
    box = [torch.tensor([[0.4, 0.6, 0, 0]], dtype=torch.double)]
    layer = STNCrop((3, 3), levels=(0,)).double()
    crop = layer(feats, box, valid_share((1, 1)))
    torch.testing.assert_close(crop, crop[..., :1, :1].expand_as(crop))
    grid = torch.tensor([[[[-0.2, 0.2]]]], dtype=torch.double)
    torch.testing.assert_close(
        crop[..., :1, :1], F.grid_sample(feats[0], grid, align_corners=False)
    )
    # no 0 / 0
    points = torch.tensor([[[0.4, 0.6], [0.5, 0.6]]], dtype=torch.double)
    assert layer.to_crop(points, box[0]).isfinite().all()


@pytest.mark.parametrize('to_array', [torch.as_tensor, torch.Tensor.numpy])
def test_coordinates_go_to_the_crop_and_back(to_array):
    layer = STNCrop(zoom=1.25)
    boxes = to_array(torch.tensor([[0.5, 0.5, 0.4, 0.2], [0.2, 0.6, 0.3, 0.7]]))
    points = to_array(torch.rand(2, 7, 2))
    crop = layer.to_crop(points, boxes)
    assert type(crop) is type(points)
    np.testing.assert_allclose(layer.to_image(crop, boxes), points, rtol=0, atol=1e-6)


def test_coordinates_agree_with_the_grid():
    """Crop coordinates 0 and 1 are the first and last sampling position."""
    layer = STNCrop((5, 3), zoom=1.25)
    boxes = torch.tensor([[[0.5, 0.4, 0.4, 0.2]]])
    grid = (layer.grids(boxes, torch.ones(1, 2))[0, 0] + 1) / 2
    corners = torch.tensor([[[0.0, 0.0], [1.0, 1.0]]])
    expected = torch.stack((grid[0, 0], grid[-1, -1]))[None]
    torch.testing.assert_close(layer.to_image(corners, boxes[0]), expected)


def test_coordinates_are_moved_into_the_image():
    layer = STNCrop()
    boxes = torch.tensor([[0.1, 0.9, 0.8, 0.8]])
    points = layer.to_image(torch.tensor([[[0.0, 1.0]]]), boxes)
    torch.testing.assert_close(points, torch.tensor([[[0.0, 1.0]]]))


def test_nothing_is_stored_in_checkpoints():
    assert not STNCrop().state_dict()


@pytest.mark.parametrize(
    'kwargs, message',
    [(dict(resolution=(10, 0)), 'resolution'), (dict(zoom=0), 'zoom'), (dict(levels=()), 'levels')],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        STNCrop(**kwargs)


def test_missing_level():
    with pytest.raises(ValueError, match='out_indices'):
        STNCrop().double()(random_feats(), random_boxes([1, 1, 1]), valid_share(*[(1, 1)] * 3))


def test_the_same_number_of_people_in_all_images():
    """As one tensor of boxes, and without padding."""
    feats, boxes = random_feats(), random_boxes([2, 2, 2])
    layer = STNCrop((3, 2), levels=(0, 2)).double()
    share = valid_share((1, 1), (0.5, 1), (0.75, 0.5))
    assert torch.equal(layer(feats, torch.stack(boxes), share), layer(feats, boxes, share))
    assert torch.equal(
        layer(feats, torch.stack(boxes)), layer(feats, boxes, torch.ones_like(share))
    )
