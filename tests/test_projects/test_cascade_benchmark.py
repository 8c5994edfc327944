"""The cascade against RTMO."""

import json
from pathlib import Path

import pytest

from prtr_plugin.apis import load_config

CONFIGS = Path(__file__).resolve().parents[2] / 'projects' / 'cascade_benchmark' / 'configs'
NAMES = sorted(path.stem for path in CONFIGS.glob('*.py'))
pytestmark = pytest.mark.usefixtures('no_network')


@pytest.fixture
def compare(run_project, synthetic_people, tmp_path):
    """Runs it for two steps, and returns what it writes."""
    options = {
        'data_root': f'{synthetic_people}/',
        'train_cfg.max_epochs': 1,
        'train_cfg.val_interval': 1,
        'param_scheduler.1.end': 1,
        'train_dataloader.batch_size': 2,
        'train_dataloader.num_batch_per_epoch': 2,
        'default_hooks.logger.interval': 1,
    }

    def run(*args):
        done = run_project(
            'cascade_benchmark/compare_cascades.py',
            *('--out', tmp_path, '--force', *args),
            options=options,
        )
        assert done.code == 0, done.error
        return json.loads((tmp_path / 'results.json').read_text())

    return run


def check(rows, table):
    for row in rows:
        assert 0 <= row['AP'] <= row['AP50'] <= 1 and 0 <= row['box_AP'] <= 1
        assert row['curve'] == {'1': row['AP']}
        assert min(row[key] for key in ('seconds', 'Mparams', 'GMACs', 'ms')) > 0
        assert f'| {row["model"]} | {row["AP"]:.3f} | {row["AP50"]:.3f} |' in table


@pytest.mark.slow
def test_all_models(compare, capsys):
    rows = compare()
    assert len({row['Mparams'] for row in rows}) == 3
    check(rows, capsys.readouterr().out)


@pytest.mark.slow
def test_a_trained_model_is_kept(compare, capsys):
    (first,) = compare('--models', 'rtmo')
    (second,) = compare('--models', 'rtmo')
    check([first, second], capsys.readouterr().out)
    measured = {'ms'}
    assert {k: v for k, v in first.items() if k not in measured} == {
        k: v for k, v in second.items() if k not in measured
    }


@pytest.mark.parametrize('name', NAMES)
def test_one_budget(name):
    """Of pictures, steps, and evaluation."""
    assert NAMES == ['prtr_cascade', 'prtr_cascade_plus', 'rtmo']
    cfg, plus = (load_config(str(CONFIGS / f'{n}.py')) for n in (name, 'prtr_cascade_plus'))
    for key in ('train_cfg', 'param_scheduler', 'randomness'):
        assert cfg[key] == plus[key], key
    for split in ('train', 'val'):
        ours, theirs = (c[f'{split}_dataloader'] for c in (cfg, plus))
        assert ours.num_workers == 0 and ours.batch_size == theirs.batch_size
        for key in ('data_root', 'ann_file', 'data_prefix'):
            assert ours.dataset[key] == theirs.dataset[key], key
    assert cfg.train_dataloader.drop_last and plus.train_dataloader.drop_last
    for ours, theirs in zip(cfg.val_evaluator, plus.val_evaluator):
        assert (ours.type, ours.ann_file) == (theirs.type, theirs.ann_file)
    # nothing is pretrained
    assert cfg.load_from is None
    backbone = cfg.model.get('backbone') or cfg.model.detector.backbone
    assert backbone.get('init_cfg') is None
