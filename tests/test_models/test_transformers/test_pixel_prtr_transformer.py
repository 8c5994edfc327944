import math

import pytest
import torch
from mmpose.registry import MODELS

from prtr_plugin.models.transformers import find_peaks, locate_peaks, softmax_maps

SIZES = [(8, 6), (4, 3)]


def build(**kwargs):
    cfg = dict(
        type='PixelPRTRTransformer',
        in_channels=[6, 8],
        num_queries=5,
        embed_dims=32,
        pixel_channels=8,
        num_encoder_layers=1,
        num_decoder_layers=2,
        num_heads=4,
        feedforward_channels=64,
        positional_encoding=dict(type='mmdet.SinePositionalEncoding', num_feats=16),
    )
    torch.manual_seed(0)
    return MODELS.build({**cfg, **kwargs}).double()


def feats(batch_size=2):
    g = torch.Generator().manual_seed(1)
    return [
        torch.randn(batch_size, c, *s, generator=g, dtype=torch.double)
        for c, s in zip((6, 8), SIZES)
    ]


@pytest.mark.parametrize('window', [1, 3, 9])
def test_peaks_pixel_by_pixel(window):
    torch.manual_seed(0)
    maps = torch.randn(2, 3, 5, 4, dtype=torch.double) * 2
    points, shares = locate_peaks(softmax_maps(maps), window, maps.flatten(-2).argmax(-1))
    for b in range(2):
        for q in range(3):
            m = maps[b, q]
            row, column = divmod(m.argmax().item(), 4)
            total, x, y = 0.0, 0.0, 0.0
            for i in range(5):
                for j in range(4):
                    if max(abs(i - row), abs(j - column)) > window // 2:
                        continue
                    p = m[i, j].exp()
                    total, x, y = total + p, x + p * (j + 0.5) / 4, y + p * (i + 0.5) / 5
            torch.testing.assert_close(points[b, q], torch.stack((x, y)) / total)
            torch.testing.assert_close(shares[b, q], total / m.exp().sum())


def test_windows_around_given_pixels():
    torch.manual_seed(0)
    maps = torch.randn(2, 5, 4, dtype=torch.double)
    # as if everything but the window were out of reach
    masked = torch.full_like(maps, -torch.inf)
    masked[0, 0:3, 0:2], masked[1, 2:5, 1:4] = maps[0, 0:3, 0:2], maps[1, 2:5, 1:4]
    points, shares = locate_peaks(softmax_maps(maps), 3, torch.tensor([1 * 4 + 0, 3 * 4 + 2]))
    expected, _ = locate_peaks(softmax_maps(masked), 9, masked.flatten(-2).argmax(-1))
    torch.testing.assert_close(points, expected)
    parts = (maps.exp() * masked.isfinite()).sum((1, 2)) / maps.exp().sum((1, 2))
    torch.testing.assert_close(shares, parts)


def test_empty_window():
    maps = torch.zeros(1, 9, 9)
    maps[0, 8, 8] = 1.0
    points, shares = locate_peaks(maps, 3, torch.tensor([0]))
    assert points.isfinite().all() and shares.item() == 0


def expected_oks(probs, x, y, sigma):
    """Of the answer (x, y), in pixels whose centers are at 0.5."""
    total = 0.0
    for i, row in enumerate(probs.tolist()):
        for j, p in enumerate(row):
            total += p * math.exp(-((x - j - 0.5) ** 2 + (y - i - 0.5) ** 2) / (2 * sigma**2))
    return total


@pytest.mark.parametrize('sigma', [1.0, 1.5, 3.0])
def test_points_of_the_highest_expected_oks(sigma):
    torch.manual_seed(0)
    probs = softmax_maps(torch.randn(2, 3, 6, 7, dtype=torch.double) * 3)
    points, peaks = find_peaks(probs, sigma)
    for b in range(2):
        for q in range(3):
            pixels = [
                (expected_oks(probs[b, q], j + 0.5, i + 0.5, sigma), 7 * i + j)
                for i in range(6)
                for j in range(7)
            ]
            best, peak = max(pixels)
            assert peaks[b, q] == peak
            x, y = points[b, q].tolist()
            found = expected_oks(probs[b, q], 7 * x, 6 * y, sigma)
            # nothing within a pixel around is better by more than the error of the parabola
            ups = [k / 10 for k in range(-10, 11)]
            around = max(
                expected_oks(probs[b, q], peak % 7 + 0.5 + dx, peak // 7 + 0.5 + dy, sigma)
                for dx in ups
                for dy in ups
            )
            assert best <= found * (1 + 1e-9) and around <= found * (1 + 2e-3)


@pytest.mark.parametrize('center', [(3.3, 2.9), (3.62, 4.05), (4.0, 3.5)])
def test_points_between_pixels(center):
    """The blurred Gaussian is one, too, whose logarithm is a parabola."""
    i, j = torch.meshgrid(torch.arange(9.0) + 0.5, torch.arange(8.0) + 0.5, indexing='ij')
    probs = (-((j - center[0]) ** 2 + (i - center[1]) ** 2) / 2 / 0.8**2).exp()
    points, _ = find_peaks(probs / probs.sum(), 1.0)
    expected = torch.tensor(center) / torch.tensor([8, 9])
    torch.testing.assert_close(points, expected, atol=2e-3, rtol=0)


@pytest.mark.parametrize('size', [(1, 1), (1, 6), (5, 1)])
def test_maps_of_one_row_or_column(size):
    probs = torch.zeros(1, *size)
    probs[..., -1] = 1 / size[0]
    for sigma in (0.05, 1.5, 1000.0):
        points, peaks = find_peaks(probs, sigma)
        assert points[0, 0] * size[1] == pytest.approx(size[1] - 0.5, abs=0.5)
        assert 0 <= points[0, 1] <= 1 and 0 <= peaks < size[0] * size[1]


def test_a_sure_pixel_is_the_point_for_every_sigma():
    probs = torch.zeros(1, 7, 8)
    probs[0, 4, 2] = 1
    for sigma in (0.01, 0.05, 1.0, 30.0):
        points, _ = find_peaks(probs, sigma)
        torch.testing.assert_close(points, torch.tensor([[2.5 / 8, 4.5 / 7]]))


@pytest.mark.parametrize('value', [torch.nan, torch.inf, 0.0])
def test_no_map_leads_out_of_it(value):
    points, peaks = find_peaks(torch.full((2, 5, 4), value), 1.5)
    assert (peaks >= 0).all() and (peaks < 20).all()
    assert points.isfinite().all() == (value == 0)


def test_points_on_a_border_and_of_flat_maps():
    probs = torch.zeros(3, 6, 7)
    probs[0, 0, 0] = probs[1, 5, 6] = 1
    probs[2] = 1 / 42
    points, peaks = find_peaks(probs, 1.5)
    assert peaks.tolist() == [0, 41, 2 * 7 + 3] or peaks.tolist() == [0, 41, 3 * 7 + 3]
    expected = torch.tensor([[0.5 / 7, 0.5 / 6], [6.5 / 7, 5.5 / 6], [0.5, 0.5]])
    torch.testing.assert_close(points, expected)


def test_a_broad_region_is_better_than_a_lone_pixel():
    probs = torch.zeros(1, 20, 20)
    probs[0, 3, 3] = 0.2
    probs[0, 11:14, 12:15] = 0.8 / 9
    points, peaks = find_peaks(probs, 1.5)
    assert probs.argmax() == 3 * 20 + 3 and peaks.item() == 12 * 20 + 13
    torch.testing.assert_close(points, torch.tensor([[13.5 / 20, 12.5 / 20]]))


@pytest.mark.parametrize('training, peak_sigma', [(False, 2.5), (False, 0), (True, 1.5)])
def test_training_keeps_to_the_window(training, peak_sigma):
    model = build(peak_sigma=peak_sigma).train(training)
    torch.manual_seed(0)
    probs = softmax_maps(torch.randn(2, 5, 8, 6) * 2)
    shared = softmax_maps(torch.randn(2, 5, 8, 6) * 2)
    for given in (None, shared):
        maps = probs if given is None else given
        points, confidences = model.locate(probs, given)
        if training or not peak_sigma:
            expected = locate_peaks(probs, 5, maps.flatten(-2).argmax(-1))
        else:
            expected, peaks = find_peaks(maps, 2.5)
            expected = expected, locate_peaks(probs, 5, peaks)[1]
        torch.testing.assert_close((points, confidences), expected)


def test_autocast_does_not_move_points():
    torch.manual_seed(0)
    probs = softmax_maps(torch.randn(4, 32, 24))
    with torch.autocast('cpu', torch.bfloat16):
        points, _ = find_peaks(probs, 1.5)
    assert torch.equal(points, find_peaks(probs, 1.5)[0])


def test_layers_written_out():
    """Kernel times pixel."""
    model = build().eval()
    outputs = {}
    model.pixel_decoder.register_forward_hook(lambda m, args, out: outputs.update(pixels=out))
    states, references, maps = model(feats())
    assert states.shape == (2, 2, 5, 32) and references is None
    assert maps.shape == (2, 2, 5, *SIZES[0])
    for layer in range(2):
        for b in range(2):
            for q in range(5):
                kernel = model.kernel_branch(states[layer, b, q]) + model.kernel_embedding.weight[q]
                expected = (kernel[:, None, None] * outputs['pixels'][b]).sum(0) / 8**0.5
                torch.testing.assert_close(
                    maps[layer, b, q].double(), expected, rtol=1e-4, atol=1e-5
                )


def test_last_layer_alone_equals_the_last_of_all():
    model = build().eval()
    layers, last = model(feats()), model(feats(), last_layer_only=True)
    for name in ('hidden_states', 'maps'):
        all_of, one = getattr(layers, name), getattr(last, name)
        assert len(all_of) == model.num_decoder_layers == 2
        torch.testing.assert_close(one, all_of[-1:])


@pytest.mark.parametrize('static_kernels', [True, False])
def test_static_kernels_start_alone(static_kernels):
    model = build(static_kernels=static_kernels)
    model.init_weights()
    maps = model(feats()).maps
    # no state has a say yet, so that all layers have the same maps
    assert torch.equal(maps[0], maps[1]) == static_kernels


def test_single_map():
    """A ViT's: the pixels are those of the tokens."""
    out = build(in_channels=[8])(feats())
    assert out.maps.shape == (2, 2, 5, *SIZES[1])
    assert out.maps.isfinite().all()


def test_every_parameter_has_a_gradient():
    model = build()
    out = model(feats())
    (out.hidden_states.square().sum() + out.maps.square().sum()).backward()
    for name, p in model.named_parameters():
        assert p.grad is not None and p.grad.isfinite().all(), name


def test_images_do_not_see_each_other():
    model = build().eval()
    both = model(feats())
    one = model([x[1:] for x in feats()])
    for name in ('hidden_states', 'maps'):
        torch.testing.assert_close(getattr(both, name)[:, 1:], getattr(one, name))


def test_bad_arguments():
    with pytest.raises(ValueError, match='window must be odd and positive, but is 4'):
        build(window=4)
    for value in (-1, math.nan, math.inf, '1.5', None):
        with pytest.raises(
            ValueError, match=f'peak_sigma must be a positive, finite .* but is {value!r}'
        ):
            build(peak_sigma=value)
