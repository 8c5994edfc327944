"""Settings that do not agree, said before a run."""

import copy
from pathlib import Path

import pytest
from mmengine.hooks import Hook

from helpers import catalog
from prtr_plugin.apis import build_train_runner, load_config, load_model
from prtr_plugin.apis.checks import check_config

HEAD = 'model.head.out_channels'
BUDGET = catalog.ROOT / 'projects/head_benchmark/configs'


@pytest.fixture(scope='module')
def small(small_config):
    return load_config(small_config)


@pytest.fixture
def cfg(small):
    return copy.deepcopy(small)


@pytest.mark.parametrize('name', catalog.FILES)
def test_all_configs_agree(name):
    check_config(catalog.load(name))


@pytest.mark.parametrize('path', sorted(BUDGET.glob('*.py')), ids=lambda path: path.stem)
def test_other_heads(path):
    """Those of mmpose have sizes, too."""
    cfg = load_config(path)
    check_config(cfg)
    if not path.stem.startswith(('track', 'prtr')):
        cfg.model.head.decoder.input_size = (128, 96)
        with pytest.raises(ValueError, match='^The input_size must be the same'):
            check_config(cfg)


@pytest.mark.parametrize('place', ['head', 'codec', 'encoder', 'metainfo'])
def test_joint_number(cfg, place):
    """The message names all places."""
    if place == 'head':
        cfg.model.head.out_channels = 14
    elif place == 'codec':
        cfg.model.head.decoder.num_keypoints = 14
    elif place == 'encoder':
        cfg.train_dataloader.dataset.pipeline[-2].encoder.num_keypoints = 14
    else:
        cfg.train_dataloader.dataset.metainfo = dict(
            from_file='configs/_base_/datasets/crowdpose.py'
        )
    with pytest.raises(ValueError) as error:
        check_config(cfg)
    message = str(error.value)
    numbers = {HEAD: 17, 'num_keypoints of model.head.decoder, the codec,': 17}
    numbers['the metainfo of train_dataloader.dataset'] = 17
    changed = dict(zip(('head', 'codec', 'metainfo'), numbers)).get(place)
    if changed:
        numbers[changed] = 14
    assert message.startswith('The number of joints must be the same')
    for name, number in numbers.items():
        assert f'{name} {number}' in message


def test_sizes(cfg):
    cfg.train_dataloader.dataset.pipeline[-3].input_size = (96, 96)
    with pytest.raises(ValueError) as error:
        check_config(cfg)
    for text in (
        'input_size of model.head.decoder, the codec, (96, 128)',
        'input_size of TopdownAffine in the pipeline of train_dataloader.dataset (96, 96)',
    ):
        assert text in str(error.value)
    # lists are as good as tuples
    cfg.train_dataloader.dataset.pipeline[-3].input_size = [96, 128]
    check_config(cfg)


def test_unknown_key_of_testing(cfg):
    cfg.model.test_cfg = dict(flip_test=True, flip_tset=True)
    with pytest.raises(ValueError, match=r"test_cfg has unknown keys \['flip_tset'\]. .*flip_test"):
        check_config(cfg)


def test_no_model(tmp_path):
    (tmp_path / 'config.py').write_text('a = 1')
    with pytest.raises(ValueError, match='config.py has no model'):
        load_model(tmp_path / 'config.py', random_weights=True)


@pytest.mark.parametrize(
    'options, message',
    [
        (
            {'train_dataloader.batch_size': 64},
            'batch_size is 64, .* only 12 samples .* at most 12, or train_dataloader.drop_last',
        ),
        ({'model.head.in_channels': 64}, r'in_channels=\[64\] but the feature maps'),
        ({'model.head.type': 'MyHead'}, "type 'MyHead', .*registry .*custom_imports"),
        (
            {'model.head.num_joints': 17},
            "cannot be built: .*argument 'num_joints'. PRTRHead takes assigner, class_bias, .*, "
            'transformer, with_kpt_refine.$',
        ),
        ({'model.head.out_chanels': 17}, "'out_chanels'. Did you mean out_channels[?]"),
        ({'train_dataloader.dataset.pipeline.0.type': 'Mine'}, "type 'Mine', .*custom_imports"),
        # what mmengine would see after the start, or after an epoch
        ({'optim_wrapper.clip_grd.max_norm': 1}, "'clip_grd'. Did you mean clip_grad[?]"),
        ({'param_scheduler.0.begn': 1}, "'begn'. Did you mean begin[?]"),
        ({'default_hooks.checkpoint.intervl': 1}, "'intervl'. Did you mean interval[?]"),
        ({'default_hooks.checkpoint.filename': 'x'}, "'filename'. Did you mean filename_tmpl[?]"),
        # mmpose takes it in a parent only, which does not help
        ({'model.use_syncbn': True}, "'use_syncbn'. TopdownPoseEstimator takes backbone, .*neck,"),
        ({'model.arg': True}, "'arg'. TopdownPoseEstimator takes backbone, .*neck,"),
        (
            {'default_hooks.chekpoint.interval': 1},
            "default_hooks.chekpoint of .* has no type, only {'interval': 1}. Did you mean check",
        ),
        (
            {'default_hooks.mine.interval': 1},
            'default_hooks.mine of .* has no type, .*. Add type, or change .*: timer, logger,',
        ),
    ],
)
def test_before_training(options, message, small_config, quick_options, tmp_path):
    with pytest.raises(ValueError, match=message):
        build_train_runner(
            Path(small_config).stem,
            work_dir=str(tmp_path),
            cfg_options={**quick_options, **options},
        )


@pytest.mark.parametrize('scaled', [False, True])
def test_learning_rate_at_start(scaled, small_config, quick_options, tmp_path):
    """Building the optimizer early does not scale it twice, or too late."""
    options = dict(quick_options) | {
        'auto_scale_lr': dict(base_batch_size=2),
        'train_dataloader.batch_size': 4,
        'param_scheduler': [dict(type='ConstantLR', factor=0.5, by_epoch=False, begin=0, end=99)],
        'optim_wrapper.optimizer.lr': 0.001,
    }
    runner = build_train_runner(
        small_config, str(tmp_path), auto_scale_lr=scaled, cfg_options=options
    )
    rates = []

    class Stop(Hook):
        def before_train_iter(self, runner, batch_idx, data_batch=None):
            rates.append(max(runner.optim_wrapper.get_lr()['lr']))
            raise KeyboardInterrupt

    runner.register_hook(Stop())
    with pytest.raises(KeyboardInterrupt):
        runner.train()
    assert rates == pytest.approx([0.001 if scaled else 0.0005])


def test_size_of_heatmaps(synthetic_people, tmp_path):
    config = str(BUDGET / 'heatmap.py')
    options = {'data_root': f'{synthetic_people}/', 'train_dataloader.batch_size': 2}
    for size in ((24, 32), (48, 64)):
        options['model.head.decoder.heatmap_size'] = size
        options['train_dataloader.dataset.pipeline.5.encoder.heatmap_size'] = size
        if size == (24, 32):
            build_train_runner(config, work_dir=str(tmp_path), cfg_options=options)
        else:
            with pytest.raises(
                ValueError, match=r'is \(48, 64\), but the head puts out \(24, 32\)'
            ):
                build_train_runner(config, work_dir=str(tmp_path), cfg_options=options)
