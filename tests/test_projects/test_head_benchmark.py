"""PRTR against mmpose's heads."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from prtr_plugin.apis import load_config

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / 'projects' / 'head_benchmark' / 'configs'
pytestmark = pytest.mark.usefixtures('no_network')


@pytest.fixture
def calls(run_tool, monkeypatch):
    """Names of the tools that the script calls, which run in this process."""
    calls, run_process = [], subprocess.run

    def run(command, *args, **kwargs):
        if command[0] != sys.executable:
            return run_process(command, *args, **kwargs)
        _, file, *args = command
        calls.append(Path(file).name)
        done = run_tool(file, *args)
        if done.code:
            raise done.error or RuntimeError(done.code)

    monkeypatch.setattr('subprocess.run', run)
    return calls


@pytest.fixture
def runs(monkeypatch):
    """The module of the project."""
    monkeypatch.syspath_prepend(str(CONFIGS.parent))
    yield importlib.import_module('runs')
    sys.modules.pop('runs')


@pytest.fixture
def compare(calls, run_project, synthetic_people, monkeypatch):
    """Runs it for two steps, and returns what it writes."""
    options = {
        'data_root': f'{synthetic_people}/',
        'train_cfg.max_epochs': 1,
        'train_dataloader.batch_size': 4,
        'train_dataloader.num_batch_per_epoch': 2,
    }

    def run(out, *args):
        calls.clear()
        done = run_project(
            'head_benchmark/compare_heads.py', '--out', out, '--force', *args, options=options
        )
        assert done.code == 0, done.error
        return json.loads((out / 'track_a/results.json').read_text())

    monkeypatch.setenv('PRTR_TRACK', 'a')
    return run


@pytest.mark.slow
def test_all_heads(compare, calls, tmp_path, capsys):
    results = compare(tmp_path)
    assert calls == ['train.py'] * 5
    assert (results['track'], results['metric']) == ('a', 'AP')
    rows = results['heads']
    assert [row['head'] for row in rows] == ['PRTR', 'PRTR+', 'heatmap', 'SimCC', 'RLE']
    for row in rows:
        (run,) = row['runs']
        assert run['metrics'] == row['mean']
        assert 0 <= row['mean']['AP'] <= row['mean']['AP50'] <= 1
        assert row['spread'] == dict(AP=None, AP50=None)
        assert row['parameters'] > 5e5
        assert 0 < row['head_multiply_adds'] < row['multiply_adds']
        assert row['seconds_per_epoch'] > 2 * row['seconds_per_crop'] > 0
        (point,) = run['curve']
        assert point == dict(epoch=1, seconds=point['seconds'], **row['mean'])
    assert len({row['parameters'] for row in rows}) == 5
    table = capsys.readouterr().out
    table = table[table.rindex('| head |') :]
    for row in rows:
        assert f'| {row["head"]} | {row["mean"]["AP"]:.3f} |' in table
    height, width, _ = cv2.imread(str(tmp_path / 'track_a/results.png')).shape
    assert width > 2 * height > 500


def test_what_exists_is_kept(compare, calls, tmp_path, capsys):
    args = ('--heads', 'rle', '--seeds', 3, 4, '--learning-rates', 1e-3, 2e-3, '--search-epochs', 1)
    first = compare(tmp_path, *args)
    # two short runs, and one for each seed with the better rate
    assert calls == ['train.py'] * 4
    (found,) = first['learning_rates'].values()
    (row,) = first['heads']
    assert found.keys() == {'0.001', '0.002'}
    assert found[f'{row["learning_rate"]:g}'] == max(found.values())
    assert [run['seed'] for run in row['runs']] == [3, 4]
    assert {run['learning_rate'] for run in row['runs']} == {row['learning_rate']}
    assert '| AP after 1 epochs | 0.001 | 0.002 |' in capsys.readouterr().out
    (row_again,) = compare(tmp_path, *args)['heads']
    assert not calls
    assert row_again['runs'] == row['runs']


def test_other_settings_are_another_run(runs, tmp_path):
    folder = tmp_path / 'run'
    runs.check_options(folder, {'train_dataloader.batch_size': 4, 'data_root': 'a/'})
    # nothing has been trained yet
    runs.check_options(folder, {'train_dataloader.batch_size': 8})
    runs.check_options(folder, {'train_dataloader.batch_size': 4, 'data_root': 'a/'})
    (folder / 'epoch_1.pth').touch()
    # the data may have moved
    runs.check_options(folder, {'train_dataloader.batch_size': 4, 'data_root': 'b/'})
    with pytest.raises(ValueError, match='(?s)batch_size": 4.*batch_size": 8.*Give another --out'):
        runs.check_options(folder, {'train_dataloader.batch_size': 8})


def test_a_run_that_was_not_evaluated(compare, calls, tmp_path):
    (row,) = compare(tmp_path, '--heads', 'rle')['heads']
    for file in tmp_path.rglob('scalars.json'):
        lines = file.read_text().splitlines()
        file.write_text('\n'.join(line for line in lines if 'coco/AP' not in line))
    (row_again,) = compare(tmp_path, '--heads', 'rle')['heads']
    assert calls == ['test.py']
    assert row_again['runs'] == row['runs']
    # the result is kept, and counts more than what was logged, until it is tested again
    (metrics,) = tmp_path.rglob('metrics.json')
    metrics.write_text(json.dumps({'coco/AP': 0.123, 'coco/AP .5': 0.456}))
    (row_again,) = compare(tmp_path, '--heads', 'rle')['heads']
    assert not calls and row_again['mean'] == dict(AP=0.123, AP50=0.456)
    assert len(row_again['runs'][0]['curve']) == 1
    (row_again,) = compare(tmp_path, '--heads', 'rle', '--test-again')['heads']
    assert calls == ['test.py']
    assert row_again['runs'] == row['runs']


def test_a_new_run_is_not_tested_twice(compare, calls, tmp_path):
    compare(tmp_path, '--heads', 'rle', '--test-again')
    assert calls == ['train.py']


@pytest.mark.parametrize(
    'args, message',
    [
        (('--seeds', 0, -1), '--seeds must be 0 or more, but are [0, -1]'),
        (('--seeds', 1, 1), '--seeds must differ, but are [1, 1]'),
        (('--heads', 'rle', 'rle'), "--heads must differ, but are ['rle', 'rle']"),
        (('--learning-rates', 0), '--learning-rates must be positive, but are [0.0]'),
        (('--search-epochs', 0), '--search-epochs must be at least 1, but is 0'),
    ],
)
def test_wrong_arguments(args, message, calls, run_project, capsys):
    assert run_project('head_benchmark/compare_heads.py', *args).code == 2
    assert message in capsys.readouterr().err and not calls


def test_printed_again(run_project, tmp_path, capsys):
    """The tables that are committed, and what is no such file."""
    done = run_project('head_benchmark/report.py', CONFIGS.parent / 'results/track_a.json')
    assert done.code == 0 and '| RLE | 0.' in capsys.readouterr().out
    (tmp_path / 'other.json').write_text('{}')
    (tmp_path / 'empty.json').write_text('{"learning_rates": {}, "heads": []}')
    for name in ('other.json', 'empty.json', 'missing.json'):
        assert run_project('head_benchmark/report.py', tmp_path / name).code == 2
        assert f'{name} has no results of a track' in capsys.readouterr().err
    assert run_project('head_benchmark/report.py').code == 2


@pytest.mark.parametrize('track', 'abc')
@pytest.mark.parametrize('head', ['heatmap', 'simcc', 'rle', 'prtr_plus'])
def test_one_budget(head, track, monkeypatch):
    """Only the head, its targets and its learning rate differ."""
    monkeypatch.setenv('PRTR_TRACK', track)
    cfg, prtr = [load_config(str(CONFIGS / f'{name}.py')) for name in (head, 'prtr')]
    for config in (cfg, prtr):
        assert config.optim_wrapper.optimizer.pop('lr') > 0
    for key in (
        'optim_wrapper',
        'param_scheduler',
        'train_cfg',
        'randomness',
        'custom_hooks',
        'val_dataloader',
        'val_evaluator',
    ):
        assert cfg[key] == prtr[key], key
    if head == 'prtr_plus':  # has its own read-out, and takes finer maps, too
        assert cfg.model.head.decoder.pop('include_background')
        assert cfg.model.backbone.pop('out_indices') == cfg.out_indices
        assert prtr.model.backbone.pop('out_indices') == cfg.out_indices[-1:]
    assert cfg.model.backbone == prtr.model.backbone
    assert cfg.model.head != prtr.model.head
    pipelines = []
    for config in (cfg, prtr):
        pipelines.append(config.train_dataloader.dataset.pop('pipeline'))
        encoder = pipelines[-1][5].pop('encoder')
        assert encoder == config.model.head.decoder
    assert pipelines[0] == pipelines[1]
    assert cfg.train_dataloader == prtr.train_dataloader


def test_curve_of_a_log(runs, tmp_path):
    """Epochs of 50 steps, of which every 20th is logged; the last one was resumed."""
    first, second = [tmp_path / f'{name}/vis_data/scalars.json' for name in ('1', '2')]
    lines = [
        dict(loss=1, time=0.5, epoch=1, step=20),
        dict(loss=1, time=0.7, epoch=1, step=40),
        {'coco/AP': 0.2, 'step': 1},
        dict(loss=1, time=1, epoch=2, step=70),
        dict(loss=1, time=99, epoch=2, step=90),
    ]
    resumed = [
        dict(loss=1, time=2, epoch=2, step=90),
        {'coco/AP': 0.6, 'step': 2},
        {'coco/AP': 0.6, 'step': 0},
    ]
    for file, records in ((first, lines), (second, resumed)):
        file.parent.mkdir(parents=True)
        file.write_text('\n'.join(map(json.dumps, records)))
    curve = runs.read_curve(tmp_path, {'coco/AP': 'AP'})
    assert curve == [
        dict(epoch=1, seconds=pytest.approx(50 * 0.6), AP=0.2),
        dict(epoch=2, seconds=pytest.approx(50 * 0.6 + 50 * 1.5), AP=0.6),
    ]
    assert runs.epochs_to(curve, 'AP', 0.1) == pytest.approx(0.5)
    assert runs.epochs_to(curve, 'AP', 0.5) == pytest.approx(1.75)
    assert runs.epochs_to(curve, 'AP', 0.7) is None
