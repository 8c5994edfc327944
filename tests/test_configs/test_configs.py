"""All configs: their parts fit together, and names and metafiles are true."""

import copy
import inspect
import re
from collections import Counter

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmpose.registry import KEYPOINT_CODECS, METRICS, MODELS

from helpers.catalog import (
    CASCADE_PLUS,
    FILES,
    PLUS,
    ROOT,
    build,
    build_without_memory,
    count,
    counted_parameters,
    load,
    metafile_entry,
    metafiles,
    readme_row,
)
from prtr_plugin.models.heads import PRTRHead

# one of each file in _base_ folders that has a head of its own
SMALL_AND_LARGE = [
    'td-prtr_res50_4xb32-200e_coco-384x288',
    'td-prtr_res18_1xb32-20e_synthetic-128x96',
    'td-prtr-plus_res50_4xb32-210e_coco-256x192',
    'td-prtr-plus_res18_1xb16-5e_synthetic-128x96',
    'prtr-cascade_res50_8xb2-50e_coco-800x1333',
    'prtr-cascade_res18_1xb8-24e_synthetic-144x192',
    'prtr-cascade-plus_res18_1xb8-12e_synthetic-144x192',
]


@pytest.mark.parametrize('name', FILES)
def test_builds(name):
    """And has as many parameters as the metafile says."""
    cfg = load(name)
    assert cfg.default_scope == 'mmpose'
    assert cfg.custom_imports.imports == ['prtr_plugin']
    # the initialisation of these backbones asks for values
    needs_values = '_swin-' in name or '_vit-' in name
    model = build(name) if needs_values else build_without_memory(name)
    params = count(counted_parameters(name, model))
    assert params > 0
    assert metafile_entry(name)['Metadata'].get('Parameters', params) == params


@pytest.mark.parametrize('name', FILES)
def test_name(name):
    """What people read in the name of a config."""
    cfg = load(name)
    batch_size, epochs = re.search(r'_\d+xb(\d+)-(\d+)e_', name).groups()
    assert cfg.train_dataloader.batch_size == int(batch_size)
    assert cfg.train_cfg.max_epochs == int(epochs)
    height, width = map(int, re.search(r'-(\d+)x(\d+)', name).groups())
    if cfg.data_mode == 'topdown':
        assert cfg.codec.input_size == (width, height)
    else:
        (scale,) = cfg.test_dataloader.dataset.pipeline[1].scales
        assert sorted(scale) == sorted((width, height))


@pytest.mark.parametrize('name', FILES)
def test_parts_agree_with_the_codec(name, mmpose_scope):
    cfg = load(name)
    codec = KEYPOINT_CODECS.build(cfg.codec)
    assert cfg.model.head.decoder == cfg.codec
    assert cfg.model.head.out_channels == codec.num_keypoints
    if cfg.data_mode != 'topdown':
        return
    for split in ('train', 'val', 'test'):
        dataset = cfg[f'{split}_dataloader'].dataset
        steps = {type(t).__name__: t for t in Compose(dataset.pipeline).transforms}
        assert tuple(steps['TopdownAffine'].input_size) == codec.input_size
        if split == 'train':
            encoder = steps['GenerateTarget'].encoder
            assert tuple(encoder.input_size) == codec.input_size
            assert encoder.num_keypoints == codec.num_keypoints


@pytest.mark.parametrize('name', FILES)
def test_learning_rate_is_that_of_the_batch_size(name):
    cfg = load(name)
    num_gpus = int(re.search(r'_(\d+)xb', name)[1])
    assert cfg.auto_scale_lr.base_batch_size == num_gpus * cfg.train_dataloader.batch_size
    assert not cfg.auto_scale_lr.get('enable', False)
    *_, last = cfg.param_scheduler
    assert last.end == cfg.train_cfg.max_epochs and last.by_epoch


@pytest.mark.parametrize('name', FILES)
def test_resumes_exactly(name):
    """Which asks for the hook and for workers that start anew."""
    cfg = load(name)
    assert [hook.type for hook in cfg.custom_hooks] == ['SyncBuffersHook', 'EpochSeedHook']
    assert not cfg.train_dataloader.persistent_workers


@pytest.mark.parametrize('name', sorted(set(FILES) - {*PLUS, *CASCADE_PLUS}))
def test_losses_and_matching_are_the_defaults_of_the_head(name):
    parameters = inspect.signature(PRTRHead).parameters
    head = load(name).model.head
    for key in ('loss_cls', 'loss_kpt', 'assigner'):
        assert head[key] == parameters[key].default, key


def test_losses_and_matching_stand_in_one_file():
    """Of the paper, and in one of PRTR+."""
    for number in ('loss_kpt', 'KeypointHungarianAssigner'):
        files = [p.name for p in (ROOT / 'configs').rglob('*.py') if number in p.read_text()]
        assert sorted(files) == ['prtr_head.py', 'prtr_plus_head.py']


@pytest.mark.parametrize('name', SMALL_AND_LARGE)
def test_losses_and_matching_can_be_set(name, mmpose_scope):
    cfg = copy.deepcopy(load(name))
    cfg.merge_from_dict(
        {
            'model.head.loss_cls.bg_cls_weight': 0.3,
            'model.head.loss_kpt.loss_weight': 2.0,
            'model.head.assigner.match_costs.1.weight': 3.0,
        }
    )
    with torch.device('meta'):
        head = MODELS.build(cfg.model.head)
    assert head.bg_cls_weight == 0.3
    assert head.loss_kpt.loss_weight == 2.0
    weight = load(name).model.head.assigner.match_costs[0].weight
    assert [cost.weight for cost in head.assigner.match_costs] == [weight, 3.0]


@pytest.mark.parametrize('name', SMALL_AND_LARGE)
def test_saved_config_is_complete(name, tmp_path):
    """A run saves its config, which does without the files it was made of."""
    cfg = load(name)
    cfg.dump(tmp_path / 'saved.py')
    text = (tmp_path / 'saved.py').read_text()
    assert '_base_' not in text and 'import ' not in text
    assert Config.fromfile(tmp_path / 'saved.py').to_dict() == cfg.to_dict()


@pytest.mark.parametrize('name', FILES)
def test_evaluation(name):
    """Of the annotations that are predicted, alike in validation and testing."""
    cfg = load(name)
    assert cfg.test_dataloader == cfg.val_dataloader
    assert cfg.test_evaluator == cfg.val_evaluator
    dataset, metrics = cfg.test_dataloader.dataset, cfg.test_evaluator
    assert dataset.test_mode
    for metric in metrics if isinstance(metrics, list) else [metrics]:
        assert metric.type in METRICS
        if 'ann_file' in metric:
            assert metric.ann_file == f'{dataset.data_root}{dataset.ann_file}'


def test_base_names_are_unique():
    """mim finds a config by its base name anywhere in the package."""
    names = Counter(p.name for p in (ROOT / 'configs').rglob('*.py'))
    assert [n for n, times in names.items() if times > 1] == []


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


@pytest.mark.parametrize('name', FILES)
def test_metafile_agrees_with_the_config(name):
    cfg, meta = load(name), metafile_entry(name)['Metadata']
    assert meta['Epochs'] == cfg.train_cfg.max_epochs
    assert meta['Batch Size'] == cfg.auto_scale_lr.base_batch_size


@pytest.mark.parametrize('name', FILES)
def test_readme_agrees_with_the_metafile(name):
    row, meta = readme_row(name), metafile_entry(name)['Metadata']
    if 'Parameters' in meta:
        assert f'{meta["Parameters"] / 1e6:.1f}M' in row
    if 'FLOPs' in meta:
        assert f'{meta["FLOPs"] / 1e9:.1f}' in row
