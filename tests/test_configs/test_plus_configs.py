"""The configs of PRTR+: the data and backbones of PRTR's, with another head and schedule."""

import pytest

from helpers.catalog import PLUS, build_without_memory, load
from helpers.small_configs import check_step_and_prediction, strides
from prtr_plugin.apis import load_config

# of each config, the one of the paper's head with the same data or backbone
COUNTERPARTS = {
    'td-prtr-plus_cspnext-m_4xb32-210e_coco-256x192': 'td-prtr_cspnext-m_4xb32-200e_coco-256x192',
    # with a backbone that no PRTR has
    'td-prtr-plus_efficientnet-lite0_4xb32-210e_coco-256x192': (
        'td-prtr_swin-t_4xb32-200e_coco-256x192'
    ),
    'td-prtr-plus_efficientnet-lite0_1xb32-20e_lspe-128x96': 'td-prtr_res18_1xb32-1e_lspe-128x96',
    'td-prtr-plus_hrnet-w32_4xb32-210e_coco-256x192': 'td-prtr_hrnet-w32_4xb16-200e_coco-384x288',
    'td-prtr-plus_res50_4xb32-210e_coco-256x192': 'td-prtr_swin-t_4xb32-200e_coco-256x192',
    'td-prtr-plus_res50_4xb32-210e_coco-384x288': 'td-prtr_res50_4xb32-200e_coco-384x288',
    'td-prtr-plus_swin-t_4xb32-210e_coco-256x192': 'td-prtr_swin-t_4xb32-200e_coco-256x192',
    'td-prtr-plus_vit-s_4xb32-210e_coco-256x192': 'td-prtr_vit-s_4xb32-200e_coco-256x192',
    'td-prtr-plus_res18_1xb32-20e_lspe-128x96': 'td-prtr_res18_1xb32-1e_lspe-128x96',
    'td-prtr-plus_res50_4xb32-210e_mpii-256x256': 'td-prtr_res50_4xb32-200e_mpii-256x256',
    'td-prtr-plus_res18_1xb16-5e_synthetic-128x96': 'td-prtr_res18_1xb32-20e_synthetic-128x96',
    'td-prtr-plus_res50_4xb32-210e_coco-wholebody-256x192': (
        'td-prtr_res50_4xb32-200e_coco-wholebody-384x288'
    ),
}
OTHER_KINDS = ('res50', 'hrnet', 'swin', 'cspnext', 'efficientnet')
LARGE = [name for name in PLUS if '_4xb' in name]
# the others have the models of these, with other sizes and numbers of joints
MODELS = [name for name in PLUS if not any(x in name for x in ('384x288', 'synthetic', 'mpii'))]


def test_names():
    assert set(PLUS) == set(COUNTERPARTS)


@pytest.mark.parametrize('name', MODELS)
def test_trains_a_step_and_predicts(name, mmpose_scope):
    check_step_and_prediction(name)


@pytest.mark.parametrize('name', MODELS)
def test_maps(name, mmpose_scope):
    """All that the backbone has, from a quarter of the input on."""
    expected = {'vit': [16], 'res18': [4, 8, 16]}
    (kind,) = [kind for kind in (*expected, *OTHER_KINDS) if kind in name]
    assert strides(name) == expected.get(kind, [4, 8, 16, 32])


@pytest.mark.parametrize('name', PLUS)
def test_one_head(name):
    """Losses, matching and read-out are those of the first one; widths are of two kinds."""
    cfg, first = load(name), load('td-prtr-plus_res50_4xb32-210e_coco-256x192')
    head = cfg.model.head
    for key in ('type', 'loss_cls', 'loss_kpt', 'loss_map', 'assigner', 'class_bias'):
        assert head[key] == first.model.head[key], key
    assert cfg.model.test_cfg == dict(flip_test=True, shift_coords=True)
    assert head.decoder.include_background
    transformer = dict(first.model.head.transformer)
    if name not in LARGE:
        encoding = dict(transformer['positional_encoding'], num_feats=64)
        transformer.update(
            pixel_channels=96, num_heads=4, feedforward_channels=256, positional_encoding=encoding
        )
    if 'vit-s' in name:
        # its pixels are wide
        transformer['peak_sigma'] = 0
    assert head.transformer == transformer
    # a few to choose from
    assert 3 <= head.num_queries - head.out_channels <= 7


def without_encoder(pipeline):
    return [{k: v for k, v in step.items() if k != 'encoder'} for step in pipeline]


@pytest.mark.parametrize('name', PLUS)
def test_data_and_backbone_are_those_of_prtr(name):
    """Apart from the size of the crops."""
    cfg, theirs = load(name), load(COUNTERPARTS[name])
    assert cfg.test_evaluator == theirs.test_evaluator
    for split in ('train', 'val'):
        ours, other = (c[f'{split}_dataloader'].dataset.to_dict() for c in (cfg, theirs))
        steps = [without_encoder(dataset.pop('pipeline')) for dataset in (ours, other)]
        assert ours == other
        for pipeline in steps:
            for step in pipeline:
                step.pop('input_size', None)
        assert steps[0] == steps[1]
    if '_res50_' not in name and 'efficientnet' not in name:
        ours, other = (dict(c.model.backbone, out_indices=None) for c in (cfg, theirs))
        assert ours == dict(other, out_indices=None)
    assert cfg.model.data_preprocessor.bgr_to_rgb


@pytest.mark.parametrize('name', LARGE)
def test_schedule(name):
    cfg = load(name)
    assert cfg.optim_wrapper == load(LARGE[0]).optim_wrapper
    assert cfg.optim_wrapper.optimizer == dict(type='AdamW', lr=5e-4, weight_decay=1e-4)
    assert cfg.optim_wrapper.clip_grad == dict(max_norm=1.0)
    warm_up, cosine = cfg.param_scheduler
    assert (warm_up.type, warm_up.end, warm_up.by_epoch) == ('LinearLR', 500, False)
    assert (cosine.type, cosine.end) == ('CosineAnnealingLR', 210)


@pytest.mark.parametrize('name', [name for name in LARGE if '_res50_' in name])
def test_nothing_is_frozen(name):
    """Unlike in the ResNets of the paper."""
    model = build_without_memory(name).train()
    assert all(p.requires_grad for p in model.parameters())
    assert all(m.training for m in model.modules())


def test_small_schedule():
    cfg = load('td-prtr-plus_res18_1xb16-5e_synthetic-128x96')
    assert cfg.optim_wrapper.optimizer.lr == 4e-3
    assert [schedule.end for schedule in cfg.param_scheduler] == [100, 5]


def test_the_benchmark_measures_the_head_of_the_quickstart():
    small = load('td-prtr-plus_res18_1xb16-5e_synthetic-128x96')
    measured = load_config('projects/head_benchmark/configs/prtr_plus.py')
    assert measured.model == small.model
