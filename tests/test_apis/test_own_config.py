"""Configs that `prtr train` writes."""

import pytest
from mmengine.config import Config

from prtr_plugin.apis import load_config
from prtr_plugin.apis.own_config import (
    best_metric,
    format_value,
    parse_size,
    plan_schedule,
    write_config,
)
from prtr_plugin.datasets import prepare_data
from prtr_plugin.model_index import find_config


def test_values_are_written_as_they_are():
    value = dict(a=[1, (2,), 'x'], b={0: dict(c=None)}, d=dict(e=[dict(f=0.5)] * 12), g=())
    assert eval(format_value(value)) == value
    assert max(map(len, format_value(value).splitlines())) <= 100
    assert format_value(dict(a=1, b=(1, 2))) == 'dict(a=1, b=(1, 2))'


@pytest.mark.parametrize('samples', [1, 3, 24, 37, 500, 5000, 150000])
def test_schedule(samples, small_config):
    schedule = plan_schedule(load_config(small_config), samples)
    assert 1 <= schedule.batch_size <= min(32, samples)
    # there are steps in an epoch, and warm-up is over long before the end
    kept = schedule.steps * schedule.batch_size
    assert schedule.steps >= 1 and (kept <= samples if schedule.drop_last else kept >= samples)
    total = schedule.steps * schedule.epochs
    assert schedule.warmup <= 0.1 * total or schedule.warmup == 1
    assert 1 <= schedule.val_interval <= schedule.epochs
    assert schedule.lr == pytest.approx(1e-3 * (schedule.batch_size / 32) ** 0.5, rel=0.05)


def test_given_epochs_and_batch(small_config):
    cfg = load_config(small_config)
    schedule = plan_schedule(cfg, 100, epochs=7, batch_size=16)
    assert (schedule.epochs, schedule.batch_size, schedule.steps) == (7, 16, 7)
    for options in (dict(epochs=0), dict(batch_size=-1)):
        with pytest.raises(ValueError, match='must be at least 1'):
            plan_schedule(cfg, 100, **options)


def test_size():
    assert parse_size('256x192') == (192, 256) == parse_size([256, 192])
    for size in ('256', '250x192', 'axb', '0x32'):
        with pytest.raises(ValueError, match='height x width'):
            parse_size(size)


@pytest.fixture
def own(own_people, tmp_path):
    return prepare_data(own_people, tmp_path)


@pytest.mark.parametrize(
    'base',
    [
        'prtr-s',
        'prtr-cascade',
        'td-deformable-prtr_res50_4xb16-100e_coco-384x288',
        'td-prtr_hrnet-w32_4xb16-200e_mpii-256x256',
        'td-prtr_res50_4xb32-200e_coco-wholebody-384x288',
        'td-prtr_res50_4xb32-200e_coco-mpii-384x288',
        'prtr-cascade_res50_8xb2-50e_coco-800x1333',
    ],
)
def test_nothing_of_the_base_data_is_left(base, own, tmp_path):
    schedule = plan_schedule(load_config(find_config(base)), own.train.num_people)
    write_config(tmp_path / 'config.py', base, own, schedule=schedule)
    cfg = Config.fromfile(tmp_path / 'config.py')
    for name, part in (('train', own.train), ('val', own.val), ('test', own.val)):
        dataset = cfg[f'{name}_dataloader'].dataset
        assert dataset.ann_file == str(part.ann_file)
        assert not {'data_root', 'bbox_file', 'datasets', 'sample_ratio'} & set(dataset)
        assert len(dataset.metainfo.keypoint_info) == 5
        for step in dataset.pipeline:
            assert step.type != 'KeypointConverter'
            if step.type == 'GenerateTarget':
                assert step.encoder == cfg.codec
    assert cfg.codec.num_keypoints == cfg.model.head.out_channels == 5
    assert cfg.model.head.decoder == cfg.codec
    evaluators = (
        cfg.test_evaluator if isinstance(cfg.test_evaluator, list) else [cfg.test_evaluator]
    )
    assert evaluators[0].type == 'CocoMetric'
    assert {evaluator.ann_file for evaluator in evaluators} == {str(own.val.ann_file)}
    assert cfg.default_hooks.checkpoint.save_best == 'coco/AP'


def test_options(own, tmp_path, small_config):
    path = tmp_path / 'config.py'
    options = {'model.head.num_queries': 30, 'train_cfg.val_interval': 9}
    schedule = plan_schedule(load_config(small_config), 100)
    flags = dict(early_stop=4, ema=True, seed=5, cfg_options=options)
    write_config(path, 'prtr-s', own, (64, 96), schedule, 'start.pth', **flags)
    cfg = Config.fromfile(path)
    assert cfg.codec.input_size == (64, 96) == cfg.model.head.decoder.input_size
    (affine,) = [s for s in cfg.val_dataloader.dataset.pipeline if s.type == 'TopdownAffine']
    assert affine.input_size == (64, 96)
    assert cfg.load_from == 'start.pth' and cfg.randomness.seed == 5
    assert cfg.model.head.num_queries == 30 and cfg.train_cfg.val_interval == 9
    types = [hook.type for hook in cfg.custom_hooks]
    assert types == ['SyncBuffersHook', 'EpochSeedHook', 'EarlyStopHook', 'EMAHook']
    assert cfg.custom_hooks[2].patience == 4 and cfg.custom_hooks[2].monitor == 'coco/AP'


@pytest.mark.parametrize('key', ['modle.head.num_queries', 'max_epochs', 'data_root'])
def test_options_without_effect(own, tmp_path, key):
    for data in (own, None):
        with pytest.raises(ValueError, match=f"'{key.partition('.')[0]}'"):
            write_config(tmp_path / 'config.py', 'prtr-s', data, cfg_options={key: 5})
    # the written file reads it
    write_config(tmp_path / 'config.py', 'prtr-s', own, cfg_options={'codec.input_size': (64, 96)})
    cfg = Config.fromfile(tmp_path / 'config.py')
    assert cfg.model.head.decoder.input_size == (64, 96)
    with pytest.raises(ValueError, match="'codec' is a variable .* model.head.decoder"):
        write_config(tmp_path / 'b.py', 'prtr-s', cfg_options={'codec.input_size': (64, 96)})


def test_no_flip(own, tmp_path):
    write_config(tmp_path / 'config.py', 'prtr-s', own._replace(flip=False))
    cfg = Config.fromfile(tmp_path / 'config.py')
    assert not any(s.type == 'RandomFlip' for s in cfg.train_dataloader.dataset.pipeline)
    assert not cfg.model.test_cfg.flip_test


@pytest.mark.parametrize(
    'base, metric',
    [
        ('td-prtr_hrnet-w32_4xb16-200e_mpii-256x256', 'PCK'),
        ('td-prtr_res50_4xb32-200e_crowdpose-384x288', 'crowdpose/AP'),
        ('prtr-s', 'coco/AP'),
    ],
)
def test_the_metric_is_that_of_the_data(own, tmp_path, base, metric):
    schedule = plan_schedule(load_config(find_config(base)), 100)
    for data, expected in ((None, metric), (own, 'coco/AP')):
        path = tmp_path / 'config.py'
        write_config(path, base, data, schedule=schedule, early_stop=3)
        cfg = Config.fromfile(path)
        assert cfg.default_hooks.checkpoint.save_best == cfg.custom_hooks[-1].monitor == expected
        assert cfg.custom_hooks[-1].type == 'EarlyStopHook'


def test_no_metric_to_stop_by(tmp_path, small_config):
    (tmp_path / 'base.py').write_text(
        f'_base_ = {small_config!r}\ndefault_hooks = dict(checkpoint=dict(save_best=None))\n'
    )
    with pytest.raises(ValueError, match='early_stop needs a metric, but .*base.py has none as'):
        write_config(tmp_path / 'config.py', str(tmp_path / 'base.py'), early_stop=3)


@pytest.mark.parametrize(
    'checkpoint, expected',
    [
        (dict(save_best=['PCK', 'AUC']), ('PCK', 'greater')),
        (dict(save_best=['EPE', 'AUC'], rule=['less', 'greater']), ('EPE', 'less')),
        (dict(save_best='my_loss'), ('my_loss', 'less')),
        (dict(save_best='auto'), (None, 'greater')),
        (dict(save_best=None), (None, 'greater')),
    ],
)
def test_best_metric(checkpoint, expected):
    assert best_metric(Config(dict(default_hooks=dict(checkpoint=checkpoint)))) == expected


def test_settings_that_the_base_leaves_out(own, tmp_path, small_config):
    """The number of queries has a default, and a model may have no ``test_cfg``."""
    cfg = load_config(small_config)
    del cfg.model.head.num_queries, cfg.model.test_cfg
    cfg.dump(tmp_path / 'base.py')
    write_config(tmp_path / 'config.py', str(tmp_path / 'base.py'), own)
    written = Config.fromfile(tmp_path / 'config.py')
    assert 'num_queries' not in written.model.head and not written.model.test_cfg.flip_test


def test_errors(own, tmp_path):
    path = tmp_path / 'x.py'
    with pytest.raises(ValueError, match='size is for two-stage models'):
        write_config(path, 'prtr-cascade', own, (64, 96))
    with pytest.raises(ValueError, match='size needs data'):
        write_config(path, 'prtr-s', size=(64, 96))
    with pytest.raises(ValueError, match='logger must be one of'):
        write_config(path, 'prtr-s', own, logger='paper')
    with pytest.raises(ValueError, match='early_stop must not be negative'):
        write_config(path, 'prtr-s', own, early_stop=-1)
    (tmp_path / 'other.py').write_text("model = dict(type='X', head=dict(type='HeatmapHead'))")
    with pytest.raises(ValueError, match="head of type 'HeatmapHead'"):
        write_config(path, str(tmp_path / 'other.py'), own)
    assert not path.exists()
