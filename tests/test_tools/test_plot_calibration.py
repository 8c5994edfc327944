import re

import matplotlib.image
import pytest

TOOL = 'analysis_tools/plot_calibration.py'


@pytest.mark.parametrize('thr', [None, 0.2])
def test_picture(run_tool, small_config, checkpoint, quick_options, tmp_path, capsys, thr):
    out = tmp_path / 'new' / 'calibration.png'
    args = ['--num-bins=5'] + ([f'--thr={thr}'] if thr else [])
    assert run_tool(TOOL, small_config, checkpoint, out, *args, options=quick_options).code == 0
    assert matplotlib.image.imread(out).shape[:2] == (540, 540)
    printed = capsys.readouterr().out
    assert len(re.findall(r'joints with mean score', printed)) == 5
    assert ('PCK@0.2' if thr else 'OKS') in printed
    assert 0 <= float(re.search(r'Calibration error (\S+)\. ', printed)[1]) <= 1


def test_needs_a_bin(run_tool, small_config, checkpoint, capsys):
    assert run_tool(TOOL, small_config, checkpoint, 'a.png', '--num-bins=0').code == 2
    assert '--num-bins' in capsys.readouterr().err
