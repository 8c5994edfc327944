"""The work folder of a training: killed, resumed, shared with other runs."""

import errno
import itertools
import multiprocessing
import os
import re
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.logging import MMLogger

from helpers.killed_runs import CONFIG, ToyModel, kill_runs
from prtr_plugin import apis
from prtr_plugin.apis.run_folder import is_first_process
from prtr_plugin.checkpoints import CheckpointError
from prtr_plugin.folder_lock import lock_folder, unlock_folder

numbers = itertools.count()


@pytest.fixture
def config(tmp_path):
    """A training of a toy that takes milliseconds, with another name each time."""
    # mmengine tells runs of the same second apart by their names
    path = tmp_path / 'config.py'
    text = CONFIG.replace('max_epochs=100000', 'max_epochs=3')
    text = re.sub('custom_hooks = .*', '', text).replace('keep_ckpts=1', 'keep_ckpts=9')
    path.write_text(f'{text}experiment_name = "run {next(numbers)}"')
    return str(path)


@pytest.fixture
def trained(config, tmp_path):
    """Its work folder."""
    apis.train(config, work_dir=str(tmp_path / 'run'))
    return tmp_path / 'run'


@pytest.fixture
def resume(config, monkeypatch):
    """A function that resumes it, and returns the runner and what it says."""

    def run(folder, checkpoint=True, /, **options):
        said = []
        monkeypatch.setattr(MMLogger, 'warning', lambda self, text, *args: said.append(str(text)))
        options['experiment_name'] = f'run {next(numbers)}'
        runner = apis.build_train_runner(config, str(folder), checkpoint, cfg_options=options)
        runner.train()
        return runner, '\n'.join(said)

    return run


def step(path):
    return torch.load(path, weights_only=False)['meta']['iter']


@pytest.mark.parametrize('number', [6, pytest.param(100, marks=pytest.mark.slow)])
def test_killed_runs(tmp_path, number):
    """Every run goes on from the last checkpoint that was saved, or from one after it."""
    starts = kill_runs(tmp_path, number)
    assert len(starts) == number + 1
    for saved, start, error in starts:
        assert error is None and saved <= start <= saved + 1
    assert starts[-1][1] >= number // 3
    # what was left half-written, or was to be deleted, is deleted by the next run
    left = [path for path in (tmp_path / 'run').glob('*.pth*')]
    assert len(left) <= 2
    assert len(list((tmp_path / 'run').glob('.*.pth*'))) <= 1


def test_everything_is_readable(trained, resume):
    runner, said = resume(trained, **{'train_cfg.max_epochs': 5})
    assert runner.epoch == 5 and runner.iter == 5
    assert f'Resuming from {trained}/epoch_3.pth, the newest' in said
    assert 'Not resumed' not in said
    assert (trained / 'last_checkpoint').read_text() == f'{trained}/epoch_5.pth'


def test_the_newest_is_damaged(trained, resume):
    damaged, diverged = trained / 'epoch_3.pth', trained / 'epoch_2.pth'
    damaged.write_bytes(damaged.read_bytes()[:1000])
    checkpoint = torch.load(diverged, weights_only=False)
    checkpoint['state_dict']['linear.bias'][0] = float('nan')
    torch.save(checkpoint, diverged)
    runner, said = resume(trained)
    assert f'Resuming from {trained}/epoch_1.pth' in said
    for path in (damaged, diverged):
        assert re.search(f'Not resumed from a newer checkpoint: "?{path}', said)
    assert 'linear.bias' in said and runner.epoch == 3


def test_all_are_damaged(trained, resume):
    for path in trained.glob('*.pth'):
        path.write_bytes(b'nothing')
    with pytest.raises(CheckpointError, match='None of the checkpoints in "(?s:.*)epoch_3.pth'):
        resume(trained)


def test_last_checkpoint_is_missing_or_behind(trained, resume):
    """As after a kill between the two files."""
    for content in ('gone/epoch_9.pth', f'{trained}/epoch_2.pth', ''):
        (trained / 'last_checkpoint').write_text(content)
        assert f'Resuming from {trained}/epoch_3.pth' in resume(trained)[1]
    (trained / 'last_checkpoint').unlink()
    assert f'Resuming from {trained}/epoch_3.pth' in resume(trained)[1]


def test_left_over_from_another_run(trained, resume, config):
    """A larger number is not newer if it was there before."""
    os.utime(trained / 'epoch_3.pth', (0, 0))
    (trained / 'last_checkpoint').write_text('epoch_2.pth')
    assert f'Resuming from {trained}/epoch_2.pth' in resume(trained)[1]


def test_nothing_to_resume(resume, tmp_path):
    runner, said = resume(tmp_path / 'new')
    assert 'has no checkpoint epoch_N.pth: training starts from the beginning' in said
    assert runner.epoch == 3


def test_nothing_left(trained, resume):
    last = trained / 'epoch_3.pth'
    before = last.read_bytes()
    assert 'has finished 3 of 3 epochs. Set train_cfg.max_epochs' in resume(trained)[1]
    assert 'Nothing is left to train' in resume(trained, str(last))[1]
    assert 'Nothing is left' not in resume(trained, str(trained / 'epoch_2.pth'))[1]
    assert last.read_bytes() != before


def test_the_config_resumes(trained, resume):
    """mmengine's own setting means the same."""
    _, said = resume(trained, False, load_from=None, **{'resume': True})
    assert 'Resuming from' in said and 'epoch_3.pth' in said


def test_only_weights(trained, resume, tmp_path):
    path = tmp_path / 'weights.pth'
    torch.save(dict(state_dict=ToyModel().state_dict()), path)
    with pytest.raises(CheckpointError, match=r'weights.pth: .*no state of training .*load_from'):
        resume(trained, str(path))


def test_checkpoints_of_another_run(trained, config):
    with pytest.raises(FileExistsError, match=r'another run \(epoch_3.pth\).*--resume.*--force'):
        apis.train(config, work_dir=str(trained))
    apis.train(config, work_dir=str(trained), force=True)


def test_load_from_fills_nothing(config, tmp_path):
    path = tmp_path / 'other.pth'
    torch.save(dict(state_dict={'backbone.weight': torch.ones(2)}), path)
    options = dict(load_from=str(path))
    with pytest.raises(CheckpointError, match=r'other.pth: .*fills nothing(?s:.*)linear.bias'):
        apis.train(config, work_dir=str(tmp_path / 'run'), cfg_options=options)
    torch.save(dict(state_dict={'linear.bias': torch.ones(250)}), path)
    model = apis.train(config, work_dir=str(tmp_path / 'run'), cfg_options=options)
    assert model.linear.bias.detach().eq(1).all()


@pytest.mark.parametrize('what', ['epoch_3.pth', 'last_checkpoint'])
def test_full_disk(trained, resume, monkeypatch, what):
    shutil.rmtree(trained / 'epoch_3.pth', ignore_errors=True)
    (trained / 'epoch_3.pth').unlink()

    def full(*args):
        raise OSError(errno.ENOSPC, 'No space left on device')

    name = 'write_bytes' if what.endswith('.pth') else 'write_text'
    write = getattr(Path, name)
    monkeypatch.setattr(Path, name, lambda path, x: full() if path.name == what else write(path, x))
    with pytest.raises(CheckpointError, match=r'Saving .* failed: No space left .* in place'):
        resume(trained)
    assert step(trained / 'epoch_2.pth') == 2
    assert not list(trained.glob('.*-*'))


def lock(folder, pipe):
    try:
        lock_folder(folder)
        pipe.send('locked')
    except BlockingIOError as error:
        pipe.send(str(error))
    pipe.recv()


def test_two_runs(tmp_path, config):
    """The second is refused, until the first ends, however it ends."""
    folder = tmp_path / 'run'
    context = multiprocessing.get_context('fork')
    pipe, other = context.Pipe()
    process = context.Process(target=lock, args=(folder, other))
    process.start()
    assert pipe.recv() == 'locked'
    pattern = rf'Another run \(process {process.pid} on .*\) is using the folder ".*/run"'
    with pytest.raises(BlockingIOError, match=pattern):
        apis.build_train_runner(config, str(folder))
    process.kill()
    process.join()
    apis.train(config, work_dir=str(folder))
    # a run that has ended, and one that has failed, let others in
    with pytest.raises(FileExistsError):
        apis.train(config, work_dir=str(folder))
    process = context.Process(target=lock, args=(folder, other))
    process.start()
    assert pipe.recv() == 'locked'
    pipe.send('end')
    process.join()


def test_one_process_may_lock_twice(tmp_path):
    for _ in range(2):
        lock_folder(tmp_path)
    unlock_folder(tmp_path)
    unlock_folder(tmp_path)


@pytest.mark.parametrize(
    ('launcher', 'variable'),
    [('pytorch', 'RANK'), ('slurm', 'SLURM_PROCID'), ('mpi', 'OMPI_COMM_WORLD_RANK')],
)
def test_processes_of_one_run(monkeypatch, launcher, variable):
    """Only the first one locks."""
    assert is_first_process(launcher)
    monkeypatch.setenv(variable, '1')
    assert not is_first_process(launcher)
    assert is_first_process('none')
