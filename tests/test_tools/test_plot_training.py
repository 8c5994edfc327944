import json

TOOL = 'analysis_tools/plot_training.py'


def test_curve(run_tool, tmp_path):
    work_dir, out = tmp_path / 'run', tmp_path / 'new' / 'curve.png'
    file = work_dir / '20260101_000000' / 'vis_data' / 'scalars.json'
    file.parent.mkdir(parents=True)
    records = [dict(epoch=1, step=10, loss=3.0), {'step': 1, 'coco/AP': 0.1}]
    file.write_text('\n'.join(map(json.dumps, records)))
    assert run_tool(TOOL, work_dir, out).code == 0
    assert out.stat().st_size > 1000
    done = run_tool(TOOL, work_dir, tmp_path / 'x.png', '--metrics', 'PCK')
    assert done.code.startswith('Error: ') and "['PCK']" in done.code
    assert not (tmp_path / 'x.png').exists()
    assert run_tool(TOOL, tmp_path / 'nothing', out).code.startswith('Error: ')
