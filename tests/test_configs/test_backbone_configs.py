"""The configs with backbones and datasets that are not in the paper."""

import pytest
from mmengine.hub import get_config

from helpers.catalog import PLUS, VARIANTS, count_multiply_adds, load, metafile_entry, readme_row
from helpers.small_configs import check_step_and_prediction, strides

BACKBONES = [name for name in VARIANTS if '_res50_' not in name]
GTBOX = 'td-prtr_res50_4xb32-200e_coco-384x288_paper-gtbox'


def test_names():
    assert len(BACKBONES) == 5 and len(VARIANTS) == 9


@pytest.mark.parametrize('name', BACKBONES)
def test_trains_a_step_and_predicts(name, mmpose_scope):
    check_step_and_prediction(name)


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
    assert ours.data_preprocessor == dict(theirs.data_preprocessor, non_blocking=True)
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
    assert strides(name) == (stride if isinstance(stride, list) else [stride])


@pytest.mark.slow
@pytest.mark.parametrize('name', [*VARIANTS, *PLUS])
def test_counted_gflops(name):
    """Metafile and README say what is counted here."""
    entry = metafile_entry(name)
    assert 'Results' not in entry
    counted = sum(count_multiply_adds(name).values())
    assert counted == pytest.approx(entry['Metadata']['FLOPs'], rel=1e-3)
    assert readme_row(name)[-1] == f'{counted / 1e9:.1f}'
