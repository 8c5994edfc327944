"""PRTR against mmpose's heads."""

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
def compare(calls, run_project, synthetic_people):
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
        return json.loads((out / 'results.json').read_text())

    return run


@pytest.mark.slow
def test_all_heads(compare, calls, tmp_path, capsys):
    results = compare(tmp_path)
    assert calls == ['train.py', 'test.py'] * 5
    assert [row['head'] for row in results] == ['PRTR', 'PRTR+', 'heatmap', 'SimCC', 'RLE']
    for row in results:
        assert 0 <= row['AP'] <= row['AP50'] <= 1
        assert row['parameters'] > 5e5
        assert row['curve'] == {'1': row['AP']}
    assert len({row['parameters'] for row in results}) == 5
    table = capsys.readouterr().out
    table = table[table.rindex('| head |') :]
    for row in results:
        assert f'| {row["head"]} | {row["AP"]:.3f} |' in table
    height, width, _ = cv2.imread(str(tmp_path / 'results.png')).shape
    assert width > 2 * height > 500


def test_a_trained_head_is_kept(compare, calls, tmp_path):
    (first,) = compare(tmp_path, '--heads', 'rle')
    (second,) = compare(tmp_path, '--heads', 'rle')
    assert calls == ['test.py']
    assert first == second


@pytest.mark.parametrize('head', ['heatmap', 'simcc', 'rle'])
def test_one_budget(head):
    """Only the head, its targets and its learning rate differ."""
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
    assert cfg.model.backbone == prtr.model.backbone
    assert cfg.model.head.type != prtr.model.head.type
    pipelines = []
    for config in (cfg, prtr):
        pipelines.append(config.train_dataloader.dataset.pop('pipeline'))
        encoder = pipelines[-1][5].pop('encoder')
        assert encoder == config.model.head.decoder
    assert pipelines[0] == pipelines[1]
    assert cfg.train_dataloader == prtr.train_dataloader
