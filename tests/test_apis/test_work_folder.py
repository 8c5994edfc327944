"""What lies in the folder of a run."""

import os

import pytest

from prtr_plugin.apis import find_run, load_run, summarize_run
from prtr_plugin.apis.work_folder import find_checkpoint
from prtr_plugin.model_index import find_config


def test_spellings(own_run):
    (best,) = own_run.glob('best_*.pth')
    config = str(own_run / 'config.py')
    assert find_run(own_run) == (config, str(best))
    assert find_run(own_run / 'epoch_1.pth') == (config, str(own_run / 'epoch_1.pth'))
    assert find_run(own_run, 'other.pth') == (config, 'other.pth')
    assert find_run(config, best) == (config, str(best))
    assert find_run('prtr-s', 'a.pth') == (find_config('prtr-s'), 'a.pth')


def test_newest(tmp_path):
    for i, name in enumerate(('epoch_2.pth', 'epoch_10.pth')):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (i, i))
    assert find_checkpoint(tmp_path).name == 'epoch_10.pth'
    (tmp_path / 'best_AP_epoch_2.pth').touch()
    assert find_checkpoint(tmp_path).name == 'best_AP_epoch_2.pth'


def test_model(own_run):
    model = load_run(own_run, device='cpu')
    assert model.head.out_channels == 5
    assert model.dataset_meta['keypoint_id2name'][1] == 'left_wrist'


def test_summary(own_run):
    summary = summarize_run(own_run)
    assert (
        summary.epoch == 1 and summary.curve == {1: summary.best} and summary.last == summary.best
    )
    assert summary.checkpoint.parent == own_run
    nothing = summarize_run(own_run, 'PCK')
    assert nothing.epoch == 0 and nothing.best != nothing.best


def test_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match='no checkpoint'):
        find_run(tmp_path)
    (tmp_path / 'epoch_1.pth').touch()
    with pytest.raises(FileNotFoundError, match='must hold one config, but has none'):
        find_run(tmp_path)
    for name in ('a.py', 'b.py'):
        (tmp_path / name).touch()
    with pytest.raises(FileNotFoundError, match=r'but has a\.py, b\.py'):
        find_run(tmp_path)
    with pytest.raises(FileNotFoundError, match='checkpoint "nothing.pth" does not exist'):
        find_run('nothing.pth')
    with pytest.raises(ValueError, match='without weights'):
        find_run('prtr-s')
