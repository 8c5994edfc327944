"""The configs of the repository, and what is published about them."""

import gc
import re
import warnings
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
import torch
import yaml
from mmengine.analysis import FlopAnalyzer
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpose.registry import MODELS
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from prtr_plugin.apis import load_config

ROOT = Path(__file__).resolve().parents[2]
FILES = {p.stem: p for p in sorted((ROOT / 'configs').rglob('*.py')) if '_base_' not in p.parts}

_TABLE = yaml.safe_load((ROOT / 'tests/data/paper.yml').read_text())
# name to numbers of the models of the paper
PAPER = {
    name: {**_TABLE['recipes'][row['recipe']], **row} for name, row in _TABLE['models'].items()
}
# other backbones and datasets, with the schedules of the paper
VARIANTS = [
    name
    for name in FILES
    if name not in PAPER and re.match(r'td-\w*-?prtr_.*_4xb\d+-\d+e_', name) and 'gtbox' not in name
]
# the head that is not in the paper, on crops and in the cascade
PLUS = [name for name in FILES if name.startswith('td-prtr-plus_')]
CASCADE_PLUS = [name for name in FILES if name.startswith('prtr-cascade-plus_')]


@cache
def load(name: str) -> Config:
    """Read a config, once; a test that changes it needs a copy."""
    return Config.fromfile(FILES[name])


def need_backbone(name: str) -> None:
    """Skip a test of a config whose backbone is in a package that is not installed."""
    for part, package in (
        ('_vit-', 'mmpretrain'),
        ('_efficientnet-', 'mmpretrain'),
        ('_efficientnet-', 'timm'),
    ):
        if part in name:
            pytest.importorskip(package, reason='has the backbone')


def build(name: str, device: str = 'cpu') -> nn.Module:
    """Build a model, which on ``meta`` has shapes but no values."""
    need_backbone(name)
    with DefaultScope.overwrite_default_scope('mmpose'), torch.device(device):
        return MODELS.build(load(name).model)


@cache
def build_without_memory(name: str) -> nn.Module:
    """Build a model on ``meta``, once."""
    return build(name, 'meta')


def count(params) -> int:
    """Count the elements of parameters."""
    return sum(p.numel() for p in params)


def counted_parameters(name: str, model: nn.Module) -> set[nn.Parameter]:
    """Parameters without the frozen batch norms of ResNets, which are buffers
    in the authors' models."""
    params = set(model.parameters())
    if '_res' in name:
        backbone = getattr(model, 'detector', model).backbone
        norms = [m for m in backbone.modules() if isinstance(m, _BatchNorm)]
        params -= {p for norm in norms for p in norm.parameters() if not p.requires_grad}
    return params


def count_multiply_adds(name: str) -> Counter:
    """Trace a crop through a model, and count by kinds of operators."""
    model = build(name).eval()
    width, height = load(name).codec.input_size
    with pytest.MonkeyPatch.context() as patch, torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        patch.setattr(model, 'forward', model._forward)
        flops = FlopAnalyzer(model, torch.zeros(1, 3, height, width))
        flops.unsupported_ops_warnings(False)
        flops.uncalled_modules_warnings(False)
        counted = flops.by_operator()
    del model, flops
    # a traced model refers to itself
    gc.collect()
    return counted


@cache
def metafiles() -> dict[Path, dict]:
    """Contents of the metafiles in model-index.yml by their paths."""
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    return {ROOT / path: yaml.safe_load((ROOT / path).read_text()) for path in index['Import']}


def metafile_entry(name: str) -> dict:
    """What the metafiles say of a config."""
    (entry,) = [
        model
        for content in metafiles().values()
        for model in content['Models']
        if model['Name'] == name
    ]
    return entry


def readme_row(name: str) -> list[str]:
    """The cells of a config in the table of its folder's README.md."""
    readme = FILES[name].with_name('README.md').read_text()
    (row,) = re.findall(rf'^\| \[{name}\]\({name}\.py\) \|(.*)\|$', readme, re.M)
    return [cell.strip() for cell in row.split('|')]


def set_input_size(value, size: tuple[int, int]) -> None:
    """Let codecs and pipelines work with crops of another size."""
    if isinstance(value, dict):
        if 'input_size' in value:
            value['input_size'] = size
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            set_input_size(item, size)


def load_small(name: str, data_root: Path, work_dir: Path, size: tuple[int, int]) -> Config:
    """Read a ResNet-50 config as one of a small network for small crops.

    It trains and validates one epoch, in this process and with annotated boxes.
    """
    cfg = load_config(
        str(FILES[name]),
        {
            'data_root': f'{data_root}/',
            'work_dir': str(work_dir),
            'train_cfg.max_epochs': 1,
            'train_cfg.val_interval': 1,
            'default_hooks.logger.interval': 1,
            'model.backbone.depth': 18,
            'model.backbone.base_channels': 8,
            'model.backbone.stem_channels': 8,
            'model.backbone.init_cfg': None,
            'model.head.in_channels': 64,
            'model.head.embed_dims': 64,
            'model.head.transformer.num_encoder_layers': 1,
            'model.head.transformer.num_decoder_layers': 2,
            'model.head.transformer.feedforward_channels': 128,
            'model.head.transformer.positional_encoding.num_feats': 32,
        },
    )
    set_input_size(cfg._cfg_dict, size)
    for split in ('train', 'val', 'test'):
        cfg[f'{split}_dataloader'].update(num_workers=0, persistent_workers=False, batch_size=16)
    for split in ('val', 'test'):
        cfg[f'{split}_dataloader'].dataset.bbox_file = None
    return cfg
