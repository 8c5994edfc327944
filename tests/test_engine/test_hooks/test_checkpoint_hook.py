"""When which checkpoint is written and removed; ``test_run_folder.py`` kills runs."""

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.fileio import LocalBackend
from mmengine.hooks import Hook
from mmpose.registry import HOOKS

from helpers.killed_runs import CONFIG
from prtr_plugin import apis
from prtr_plugin.apis.run_folder import save_whole_checkpoints
from prtr_plugin.engine.hooks import AtomicCheckpointHook


@HOOKS.register_module()
class ValidateHook(Hook):
    """Stands in for a validation that gets better and better."""

    def before_train_epoch(self, runner):
        if runner.epoch:
            self.after_train(runner)

    def after_train(self, runner):
        (hook,) = (x for x in runner.hooks if isinstance(x, AtomicCheckpointHook))
        hook.after_val_epoch(runner, dict(acc=float(runner.epoch)))


@pytest.fixture
def events(tmp_path, monkeypatch):
    """Names of the files that a run replaces and removes, in order."""
    found = []

    def follow(owner, name, which):
        original = getattr(owner, name)

        def call(self, path):
            found.append((name, Path((self, path)[which]).name))
            return original(self, path)

        monkeypatch.setattr(owner, name, call)

    follow(Path, 'replace', 1)
    follow(LocalBackend, 'remove', 1)
    config = tmp_path / 'config.py'
    text = CONFIG.replace('max_epochs=100000', 'max_epochs=2').replace('ReportHook', 'ValidateHook')
    text = text.replace('max_keep_ckpts=1', "max_keep_ckpts=1, save_best='acc'")
    config.write_text(text + f'experiment_name = {tmp_path.name!r}')
    apis.train(str(config), work_dir=str(tmp_path / 'run'))
    names = sorted(path.name for path in (tmp_path / 'run').glob('*.pth'))
    assert names == ['best_acc_epoch_2.pth', 'epoch_2.pth']
    return found


def test_order(events):
    first, last = 'epoch_1.pth', 'epoch_2.pth'
    for new, old in (('last_checkpoint', first), (last, first)):
        assert ('replace', new) in events[: events.index(('remove', old))]
    # the best one of epoch 1 goes after that of epoch 2 has come
    best = [name for name in events if 'best' in name[1]]
    assert best == [
        ('replace', 'best_acc_epoch_1.pth'),
        ('replace', 'best_acc_epoch_2.pth'),
        ('remove', 'best_acc_epoch_1.pth'),
    ]


@pytest.mark.parametrize(
    'hooks', [dict(), dict(default_hooks=None), dict(default_hooks=dict(timer=dict()))]
)
def test_every_config_uses_it(hooks):
    """Also those that set no hooks."""
    cfg = Config(dict(hooks, custom_hooks=[dict(type='CheckpointHook', interval=5)]))
    save_whole_checkpoints(cfg)
    assert cfg.default_hooks.checkpoint.type == AtomicCheckpointHook.__name__
    assert cfg.custom_hooks[0] == dict(type='AtomicCheckpointHook', interval=5)
    cfg = Config(dict(default_hooks=dict(checkpoint=None)))
    save_whole_checkpoints(cfg)
    assert cfg.default_hooks.checkpoint is None


def test_our_configs_use_it(each_config):
    """For scripts of others."""
    hook = Config.fromfile(each_config).default_hooks.checkpoint
    assert hook.type == 'AtomicCheckpointHook' and hook.max_keep_ckpts == 1
