"""Training and testing from Python; ``test_train_test.py`` has the commands."""

import json

import pytest
import torch
from mmengine.runner import Runner

from prtr_plugin import apis
from prtr_plugin.checkpoints import CheckpointError


def test_train_and_test(small_config, quick_options, tmp_path):
    options = {**quick_options, 'train_cfg.max_epochs': 1}
    model = apis.train(small_config, work_dir=str(tmp_path), no_validate=True, cfg_options=options)
    checkpoint, out = tmp_path / 'epoch_1.pth', tmp_path / 'metrics.json'
    saved = torch.load(checkpoint, map_location='cpu', weights_only=False)['state_dict']
    weights = model.state_dict()
    assert saved.keys() == weights.keys()
    assert all(torch.equal(value, weights[name].cpu()) for name, value in saved.items())

    options = {**quick_options, 'test_evaluator.type': 'EPE', 'test_evaluator._delete_': True}
    metrics = apis.test(
        small_config, str(checkpoint), work_dir=str(tmp_path), out=str(out), cfg_options=options
    )
    assert metrics['EPE'] > 0
    assert json.loads(out.read_text()) == pytest.approx(metrics)


class Malicious:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, 'w')


@pytest.mark.parametrize('entry', ['test', 'load_from', 'resume', 'inferencer'])
def test_checkpoints_run_no_code(small_config, quick_options, tmp_path, entry):
    checkpoint, trace = str(tmp_path / 'evil.pth'), tmp_path / 'trace'
    torch.save(dict(state_dict=Malicious(str(trace))), checkpoint)
    options = dict(quick_options)
    with pytest.raises(CheckpointError, match='holds a Python object .*could run code'):
        if entry == 'test':
            apis.test(small_config, checkpoint, work_dir=str(tmp_path), cfg_options=options)
        elif entry == 'inferencer':
            apis.PRTRInferencer(small_config, checkpoint, device='cpu', det_model='whole_image')
        else:
            resume = checkpoint if entry == 'resume' else False
            if entry == 'load_from':
                options['load_from'] = checkpoint
            apis.train(small_config, work_dir=str(tmp_path), resume=resume, cfg_options=options)
    assert not trace.exists()


def test_missing_pretrained_backbone(small_config, quick_options, tmp_path, checkpoint):
    """Training needs it, and names its key; testing does not."""
    missing = dict(type='Pretrained', checkpoint=str(tmp_path / 'missing.pth'))
    options = {**quick_options, 'model.backbone.init_cfg': missing}
    message = r'missing.pth does not exist. Set model.backbone.init_cfg.checkpoint to another'
    with pytest.raises(FileNotFoundError, match=message):
        apis.build_train_runner(small_config, str(tmp_path / 'train'), cfg_options=options)
    metrics = apis.test(
        small_config, checkpoint, work_dir=str(tmp_path / 'test'), cfg_options=options
    )
    assert 'coco/AP' in metrics


def test_runs_of_one_process(small_config, quick_options, tmp_path):
    """Each logs into a folder of its own."""
    for name in ('first', 'second'):
        folder, config = tmp_path / name, tmp_path / f'{name}.py'
        # mmengine names runs after the config and the second
        config.write_text(f'_base_ = {small_config!r}')
        runner = apis.build_train_runner(str(config), str(folder), cfg_options=quick_options)
        runner.visualizer.add_scalar('loss', 1.0)
        assert list(folder.glob('*/vis_data/scalars.json'))


def test_runner_is_ready(small_config, quick_options, tmp_path):
    """It can be changed before it runs."""
    runner = apis.build_train_runner(small_config, str(tmp_path), cfg_options=quick_options)
    assert isinstance(runner, Runner)
    assert runner.work_dir == str(tmp_path) and runner.max_epochs == 2
    assert runner.cfg.val_evaluator is not None


def test_folder_of_the_config(small_config, quick_options, tmp_path, monkeypatch):
    """Without a work_dir: that of the config, or one with its name."""
    monkeypatch.chdir(tmp_path)
    runner = apis.build_train_runner(small_config, cfg_options=quick_options)
    assert runner.work_dir.endswith('work_dirs/td-prtr_res18_1xb32-20e_synthetic-128x96')
    options = {**quick_options, 'work_dir': 'mine'}
    assert apis.build_train_runner(small_config, cfg_options=options).work_dir.endswith('/mine')


def test_bad_arguments(small_config, checkpoint, quick_options, tmp_path):
    options = dict(work_dir=str(tmp_path), cfg_options=quick_options)
    with pytest.raises(FileNotFoundError, match='gone.pth does not exist'):
        apis.train(small_config, resume='gone.pth', **options)
    with pytest.raises(FileNotFoundError, match='gone.pth does not exist'):
        apis.test(small_config, 'gone.pth', **options)
    with pytest.raises(ValueError, match=r'"a.json" must end with one of .pkl, .pickle'):
        apis.test(small_config, checkpoint, dump='a.json', **options)
    options['cfg_options'] = {**quick_options, 'model.head.num_queries': 18}
    with pytest.raises(CheckpointError, match=checkpoint):
        apis.test(small_config, checkpoint, **options)


def test_settings_that_a_config_lacks(tmp_path, checkpoint):
    config = str(tmp_path / 'config.py')
    (tmp_path / 'config.py').write_text('model = dict()')
    with pytest.raises(
        ValueError, match=r'auto_scale_lr needs .*base_batch_size.*config\.py lacks'
    ):
        apis.train(config, auto_scale_lr=True)
    with pytest.raises(ValueError, match=r'show_dir needs .*visualization.*config\.py lacks'):
        apis.test(config, checkpoint, show_dir='pictures')
