import pytest
import torch
from mmpose.registry import MODELS

from prtr_plugin.models.transformers import locate_peaks, softmax_maps

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
    points, shares = locate_peaks(softmax_maps(maps), window)
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
    expected, _ = locate_peaks(softmax_maps(masked), 9)
    torch.testing.assert_close(points, expected)
    parts = (maps.exp() * masked.isfinite()).sum((1, 2)) / maps.exp().sum((1, 2))
    torch.testing.assert_close(shares, parts)


def test_empty_window():
    maps = torch.zeros(1, 9, 9)
    maps[0, 8, 8] = 1.0
    points, shares = locate_peaks(maps, 3, torch.tensor([0]))
    assert points.isfinite().all() and shares.item() == 0


def test_layers_written_out():
    """Kernel times pixel, then the expectation around the peak."""
    model = build().eval()
    outputs = {}
    model.pixel_decoder.register_forward_hook(lambda m, args, out: outputs.update(pixels=out))
    states, references, maps, confidences = model(feats())
    assert states.shape == (2, 2, 5, 32) and references.shape == (2, 2, 5, 2)
    assert maps.shape == (2, 2, 5, *SIZES[0])
    for layer in range(2):
        for b in range(2):
            for q in range(5):
                kernel = model.kernel_branch(states[layer, b, q]) + model.kernel_embedding.weight[q]
                expected = (kernel[:, None, None] * outputs['pixels'][b]).sum(0) / 8**0.5
                torch.testing.assert_close(
                    maps[layer, b, q].double(), expected, rtol=1e-4, atol=1e-5
                )
    points, shares = locate_peaks(softmax_maps(maps), 5)
    torch.testing.assert_close(references, points.to(references))
    torch.testing.assert_close(confidences, shares[-1])


def test_last_layer_alone_equals_the_last_of_all():
    model = build().eval()
    layers, last = model(feats()), model(feats(), last_layer_only=True)
    for all_of, one in zip(layers[:3], last[:3]):
        assert len(all_of) == model.num_decoder_layers == 2
        torch.testing.assert_close(one, all_of[-1:])
    torch.testing.assert_close(last.confidences, layers.confidences)


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
    assert out.references.isfinite().all()


def test_every_parameter_has_a_gradient():
    model = build()
    out = model(feats())
    (out.hidden_states.square().sum() + out.references.sum() + out.maps.square().sum()).backward()
    for name, p in model.named_parameters():
        assert p.grad is not None and p.grad.isfinite().all(), name


def test_images_do_not_see_each_other():
    model = build().eval()
    both = model(feats())
    one = model([x[1:] for x in feats()])
    for a, b in zip(both[:3], one[:3]):
        torch.testing.assert_close(a[:, 1:], b)


def test_bad_arguments():
    with pytest.raises(ValueError, match='window must be odd and positive, but is 4'):
        build(window=4)
