import json
import re

import matplotlib.image

TOOL = 'visualizations/query_statistics.py'


def test_statistics(run_tool, small_config, checkpoint, quick_options, tmp_path, capsys):
    out = tmp_path / 'folder' / 'out'
    result = run_tool(TOOL, small_config, checkpoint, out, options=quick_options)
    assert result.code == 0
    assert {p.name for p in out.iterdir()} == {'density.png', 'answers.png', 'statistics.json'}
    numbers = json.loads((out / 'statistics.json').read_text())
    # every person has a query for each of the 17 joints
    uses = [q['uses'] for q in numbers['queries']]
    assert sum(uses) == 17 * numbers['num_people'] > 0
    printed = capsys.readouterr().out
    assert (
        f'{numbers["num_people"]} people, {numbers["num_used"]} of 20 queries ever answer'
    ) in printed

    fewer = run_tool(
        TOOL, small_config, checkpoint, tmp_path, '--num-shown=7', '--force', options=quick_options
    )
    assert fewer.code == 0
    heights = [
        matplotlib.image.imread(folder / 'density.png').shape[0] for folder in (out, tmp_path)
    ]
    # three rows of seven, and one
    assert heights[0] > 2 * heights[1]


def test_the_cascade_is_refused(run_tool, cascade_config, train_an_epoch, quick_options, tmp_path):
    out = tmp_path / 'out'
    result = run_tool(
        TOOL, cascade_config, train_an_epoch(cascade_config), out, options=quick_options
    )
    assert result.code.startswith('Error: This needs a TopdownPoseEstimator with PRTRHead')
    assert 'tools/visualizations/cascade.py' in result.code
    assert not out.exists()


def test_no_data(run_tool, small_config, checkpoint, quick_options, tmp_path):
    options = {**quick_options, 'data_root': f'{tmp_path}/nowhere/'}
    done = run_tool(TOOL, small_config, checkpoint, tmp_path / 'out', options=options)
    assert re.match('Error: .*nowhere/.*json" does not exist', done.code)
    assert not (tmp_path / 'out').exists()


def test_bad_number(run_tool, small_config, checkpoint, tmp_path, capsys):
    result = run_tool(TOOL, small_config, checkpoint, tmp_path / 'out', '--num-shown=0')
    assert result.code == 2
    assert '--num-shown' in capsys.readouterr().err
