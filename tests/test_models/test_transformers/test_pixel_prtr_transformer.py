import pytest
import torch
from mmdet.models.layers import MLP, inverse_sigmoid
from mmengine.model import ModuleList
from mmpose.registry import MODELS

from prtr_plugin.models.transformers.pixel_prtr_transformer import locate_peaks, sample_around

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
        num_refine_layers=2,
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


def branches(num=4):
    torch.manual_seed(5)
    return ModuleList(MLP(32, 32, 2, 3) for _ in range(num)).double()


@pytest.mark.parametrize('window', [1, 3, 9])
def test_peaks_pixel_by_pixel(window):
    torch.manual_seed(0)
    maps = torch.randn(2, 3, 5, 4, dtype=torch.double) * 2
    points, shares = locate_peaks(maps, window)
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


def test_samples_are_the_pixels_around_a_point():
    pixels = torch.randn(2, 3, 6, 5)
    points = torch.tensor([[[2.5 / 5, 3.5 / 6]], [[1.5 / 5, 1.5 / 6]]])
    samples = sample_around(pixels, points)
    assert samples.shape == (2, 1, 27)
    for b, (row, column) in enumerate(((3, 2), (1, 1))):
        expected = pixels[b, :, row - 1 : row + 2, column - 1 : column + 2].permute(1, 2, 0)
        torch.testing.assert_close(samples[b, 0], expected.flatten(), atol=1e-5, rtol=1e-5)


def test_layers_written_out():
    """Kernel times pixel, expectation around the peak, refinement from there."""
    model, kpt_branches = build().eval(), branches()
    outputs = {}
    model.pixel_decoder.register_forward_hook(lambda m, args, out: outputs.update(pixels=out))
    states, references, maps, confidences = model(feats(), kpt_branches=kpt_branches)
    assert states.shape == (4, 2, 5, 32) and references.shape == (4, 2, 5, 2)
    assert maps.shape == (2, 2, 5, *SIZES[0])
    pixels = outputs['pixels']
    for layer in range(2):
        for b in range(2):
            for q in range(5):
                kernel = model.kernel_branch(states[layer, b, q]) + model.kernel_embedding.weight[q]
                expected = (kernel[:, None, None] * pixels[b]).sum(0) / 8**0.5
                torch.testing.assert_close(
                    maps[layer, b, q].double(), expected, rtol=1e-4, atol=1e-5
                )
    points, shares = locate_peaks(maps, 5)
    torch.testing.assert_close(references[:2], points.to(references))
    torch.testing.assert_close(confidences, shares[-1])
    for layer in (2, 3):
        offset = kpt_branches[layer - 1](states[layer - 1])
        moved = (offset + inverse_sigmoid(references[layer - 1])).sigmoid()
        torch.testing.assert_close(references[layer], moved.to(references))
        around = torch.cat((states[layer - 1], sample_around(pixels, moved)), -1)
        refined = states[layer - 1] + model.refine_layers[layer - 2](around)
        torch.testing.assert_close(states[layer], model.refine_norms[layer - 2](refined))


@pytest.mark.parametrize('num_refine_layers', [0, 1, 2])
def test_last_layer_alone_equals_the_last_of_all(num_refine_layers):
    model = build(num_refine_layers=num_refine_layers).eval()
    kwargs = dict(kpt_branches=branches(2 + num_refine_layers)) if num_refine_layers else {}
    layers = model(feats(), **kwargs)
    last = model(feats(), last_layer_only=True, **kwargs)
    assert len(layers.hidden_states) == model.num_decoder_layers == 2 + num_refine_layers
    torch.testing.assert_close(last.hidden_states, layers.hidden_states[-1:])
    torch.testing.assert_close(last.references, layers.references[-1:])
    torch.testing.assert_close(last.maps, layers.maps[-1:])


def test_refinement_leads_no_gradient_back():
    model, kpt_branches = build(), branches()
    references = model(feats(), kpt_branches=kpt_branches).references
    for layers, learns in ((references[:2], True), (references[2:], False)):
        model.zero_grad()
        layers.sum().backward(retain_graph=True)
        grads = [p.grad for p in (*model.parameters(), *kpt_branches.parameters())]
        assert any(g is not None and g.any() for g in grads) == learns


@pytest.mark.parametrize('static_kernels', [True, False])
def test_static_kernels_start_alone(static_kernels):
    model = build(static_kernels=static_kernels)
    model.init_weights()
    maps = model(feats(), kpt_branches=branches()).maps
    # no state has a say yet, so that all layers have the same maps
    assert torch.equal(maps[0], maps[1]) == static_kernels


def test_every_parameter_has_a_gradient():
    model = build()
    out = model(feats(), kpt_branches=branches())
    (out.hidden_states.square().sum() + out.references.sum() + out.maps.square().sum()).backward()
    for name, p in model.named_parameters():
        assert p.grad is not None and p.grad.isfinite().all(), name


def test_images_do_not_see_each_other():
    model, kpt_branches = build().eval(), branches()
    both = model(feats(), kpt_branches=kpt_branches)
    one = model([x[1:] for x in feats()], kpt_branches=kpt_branches)
    for a, b in zip(both[:3], one[:3]):
        torch.testing.assert_close(a[:, 1:], b)


def test_bad_arguments():
    with pytest.raises(ValueError, match='window must be odd and positive, but is 4'):
        build(window=4)
    with pytest.raises(ValueError, match='num_refine_layers=2 needs .*with_kpt_refine=True'):
        build()(feats())
