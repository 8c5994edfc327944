"""The quickstart, with stand-ins for Python and the installation."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = 'configs/body_2d_keypoint'
PLUS = f'{CONFIGS}/prtr_plus/synthetic/td-prtr-plus_res18_1xb16-5e_synthetic-128x96.py'
PAPER = f'{CONFIGS}/prtr/synthetic/td-prtr_res18_1xb32-20e_synthetic-128x96.py'


@pytest.fixture
def quickstart(tmp_path):
    """Runs it, and returns the command lines of Python."""
    tools, python = tmp_path / 'tools', tmp_path / 'venv/bin/python'
    tools.mkdir()
    python.parent.mkdir(parents=True)
    (tools / 'quickstart.sh').write_text((ROOT / 'tools/quickstart.sh').read_text())
    (tools / 'setup_env.sh').touch()
    python.write_text(
        '#!/bin/sh\necho "$*" >> calls\n'
        'case $1 in tools/train.py) mkdir -p out; touch out/epoch_5.pth;; esac\n'
    )
    python.chmod(0o755)

    def run(**variables):
        env = dict(os.environ, VENV='venv', OUT='out', **variables)
        subprocess.run(['bash', str(tools / 'quickstart.sh')], env=env, check=True)
        return (tmp_path / 'calls').read_text().splitlines()

    return run


@pytest.mark.parametrize('variables, config', [({}, PLUS), ({'CONFIG': PAPER}, PAPER)])
def test_config(quickstart, variables, config, monkeypatch):
    """PRTR+, and the head of the paper one variable away."""
    monkeypatch.delenv('CONFIG', raising=False)
    assert (ROOT / config).is_file()
    calls = quickstart(**variables, SEED='3', DATA='people')
    assert [call.split()[0] for call in calls[:5]] == [
        'tools/dataset_tools/synthetic_people.py',
        'tools/train.py',
        'tools/test.py',
        'tools/visualizations/prediction_sheet.py',
        'tools/analysis_tools/plot_training.py',
    ]
    train, test, sheet = calls[1:4]
    assert all(call.split()[1] == config for call in (train, test, sheet))
    assert all(call.split()[2] == 'out/epoch_5.pth' for call in (test, sheet))
    for call in (train, test, sheet):
        assert call.endswith('--cfg-options data_root=people/ randomness.seed=3')
