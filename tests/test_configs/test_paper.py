"""The models of the paper: their configs against tests/data/paper.yml."""

import inspect

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmpose.registry import MODELS
from torch.nn.modules.batchnorm import _BatchNorm

from helpers.catalog import (
    FILES,
    PAPER,
    build_without_memory,
    count,
    count_multiply_adds,
    counted_parameters,
    load,
    metafile_entry,
    readme_row,
)
from prtr_plugin.models.heads import PRTRHead

WITH_GFLOPS = [name for name in PAPER if 'gflops' in PAPER[name] and 'deformable' not in name]
DEFORMABLE = [name for name in PAPER if 'deformable' in name]
CASCADE = 'prtr-cascade_res50_8xb2-50e_coco-800x1333'


def test_every_model_has_a_config():
    assert set(PAPER) <= set(FILES)


@pytest.mark.parametrize('name', PAPER)
def test_schedule(name):
    cfg, paper = load(name), PAPER[name]
    assert cfg.train_dataloader.batch_size == paper['batch']
    assert cfg.train_cfg.max_epochs == paper['epochs']
    assert cfg.param_scheduler == [
        dict(
            type='MultiStepLR',
            begin=0,
            end=paper['epochs'],
            milestones=paper['steps'],
            gamma=0.5,
            by_epoch=True,
        )
    ]


@pytest.mark.parametrize('name', PAPER)
def test_optimizer(name):
    model = build_without_memory(name)
    wrapper = build_optim_wrapper(model, load(name).optim_wrapper)
    assert isinstance(wrapper.optimizer, torch.optim.AdamW)
    assert wrapper.clip_grad_kwargs == dict(max_norm=0.1)
    rates = {p: group['lr'] for group in wrapper.optimizer.param_groups for p in group['params']}
    assert {g['weight_decay'] for g in wrapper.optimizer.param_groups} == {1e-4}
    where = 0
    for key, param in model.named_parameters():
        if not param.requires_grad:
            continue
        expected = PAPER[name]['backbone_lr'] if key.startswith('backbone.') else 1e-4
        if 'reference_points' in key or 'sampling_offsets' in key:
            # where the deformable attention looks
            expected = 1e-5
            where += 1
        assert rates[param] == pytest.approx(expected), key
    # weights and biases of 12 attentions, and of the reference points
    assert where == (2 * (12 + 1) if 'deformable' in name else 0)


@pytest.mark.parametrize('name', PAPER)
def test_augmentation(name):
    """Flips, scales and rotations, and nothing else."""
    scale, rotation = PAPER[name]['scale'], PAPER[name]['rotation']
    cfg = load(name)
    load_and_flip = [
        dict(type='LoadImage'),
        dict(type='GetBBoxCenterScale', padding=1.25),
        # of one half
        dict(type='RandomFlip', direction='horizontal'),
    ]
    boxes = dict(
        type='RandomBBoxClippedNormal',
        shift_prob=0,
        scale_factor=(1 - scale, 1 + scale),
        rotate_factor=rotation,
        rotate_prob=0.6,
    )
    pipeline = cfg.train_dataloader.dataset.pipeline
    assert pipeline[:4] == [*load_and_flip, boxes]
    assert [step.type for step in pipeline[4:]] == [
        'TopdownAffine',
        'GenerateTarget',
        'PackPoseInputs',
    ]


@pytest.mark.parametrize('name', PAPER)
def test_protocol(name):
    cfg = load(name)
    assert cfg.model.test_cfg.flip_test
    if '_coco-' in name:
        assert cfg.test_dataloader.dataset.bbox_file.endswith('COCO_val2017_detr_detections.json')
        assert 'bbox_file' not in cfg.train_dataloader.dataset
        # its other settings are those of the protocol
        assert set(cfg.test_evaluator) == {'type', 'ann_file'}
        assert cfg.test_evaluator.type == 'SafeCocoMetric'
    else:
        assert cfg.test_evaluator == dict(type='MpiiPCKAccuracy')


@pytest.mark.parametrize('name', PAPER)
def test_pixels(name, mmpose_scope):
    preprocessor = MODELS.build(load(name).model.data_preprocessor)
    pixel = dict(B=10.0, G=100.0, R=200.0)
    # as LoadImage reads them
    image = torch.tensor([pixel[c] for c in 'BGR'])[:, None, None].byte()
    out = preprocessor(dict(inputs=[image], data_samples=[]))['inputs']
    values = torch.tensor([pixel[c] for c in PAPER[name]['pixels']])
    mean, std = torch.tensor([123.675, 116.28, 103.53]), torch.tensor([58.395, 57.12, 57.375])
    torch.testing.assert_close(out.flatten(), (values - mean) / std)


@pytest.mark.parametrize('name', PAPER)
def test_parameters(name):
    params = counted_parameters(name, build_without_memory(name))
    assert count(params) == PAPER[name]['params']
    assert count(p for p in params if not p.requires_grad) == PAPER[name]['frozen']


def test_parameters_of_the_cascade():
    """Those of the authors' notebook."""
    params = counted_parameters(CASCADE, build_without_memory(CASCADE))
    assert count(params) == 88_197_082
    assert count(p for p in params if not p.requires_grad) == 222_400


@pytest.mark.parametrize('name', PAPER)
def test_batch_norms(name):
    """Those of a ResNet, its stem and its first stage are frozen."""
    backbone = build_without_memory(name).backbone
    backbone.train()
    norms = [m for m in backbone.modules() if isinstance(m, _BatchNorm)]
    frozen = '_res' in name
    assert norms and all(norm.training != frozen for norm in norms)
    assert all(p.requires_grad != frozen for norm in norms for p in norm.parameters())
    if frozen:
        assert not backbone.layer1.training and backbone.layer2.training


@pytest.mark.parametrize('name', PAPER)
def test_head(name):
    """Sizes are the defaults, which the golden tests compare with the authors'."""
    head = load(name).model.head
    defaults = inspect.signature(PRTRHead).parameters
    for key in ('num_queries', 'embed_dims'):
        assert head[key] == defaults[key].default
    arguments = inspect.signature(MODELS.get(head.transformer.type)).parameters
    for key, value in head.transformer.items():
        assert key == 'type' or value == arguments[key].default, key
    assert not head.get('with_kpt_refine', False)


@pytest.mark.parametrize('name', PAPER)
def test_published_results(name):
    """Metafile and README repeat them."""
    paper, entry = PAPER[name], metafile_entry(name)
    assert entry['Metadata']['Parameters'] == paper['params']
    if 'gflops' in paper:
        assert entry['Metadata']['FLOPs'] == pytest.approx(paper['gflops'] * 1e9)
    (results,) = entry['Results']
    names = (
        {'AP': 'AP', 'AP50': 'AP@0.5', 'AP75': 'AP@0.75', 'AR': 'AR'}
        if results['Dataset'] == 'COCO'
        else {'PCKh': 'Mean PCKh'}
    )
    assert results['Metrics'] == pytest.approx(
        {theirs: paper[ours] / 100 for ours, theirs in names.items()}
    )
    assert readme_row(name)[-len(names) :] == [f'{paper[key]:.1f}' for key in names]


@pytest.mark.slow
@pytest.mark.parametrize('name', WITH_GFLOPS)
def test_gflops(name):
    flops, published = sum(count_multiply_adds(name).values()), PAPER[name]['gflops'] * 1e9
    assert flops == pytest.approx(published, rel=0.03)
    # mmengine does not count fused attention: two products of (tokens, D)
    # matrices per encoder layer, two pairs of such per decoder layer.
    width, height = load(name).codec.input_size
    tokens, queries, dims = width * height // 32**2, 100, 256
    attention = 2 * 6 * dims * (tokens**2 + queries**2 + queries * tokens)
    assert flops + attention == pytest.approx(published, rel=0.03)


@pytest.mark.slow
@pytest.mark.parametrize('name, counted', zip(DEFORMABLE, [29.373, 37.577]))
def test_gflops_of_deformable_models(name, counted):
    flops = count_multiply_adds(name)
    total = sum(flops.values())
    assert total / 1e9 == pytest.approx(counted, abs=1e-3)
    # The tokens of all levels and the queries sample 16 points of 32 channels
    # in 8 heads in 6 layers, each as the mean of 4 neighbours.
    tokens = 48 * 36 + 24 * 18 + 12 * 9 + 6 * 5
    sampling = flops['grid_sampler']
    assert sampling == 4 * (tokens + 100) * 6 * 8 * 16 * 32
    # the authors' figures are without it
    assert round((total - sampling) / 1e9, 1) == PAPER[name]['gflops']


@pytest.mark.slow
@pytest.mark.parametrize('name', [name for name in PAPER if '_mpii-' in name])
def test_counted_gflops(name):
    """None are published for MPII: metafile and README say what is counted."""
    counted = sum(count_multiply_adds(name).values())
    assert metafile_entry(name)['Metadata']['FLOPs'] == round(counted / 1e9, 1) * 1e9
