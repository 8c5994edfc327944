"""The configs with backbones that are not in the paper."""

import copy
import re
import warnings

import pytest
import torch
from mmengine.analysis import FlopAnalyzer
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.optim import build_optim_wrapper
from mmpose.registry import MODELS
from mmpose.testing import get_packed_inputs
from test_configs import (
    FILES,
    build,
    load,
    metafiles,
    one_thread,  # noqa: F401
)

NAMES = [name for name in FILES if re.search(r'prtr_(?!res|hrnet).*_coco-', name)]
NOT_PUBLISHED = NAMES + [
    name
    for name in FILES
    if re.search(r'_(crowdpose|coco-wholebody|coco-wholebody-hand|coco-mpii)-\d', name)
]


def small_cfg(name: str) -> Config:
    """The model with less layers, and without downloads."""
    cfg = copy.deepcopy(load(name))
    model = cfg.model
    model.backbone.init_cfg = None
    model.head.num_queries = 20
    model.head.transformer.update(num_encoder_layers=1, num_decoder_layers=1)
    if 'swin' in name:
        model.backbone.depths = (1, 1, 1, 1)
    elif 'vit' in name:
        model.backbone.arch.num_layers = 2
    elif 'cspnext' in name:
        model.backbone.deepen_factor = 0.33
    return cfg


def test_names():
    assert len(NAMES) == 5 and len(NOT_PUBLISHED) == 9


@pytest.mark.parametrize('name', NAMES)
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


@pytest.mark.parametrize('name', NAMES)
def test_recipe(name):
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
    for key in ('optim_wrapper', 'param_scheduler', 'train_cfg', 'auto_scale_lr', 'test_evaluator'):
        assert cfg[key] == resnet[key], key
    for key in ('type', 'loss_cls', 'loss_kpt', 'assigner', 'transformer'):
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
    """The strides that the README tells."""
    if '_vit-' in name:
        pytest.importorskip('mmpretrain')
    backbone = MODELS.build(small_cfg(name).model.backbone)
    with torch.no_grad():
        maps = backbone(torch.zeros(1, 3, 256, 192))
    found = [256 // x.shape[-2] for x in maps]
    assert found == (stride if isinstance(stride, list) else [stride])


@pytest.mark.parametrize('name', NOT_PUBLISHED)
@pytest.mark.usefixtures('one_thread')
def test_counted_figures(name, monkeypatch):
    """Metafile and README tell what is counted here."""
    (entry,) = [
        model
        for content in metafiles().values()
        for model in content['Models']
        if model['Name'] == name
    ]
    assert 'Results' not in entry
    meta = entry['Metadata']
    model = build(name, 'cpu')
    model.eval()
    monkeypatch.setattr(model, 'forward', model._forward)
    width, height = load(name).codec.input_size
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        flops = FlopAnalyzer(model, torch.zeros(1, 3, height, width))
        flops.unsupported_ops_warnings(False)
        flops.uncalled_modules_warnings(False)
        assert flops.total() == pytest.approx(meta['FLOPs'], rel=1e-3)

    readme = FILES[name].with_name('README.md').read_text()
    (row,) = re.findall(rf'^\| \[{name}\].*', readme, re.M)
    assert row.endswith(f'| {meta["Parameters"] / 1e6:.1f}M | {meta["FLOPs"] / 1e9:.1f} |')
