import json
import mmap
import re
import subprocess

import pytest
import small_cascade
from mmengine.config import Config

SCRIPT = 'analysis_tools/measure_cascade.py'
SMALL = ('--image-size', 96, 64, '--repeats', 2)


@pytest.fixture
def config(tmp_path):
    path = tmp_path / 'small.py'
    Config(dict(model=small_cascade.CONFIG)).dump(path)
    return path


def test_table(run_tool, config, tmp_path, capsys):
    out = tmp_path / 'new' / 'result.json'
    done = run_tool(SCRIPT, config, *SMALL, '--num-persons', 5, 2, '--no-memory', '--out', out)
    assert done.code == 0, done.error
    result = json.loads(out.read_text())
    # as many people as queries are always measured
    assert [r['num_persons'] for r in result['rows']] == [2, 5, 9]
    for row in result['rows']:
        assert 0 < row['seconds_min'] <= row['seconds'] <= row['seconds_max']
        assert max(row['difference'].values()) < 1e-4
        assert row['memory'] is None
    assert result['rows'][-1]['speedup'] == 1
    # else the differences would show nothing
    assert min(result['people_differ'].values()) > 1e-2
    assert result['threads'] >= 1 and result['image_size'] == [96, 64]

    head, title, *lines = capsys.readouterr().out.splitlines()
    assert re.match(r'small\.py, 96x64, CPU, \d+ threads.* 2 repeats', head)
    assert [line.split()[0] for line in lines[:3]] == ['2', '5', '9']
    assert 'published' in lines[2] and str(out) in lines[4]


def test_memory(load_tool, config, run_tool, capsys, monkeypatch):
    """Of one process, and what a new one is told and prints."""
    memory = load_tool('analysis_tools/memory_utils.py')
    if memory.resident_set('VmHWM') is None:
        pytest.skip('this system does not tell the memory of a process')
    assert memory.resident_set('VmHWM') >= memory.resident_set('VmRSS') > 2**20
    # pages of its own: the C library may reuse those that were freed before
    block = mmap.mmap(-1, 2**26)
    added = memory.added_memory(lambda: block.write(b'x' * 2**26))
    assert 2**26 <= added < 2**28
    done = run_tool(SCRIPT, config, *SMALL, '--memory-of', 2)
    assert done.code == 0, done.error
    assert int(capsys.readouterr().out) >= 0

    def run(command, **kwargs):
        assert command[1:] == [SCRIPT, 'config.py', '--memory-of', '5']
        return subprocess.CompletedProcess(command, 0, 'a line\n123\n')

    monkeypatch.setattr(subprocess, 'run', run)
    monkeypatch.setattr('sys.argv', [SCRIPT, 'config.py'])
    assert memory.memory_in_new_process('--memory-of', '5') == 123


def test_bad_arguments(run_tool, config, small_config):
    done = run_tool(SCRIPT, config, *SMALL, '--num-persons', 10)
    assert '[10]' in str(done.error) and '9 queries' in str(done.error)
    done = run_tool(SCRIPT, small_config)
    assert 'TopdownPoseEstimator: give a PRTRCascade' in str(done.error)
    assert run_tool(SCRIPT, config, '--repeats', 0).code == 2
