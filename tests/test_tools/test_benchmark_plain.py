"""The plain version of the benchmark computes what the plugin does."""

import copy

import pytest
import torch


@pytest.fixture(scope='module', params=['post_norm', 'pre_norm', 'deformable'])
def pair(request, small_cfg, cases):
    """A model and its plain version, and an input."""
    cfg = copy.deepcopy(small_cfg)
    cfg.model.head.transformer.pre_norm = request.param == 'pre_norm'
    if request.param == 'deformable':
        cfg.model.backbone.out_indices = (1, 2)
        cfg.model.head.update(type='DeformablePRTRHead', in_channels=[16, 32], num_feature_levels=3)
    ours, plain = (
        cases.Variant('name', mode, cfg).build(training=False) for mode in ('config', 'plain')
    )
    # they take the same weights
    plain.load_state_dict(ours.state_dict())
    width, height = cases.input_size(cfg)
    image = torch.randn(4, 3, height, width, generator=torch.Generator().manual_seed(0))
    return ours, plain, image


def test_plain_outputs(pair):
    ours, plain, image = pair
    with torch.no_grad():
        for a, b in zip(ours(image, None), plain(image, None)):
            torch.testing.assert_close(b, a, rtol=1e-5, atol=1e-5)
        for a, b in zip(*(m.head.forward_levels(m.extract_feat(image)) for m in (ours, plain))):
            torch.testing.assert_close(b, a, rtol=1e-5, atol=1e-5)


def test_plain_read_out(pair, tasks):
    ours, plain, image = pair
    with torch.no_grad():
        outputs = ours(image, None)
    # few conflicts, and many
    for logits, coords in (tuple(x[0] for x in tasks.trained_outputs(1, 8, 20, 17)[:2]), outputs):
        mine = ours.head.decoder.batch_decode(logits, coords)
        theirs = plain.head.decoder.batch_decode(logits, coords)
        for a, b in zip(mine, theirs):
            assert len(a) == len(b) == len(logits)
            torch.testing.assert_close(b, a, rtol=1e-6, atol=1e-6)


def test_plain_losses_and_gradients(pair):
    # deformable sampling has kinks: rounding must not move a point over one
    ours, plain, image = (copy.deepcopy(x).double() for x in pair)
    rng = torch.Generator().manual_seed(0)
    labels = torch.rand(4, 17, 2, generator=rng)
    weights = (torch.rand(4, 17, generator=rng) > 0.3).float()
    found = []
    for model in (ours, plain):
        outputs = model.head.forward_levels(model.extract_feat(image))
        losses = model.head.loss_by_feat(*outputs, labels, weights)
        losses.pop('acc_pose', None)
        model.zero_grad()
        sum(losses.values()).backward()
        grads = {k: p.grad for k, p in model.named_parameters()}
        found.append((losses, grads, outputs))
    (losses, grads, outputs), (plain_losses, plain_grads, _) = found
    assert list(losses) == list(plain_losses) and len(losses) == 4
    for key, value in losses.items():
        torch.testing.assert_close(plain_losses[key], value, rtol=1e-5, atol=1e-5)
    for key, value in grads.items():
        if value is not None:
            error = (plain_grads[key] - value).norm()
            assert error <= 1e-5 * value.norm() + 1e-9, key

    logits, coords = (x.detach().float() for x in outputs)
    matches, _ = ours.head._match(logits, coords, labels)
    for level, expected in enumerate(matches):
        found = plain.head.match(logits[level], coords[level], labels)
        assert [m.tolist() for m in found] == expected.tolist()


def test_plain_uses_unfused_attention(pair, monkeypatch):
    ours, plain, image = pair

    def fail(*args, **kwargs):
        raise AssertionError('fused')

    name = 'torch.nn.functional.scaled_dot_product_attention'
    monkeypatch.setattr(name, fail)
    plain(image, None)
    with pytest.raises(AssertionError, match='fused'):
        ours(image, None)


@pytest.mark.parametrize('training', [True, False])
def test_modes_compute_the_same(cases, tasks, small_cfg, training, monkeypatch):
    """They only differ in speed."""
    compiled = []

    def trace(function):
        # as torch.compile does, without generating code, which takes long
        compiled.append(function.__name__)
        return original(function, backend='eager')

    original = torch.compile
    monkeypatch.setattr(torch, 'compile', trace)
    found = []
    for mode in cases.MODES:
        variant = cases.Variant('name', mode, small_cfg)
        # the pipeline of testing has no random numbers
        case = tasks.Inference(variant, 2, torch.device('cpu'))
        case.model = variant.build(training)
        if training:
            rng = torch.Generator().manual_seed(0)
            losses = case.model.head.loss_by_feat(
                *case.model.head.forward_levels(case.model.extract_feat(case.batch()['inputs'])),
                torch.rand(2, 17, 2, generator=rng),
                torch.ones(2, 17),
            )
            found.append([v for k, v in losses.items() if 'loss' in k])
        else:
            found.append(case.outputs())
    assert compiled == ['extract_feat', 'forward_levels'] * 2
    for other in found[1:]:
        assert len(other) == len(found[0]) > 1
        for a, b in zip(other, found[0]):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_only_prtr_has_a_plain_version(load_tool, mmpose_scope):
    plain = load_tool('analysis_tools/benchmark_plain.py')
    with pytest.raises(ValueError, match='PRTRHead'):
        plain.make_plain(torch.nn.Linear(1, 1))
