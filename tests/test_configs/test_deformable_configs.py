"""The configs of the deformable models say what the paper's authors say."""

import warnings

import pytest
import torch
from mmengine.analysis import FlopAnalyzer
from mmengine.optim import build_optim_wrapper
from test_configs import FILES, backbone_norm_params, build, count, load, one_thread  # noqa: F401

NAMES = [name for name in FILES if name.startswith('td-deformable-prtr_res')]
R50, R101 = (f'td-deformable-prtr_res{depth}_4xb16-100e_coco-384x288' for depth in (50, 101))
PLAIN = 'td-prtr_res50_4xb32-200e_coco-384x288'


@pytest.mark.parametrize('name, total', [(R50, 46_251_734), (R101, 65_191_638)])
def test_parameter_count(name, total):
    params = set(build(name).parameters())
    params -= set(backbone_norm_params(build(name)))
    assert count(params) == total
    assert count(p for p in params if not p.requires_grad) == 222_400


@pytest.mark.parametrize('name, published, counted', [(R50, 29.1, 29.373), (R101, 37.3, 37.577)])
@pytest.mark.usefixtures('one_thread')
def test_flops(name, published, counted, monkeypatch):
    model = build(name, 'cpu').eval()
    monkeypatch.setattr(model, 'forward', model._forward)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        flops = FlopAnalyzer(model, torch.zeros(1, 3, 384, 288))
        flops.unsupported_ops_warnings(False)
        flops.uncalled_modules_warnings(False)
        assert flops.total() / 1e9 == pytest.approx(counted, abs=1e-3)
        by_operator = flops.by_operator()

    # places of all levels and queries, each of which looks at 16 points of 32
    # channels in 8 heads, in 6 layers, as the mean of 4 neighbours
    places = 48 * 36 + 24 * 18 + 12 * 9 + 6 * 5
    samples = (places + 100) * 6 * 8 * 16 * 32
    assert by_operator['grid_sampler'] == 4 * samples
    # the authors' figures are without it
    without = flops.total() - by_operator['grid_sampler']
    assert round(without / 1e9, 1) == published


def test_schedule():
    assert sorted(NAMES) == sorted((R50, R101))
    for name in NAMES:
        cfg = load(name)
        assert cfg.train_dataloader.batch_size == 16
        assert cfg.auto_scale_lr.base_batch_size == 64
        assert cfg.train_cfg.max_epochs == 100
        (scheduler,) = cfg.param_scheduler
        assert scheduler.type == 'MultiStepLR'
        assert (scheduler.milestones, scheduler.gamma) == ([50, 70], 0.5)
        assert scheduler.end == 100
        assert cfg.codec.input_size == (288, 384)
        assert cfg.model.head.with_kpt_refine is False
        # colours, augmentation, detections and flip test are the plain one's
        plain = load(PLAIN)
        for key in ('train_pipeline', 'val_pipeline', 'test_dataloader', 'test_evaluator', 'codec'):
            assert cfg[key] == plain[key], key
        for key in ('data_preprocessor', 'test_cfg'):
            assert cfg.model[key] == plain.model[key], key
        for key in (
            'loss_cls',
            'loss_kpt',
            'assigner',
            'num_queries',
            'embed_dims',
            'positional_encoding',
        ):
            assert cfg.model.head[key] == plain.model.head[key], key


@pytest.mark.parametrize('name', NAMES)
def test_optimizer(name):
    model = build(name)
    wrapper = build_optim_wrapper(model, load(name).optim_wrapper)
    assert wrapper.clip_grad_kwargs == dict(max_norm=0.1)
    rates = {p: group['lr'] for group in wrapper.optimizer.param_groups for p in group['params']}
    assert {g['weight_decay'] for g in wrapper.optimizer.param_groups} == {1e-4}
    slow = 0
    for key, param in model.named_parameters():
        if not param.requires_grad:
            continue
        places = 'reference_points' in key or 'sampling_offsets' in key
        slow += places
        expected = 1e-5 if places or key.startswith('backbone.') else 1e-4
        assert rates[param] == pytest.approx(expected), key
    # weights and biases of 12 attentions, and of the reference points
    assert slow == 2 * (12 + 1)
