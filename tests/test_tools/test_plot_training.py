import json

import pytest


@pytest.fixture
def plot_training(load_tool):
    return load_tool('analysis_tools/plot_training.py')


def write(work_dir, name, records):
    folder = work_dir / name / 'vis_data'
    folder.mkdir(parents=True)
    (folder / 'scalars.json').write_text('\n'.join(map(json.dumps, records)))


@pytest.fixture
def work_dir(tmp_path):
    """Two epochs of ten iterations, the second one repeated by a resume."""
    write(
        tmp_path,
        '20260101_000000',
        [
            dict(epoch=1, step=10, loss=3.0),
            {'step': 1, 'coco/AP': 0.1},
            dict(epoch=2, step=20, loss=9.0),
        ],
    )
    write(
        tmp_path, '20260101_000100', [dict(epoch=2, step=20, loss=2.0), {'step': 2, 'coco/AP': 0.2}]
    )
    return tmp_path


def test_records_of_a_resumed_run(plot_training, work_dir):
    train, val = plot_training.read_scalars(work_dir)
    assert [(r['step'], r['loss']) for r in train] == [(10, 3.0), (20, 2.0)]
    assert [r['coco/AP'] for r in val] == [0.1, 0.2]
    # epochs of validation are drawn where training stood then
    assert plot_training.metric_steps(train, val) == {1: 10, 2: 20}


def test_iteration_based_steps_are_kept(plot_training):
    assert plot_training.metric_steps([dict(step=5, loss=1.0)], [dict(step=5)]) == {5: 5}


def test_picture(run_tool, work_dir, tmp_path):
    out = tmp_path / 'curve.png'
    assert not run_tool('analysis_tools/plot_training.py', work_dir, out).code
    assert out.stat().st_size > 1000


def test_unknown_metric(run_tool, work_dir, tmp_path, capsys):
    result = run_tool(
        'analysis_tools/plot_training.py', work_dir, tmp_path / 'x.png', '--metrics', 'PCK'
    )
    assert result.code == 2
    assert "no record of ['PCK']; there are" in capsys.readouterr().err


def test_no_log(plot_training, tmp_path):
    with pytest.raises(FileNotFoundError, match='work_dir'):
        plot_training.read_scalars(tmp_path)


@pytest.mark.parametrize('recorded', [['coco/AP'], ['coco/AP', 'coco/bbox_AP'], []])
def test_default_metrics(load_tool, tmp_path, monkeypatch, recorded, capsys):
    module = load_tool('analysis_tools/plot_training.py')
    write(
        tmp_path,
        '20260101_000000',
        [
            dict(epoch=1, step=10, loss=3.0),
            {'step': 1, 'other': 0.5, **{name: 0.1 for name in recorded}},
        ],
    )
    monkeypatch.setattr('sys.argv', ['x', str(tmp_path), str(tmp_path / 'curve.png')])
    if not recorded:
        with pytest.raises(SystemExit):
            module.main()
        assert "there are ['other'" in capsys.readouterr().err
        return
    module.main()
    axes = module.plt.gcf().axes
    assert axes[1].get_ylabel() == ', '.join(recorded)
