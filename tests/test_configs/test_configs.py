"""All configs: they build, and say what the paper's authors say."""

import re
import warnings
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
import torch
import yaml
from mmengine.analysis import get_model_complexity_info
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmpose.registry import KEYPOINT_CODECS, MODELS
from torch.nn.modules.batchnorm import _BatchNorm

ROOT = Path(__file__).resolve().parents[2]
FILES = {p.stem: p for p in sorted((ROOT / 'configs').rglob('*.py')) if '_base_' not in p.parts}
# the two-stage models of the paper's authors
PAPER = [
    name
    for name in FILES
    if re.fullmatch(r'td-prtr_(res\d+|hrnet-w32)_4xb\d+-200e_(coco|mpii)-\d+x\d+', name)
]
R50 = 'td-prtr_res50_4xb32-200e_{}'
R101 = 'td-prtr_res101_4xb32-200e_{}'
W32 = 'td-prtr_hrnet-w32_4xb16-200e_{}'


@cache
def load(name: str) -> Config:
    return Config.fromfile(FILES[name])


@cache
def build(name: str, device: str = 'meta') -> torch.nn.Module:
    """Build a model; on ``meta`` it has shapes but no memory or values."""
    if 'vit-' in name:
        pytest.importorskip('mmpretrain', reason='has the backbone')
    if 'swin' in name or 'vit-' in name:
        # their initialisation asks for values
        device = 'cpu'
    with DefaultScope.overwrite_default_scope('mmpose'), torch.device(device):
        return MODELS.build(load(name).model)


def backbone_norm_params(model):
    model = getattr(model, 'detector', model)
    return [
        p for m in model.backbone.modules() if isinstance(m, _BatchNorm) for p in m.parameters()
    ]


def count(params) -> int:
    return sum(p.numel() for p in params)


@pytest.mark.parametrize('name', FILES)
def test_config_builds(name):
    cfg = load(name)
    assert cfg.default_scope == 'mmpose'
    assert 'prtr_plugin' in cfg.custom_imports.imports
    model = build(name)
    assert count(model.parameters()) > 0


@pytest.mark.parametrize('name', FILES)
def test_pipelines_agree_with_the_codec(name, mmpose_scope):
    cfg = load(name)
    if cfg.get('data_mode', 'topdown') != 'topdown':
        pytest.skip('not a top-down config')
    codec = KEYPOINT_CODECS.build(cfg.codec)
    assert cfg.model.head.decoder == cfg.codec
    for split in ('train', 'val', 'test'):
        dataset = cfg[f'{split}_dataloader'].dataset
        pipeline = Compose(dataset.pipeline)
        steps = {type(t).__name__: t for t in pipeline.transforms}
        assert tuple(steps['TopdownAffine'].input_size) == codec.input_size
        if split == 'train':
            encoder = steps['GenerateTarget'].encoder
            assert tuple(encoder.input_size) == codec.input_size
            assert encoder.num_keypoints == codec.num_keypoints


@pytest.mark.parametrize(
    'name, total, frozen',
    [
        (R50.format('coco-384x288'), 41_505_236, 222_400),
        (R50.format('coco-512x384'), 41_505_236, 222_400),
        (R101.format('coco-384x288'), 60_445_140, 222_400),
        (R101.format('coco-512x384'), 60_445_140, 222_400),
        ('td-prtr_res152_4xb32-200e_mpii-256x256', 76_042_451, 222_400),
        ('td-prtr_res152_4xb32-200e_mpii-384x384', 76_042_451, 222_400),
        (W32.format('coco-384x288'), 57_234_004, 0),
        (W32.format('coco-512x384'), 57_234_004, 0),
        ('prtr-cascade_res50_8xb2-50e_coco-800x1333', 88_197_082, 222_400),
    ],
)
def test_parameter_count(name, total, frozen):
    params = set(build(name).parameters())
    if 'res' in name:
        # The authors count the frozen batch norms of a ResNet as buffers.
        norm = set(backbone_norm_params(build(name)))
        assert not any(p.requires_grad for p in norm)
        params -= norm
    assert count(params) == total
    assert count(p for p in params if not p.requires_grad) == frozen


def test_joint_number_changes_the_classes_only():
    coco, mpii = build(R50.format('coco-384x288')), build(R50.format('mpii-256x256'))
    assert mpii.head.out_channels == 16
    assert count(coco.parameters()) - count(mpii.parameters()) == 256 + 1


@pytest.fixture
def one_thread():
    """One thread: tracing on a busy machine gets slow with more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


# Published multiply-adds in 1e9.
@pytest.mark.parametrize(
    'name, published',
    [
        (R50.format('coco-384x288'), 11.0),
        (R50.format('coco-512x384'), 18.8),
        (R101.format('coco-384x288'), 19.1),
        (R101.format('coco-512x384'), 33.4),
        (W32.format('coco-384x288'), 21.6),
        (W32.format('coco-512x384'), 37.8),
    ],
)
def test_flops(name, published, monkeypatch, one_thread):
    width, height = load(name).codec.input_size
    # The weights of both sizes are the same, so one model serves for both.
    model = build(name.replace('512x384', '384x288'), 'cpu').eval()
    monkeypatch.setattr(model, 'forward', model._forward)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        info = get_model_complexity_info(
            model, (3, height, width), show_table=False, show_arch=False
        )
    assert info['flops'] == pytest.approx(published * 1e9, rel=0.03)

    # mmengine does not count fused attention: two products of (tokens, D)
    # matrices per encoder layer, two pairs of such per decoder layer.
    tokens, queries, dims = width * height // 32**2, 100, 256
    attention = 2 * 6 * dims * (tokens**2 + queries**2 + queries * tokens)
    assert info['flops'] + attention == pytest.approx(published * 1e9, rel=0.03)


@pytest.mark.parametrize('name', PAPER)
def test_colour_order(name):
    """ResNets: BGR pixels with the statistics in RGB order; HRNet: RGB."""
    cfg = load(name)
    preprocessor = cfg.model.data_preprocessor
    assert preprocessor.mean == [123.675, 116.28, 103.53]
    assert preprocessor.std == [58.395, 57.12, 57.375]
    assert preprocessor.bgr_to_rgb == ('hrnet' in name)

    with DefaultScope.overwrite_default_scope('mmpose'):
        preprocessor = MODELS.build(preprocessor)
    blue, green, red = 10.0, 100.0, 200.0  # as LoadImage reads them
    pixel = torch.tensor([blue, green, red])[:, None, None].byte()
    out = preprocessor(dict(inputs=[pixel], data_samples=[]))['inputs']
    channels = [red, green, blue] if 'hrnet' in name else [blue, green, red]
    expected = (torch.tensor(channels) - torch.tensor([123.675, 116.28, 103.53])) / torch.tensor(
        [58.395, 57.12, 57.375]
    )
    torch.testing.assert_close(out.flatten(), expected)


@pytest.mark.parametrize('name', PAPER)
def test_schedule(name):
    cfg = load(name)
    steps = (
        ([60] if 'mpii' in name else [70, 95])
        if 'hrnet' in name
        else ([130] if 'mpii' in name else [120, 140])
    )
    small_batch = 'hrnet' in name or ('res101' in name and '512x512' in name)
    batch_size = 16 if small_batch else 32
    assert f'_4xb{batch_size}-200e_' in name
    assert cfg.train_dataloader.batch_size == batch_size
    assert cfg.auto_scale_lr.base_batch_size == 4 * batch_size
    assert not cfg.auto_scale_lr.get('enable', False)
    assert cfg.train_cfg.max_epochs == 200
    assert [s.type for s in cfg.param_scheduler] == ['MultiStepLR']
    assert cfg.param_scheduler[0].milestones == steps
    assert cfg.param_scheduler[0].gamma == 0.5
    assert cfg.model.test_cfg.flip_test
    height, width = name.rsplit('-', 1)[1].split('x')
    assert cfg.codec.input_size == (int(width), int(height))
    transforms = [t.type for t in cfg.train_dataloader.dataset.pipeline]
    assert 'RandomHalfBody' not in transforms
    if 'coco' in name:
        assert cfg.test_dataloader.dataset.bbox_file.endswith('COCO_val2017_detr_detections.json')
        assert 'bbox_file' not in cfg.train_dataloader.dataset


@pytest.mark.parametrize('name', [n for n in FILES if '-200e_' in n])
def test_augmentation(name):
    """The paper's: flips, scales and rotations, and nothing else."""
    steps = {t.type: t for t in load(name).train_dataloader.dataset.pipeline}
    assert set(steps) - {'ClipBBoxInclusive'} == {
        'LoadImage',
        'GetBBoxCenterScale',
        'RandomFlip',
        'RandomBBoxClippedNormal',
        'TopdownAffine',
        'GenerateTarget',
        'PackPoseInputs',
    }
    assert steps['GetBBoxCenterScale'].padding == 1.25
    flip = steps['RandomFlip']
    assert (flip.get('prob', 0.5), flip.direction) == (0.5, 'horizontal')
    mpii, hand = '_mpii-' in name, '-hand-' in name
    assert steps['RandomBBoxClippedNormal'] == dict(
        type='RandomBBoxClippedNormal',
        shift_prob=0,
        scale_factor=(0.75, 1.25) if mpii else (0.7, 1.3),
        rotate_factor=30 if mpii else 90 if hand else 40,
        rotate_prob=0.6,
    )


@pytest.mark.parametrize(
    'name, backbone_lr',
    [
        (R50.format('coco-384x288'), 1e-5),
        (R50.format('mpii-256x256'), 1e-5),
        (W32.format('coco-384x288'), 1e-4),
        (W32.format('mpii-256x256'), 1e-4),
    ],
)
def test_optimizer(name, backbone_lr):
    model = build(name)
    wrapper = build_optim_wrapper(model, load(name).optim_wrapper)
    assert isinstance(wrapper.optimizer, torch.optim.AdamW)
    assert wrapper.clip_grad_kwargs == dict(max_norm=0.1)
    rates = {p: group['lr'] for group in wrapper.optimizer.param_groups for p in group['params']}
    assert {g['weight_decay'] for g in wrapper.optimizer.param_groups} == {1e-4}
    for key, param in model.named_parameters():
        if param.requires_grad:
            in_backbone = key.startswith('backbone.')
            assert rates[param] == (backbone_lr if in_backbone else 1e-4), key


def test_frozen_batch_norm_stays_in_eval_mode():
    resnet = build(R50.format('coco-384x288')).backbone
    resnet.train()
    norms = [m for m in resnet.modules() if isinstance(m, _BatchNorm)]
    assert norms and not any(m.training for m in norms)
    assert not resnet.layer1.training and resnet.layer2.training
    hrnet = build(W32.format('coco-384x288'))
    hrnet.train()
    norms = [m for m in hrnet.modules() if isinstance(m, _BatchNorm)]
    assert norms and all(m.training for m in norms)


def test_evaluators_build(mmpose_scope):
    cfg = load(R50.format('mpii-256x256'))
    Runner.build_evaluator(None, cfg.val_evaluator)
    for name in PAPER:
        kind = 'CocoMetric' if 'coco' in name else 'MpiiPCKAccuracy'
        assert load(name).val_evaluator.type == kind
        assert load(name).test_evaluator == load(name).val_evaluator


def test_base_names_are_unique():
    """mim finds a config by its base name anywhere in the package."""
    names = Counter(p.name for p in (ROOT / 'configs').rglob('*.py'))
    assert [n for n, times in names.items() if times > 1] == []


@cache
def metafiles() -> dict:
    """Contents of the metafiles in model-index.yml by their paths."""
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    return {ROOT / path: yaml.safe_load((ROOT / path).read_text()) for path in index['Import']}


def test_metafiles_name_every_config_once():
    assert set(metafiles()) == set((ROOT / 'configs').rglob('metafile.yml'))
    models = [m for content in metafiles().values() for m in content['Models']]
    assert sorted(m['Name'] for m in models) == sorted(FILES)
    for model in models:
        assert ROOT / model['Config'] == FILES[model['Name']]
        assert 'Weights' not in model
    collections = [c for content in metafiles().values() for c in content.get('Collections', [])]
    assert {m['In Collection'] for m in models} == {c['Name'] for c in collections}
    for collection in collections:
        assert (ROOT / collection['README']).is_file()
    assert len(PAPER) == 16


@pytest.mark.parametrize('name', FILES)
def test_metafile_agrees_with_the_config(name):
    (meta,) = [
        model['Metadata']
        for content in metafiles().values()
        for model in content['Models']
        if model['Name'] == name
    ]
    cfg = load(name)
    num_gpus = int(re.search(r'_(\d+)xb', name)[1])
    assert meta['Epochs'] == cfg.train_cfg.max_epochs
    assert meta['Batch Size'] == num_gpus * cfg.train_dataloader.batch_size
    if 'Parameters' in meta:
        params = set(build(name).parameters())
        if 'res' in name:
            params -= set(backbone_norm_params(build(name)))
        assert meta['Parameters'] == count(params)


@pytest.mark.parametrize('name', FILES)
def test_readme_lists_every_config(name):
    readme = FILES[name].with_name('README.md').read_text()
    assert f'[{name}]({name}.py)' in readme
