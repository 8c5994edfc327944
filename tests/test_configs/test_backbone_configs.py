"""The configs with backbones and datasets that are not in the paper."""

import copy

import pytest
import torch
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.optim import build_optim_wrapper
from mmpose.registry import MODELS
from mmpose.testing import get_packed_inputs

from helpers.catalog import (
    VARIANTS,
    count_multiply_adds,
    load,
    metafile_entry,
    readme_row,
    set_input_size,
)

BACKBONES = [name for name in VARIANTS if '_res50_' not in name]
GTBOX = 'td-prtr_res50_4xb32-200e_coco-384x288_paper-gtbox'
SIZE = (96, 128)


def small_cfg(name: str) -> Config:
    """The model with fewer layers and small crops, and without downloads."""
    cfg = copy.deepcopy(load(name))
    model = cfg.model
    model.backbone.init_cfg = None
    model.head.num_queries = 20
    model.head.transformer.update(
        num_encoder_layers=1, num_decoder_layers=1, feedforward_channels=256
    )
    set_input_size(cfg._cfg_dict, SIZE)
    if 'swin' in name:
        model.backbone.depths = (1, 1, 1, 1)
    elif 'vit' in name:
        model.backbone.arch.num_layers = 2
        model.backbone.img_size = SIZE[::-1]
    elif 'cspnext' in name:
        model.backbone.deepen_factor = 0.33
    return cfg


def test_names():
    assert len(BACKBONES) == 5 and len(VARIANTS) == 9


@pytest.mark.parametrize('name', BACKBONES)
def test_trains_a_step_and_predicts(name, mmpose_scope):
    if '_vit-' in name:
        pytest.importorskip('mmpretrain')
    cfg = small_cfg(name)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    width, height = cfg.codec.input_size
    batch = get_packed_inputs(
        2,
        num_instances=1,
        img_shape=(height, width),
        input_size=(width, height),
        with_reg_label=True,
    )
    for sample in batch['data_samples']:
        labels = sample.gt_instance_labels
        labels.keypoint_weights = torch.ones(1, 17)
    before = [p.detach().clone() for p in model.backbone.parameters()]
    model.train()
    losses = model.train_step(batch, wrapper)
    assert losses['loss'].isfinite() and losses['loss_kpt'] > 0
    assert any(not torch.equal(p, old) for p, old in zip(model.backbone.parameters(), before))
    model.eval()
    with torch.no_grad():
        results = model.test_step(batch)
    shapes = [sample.pred_instances.keypoints.shape for sample in results]
    assert shapes == [(1, 17, 2)] * 2


@pytest.mark.parametrize('name', [*VARIANTS, GTBOX])
def test_recipe(name):
    """The schedule and the augmentation are the paper's for COCO."""
    cfg = load(name)
    deformable = 'deformable' in name
    paper = load(
        'td-deformable-prtr_res50_4xb16-100e_coco-384x288'
        if deformable
        else 'td-prtr_res50_4xb32-200e_coco-384x288'
    )
    for key in ('optim_wrapper', 'param_scheduler', 'train_cfg', 'auto_scale_lr'):
        assert cfg[key] == paper[key], key
    steps = {step.type: step for step in cfg.train_dataloader.dataset.pipeline}
    for step in paper.train_pipeline[1:4]:
        if step.type == 'RandomBBoxClippedNormal' and '-hand-' in name:
            # hands point anywhere
            step = dict(step, rotate_factor=90)
        assert steps[step['type']] == step
    assert set(steps) - {'ClipBBoxInclusive'} == {step.type for step in paper.train_pipeline}


@pytest.mark.parametrize('name', BACKBONES)
def test_backbone(name):
    """Colours, size and pretrained weights; the rest is the ResNet's."""
    cfg = load(name)
    assert cfg.model.data_preprocessor.bgr_to_rgb
    assert cfg.codec.input_size == (192, 256)
    assert cfg.model.backbone.init_cfg.checkpoint
    deformable = 'deformable' in name
    resnet = load(
        'td-deformable-prtr_res50_4xb16-100e_coco-384x288'
        if deformable
        else 'td-prtr_res50_4xb32-200e_coco-384x288'
    )
    assert cfg.test_evaluator == resnet.test_evaluator
    for key in ('type', 'num_queries', 'embed_dims', 'transformer'):
        assert cfg.model.head[key] == resnet.model.head[key], key


@pytest.mark.parametrize(
    'name, theirs',
    [
        ('td-prtr_swin-t_4xb32-200e_coco-256x192', 'td-hm_swin-t-p4-w7_8xb32-210e_coco-256x192'),
        ('td-prtr_vit-s_4xb32-200e_coco-256x192', 'td-hm_ViTPose-small_8xb64-210e_coco-256x192'),
        (
            'td-prtr_mobilenetv2_4xb32-200e_coco-256x192',
            'td-hm_mobilenetv2_8xb64-210e_coco-256x192',
        ),
        ('td-prtr_cspnext-m_4xb32-200e_coco-256x192', 'cspnext-m_udp_8xb256-210e_coco-256x192'),
    ],
)
def test_backbone_is_that_of_mmpose(name, theirs):
    """The pretrained weights fit, so the settings have to be mmpose's."""
    theirs = get_config(f'mmpose::body_2d_keypoint/topdown_heatmap/coco/{theirs}.py').model
    ours = load(name).model
    assert ours.head.in_channels == theirs.head.in_channels
    assert ours.data_preprocessor == theirs.data_preprocessor
    for key, value in ours.backbone.items():
        if key != 'norm_cfg':
            assert theirs.backbone[key] == value, key


@pytest.mark.parametrize(
    'name, stride',
    [
        ('td-prtr_swin-t_4xb32-200e_coco-256x192', 32),
        ('td-prtr_vit-s_4xb32-200e_coco-256x192', 16),
        ('td-deformable-prtr_swin-t_4xb16-100e_coco-256x192', [8, 16, 32]),
    ],
)
def test_stride(name, stride, mmpose_scope):
    """Those in README.md."""
    if '_vit-' in name:
        pytest.importorskip('mmpretrain')
    backbone = MODELS.build(small_cfg(name).model.backbone)
    with torch.no_grad():
        maps = backbone(torch.zeros(1, 3, *SIZE[::-1]))
    found = [SIZE[1] // x.shape[-2] for x in maps]
    assert found == (stride if isinstance(stride, list) else [stride])


@pytest.mark.slow
@pytest.mark.parametrize('name', VARIANTS)
def test_counted_gflops(name):
    """Metafile and README say what is counted here."""
    entry = metafile_entry(name)
    assert 'Results' not in entry
    counted = sum(count_multiply_adds(name).values())
    assert counted == pytest.approx(entry['Metadata']['FLOPs'], rel=1e-3)
    assert readme_row(name)[-1] == f'{counted / 1e9:.1f}'
