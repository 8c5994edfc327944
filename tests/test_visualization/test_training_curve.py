"""The curve of a training run."""

import json

import pytest

from prtr_plugin.visualization import draw_training, read_scalars
from prtr_plugin.visualization.training_curve import metric_steps


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


def test_records_of_a_resumed_run(work_dir):
    train, val = read_scalars(work_dir)
    assert [(r['step'], r['loss']) for r in train] == [(10, 3.0), (20, 2.0)]
    assert [r['coco/AP'] for r in val] == [0.1, 0.2]
    # epochs of validation are drawn where training stood then
    assert metric_steps(train, val) == {1: 10, 2: 20}


def test_iteration_based_steps_are_kept():
    assert metric_steps([dict(step=5, loss=1.0)], [dict(step=5)]) == {5: 5}


def test_no_log(tmp_path):
    with pytest.raises(FileNotFoundError, match='work_dir'):
        read_scalars(tmp_path)


def test_curves(work_dir):
    left, right = draw_training(*read_scalars(work_dir), ['coco/AP']).axes
    (loss,), (metric,) = left.lines, right.lines
    assert loss.get_xydata().tolist() == [[10, 3.0], [20, 2.0]]
    assert metric.get_xydata().tolist() == [[10, 0.1], [20, 0.2]]
    assert [text.get_text() for text in right.texts] == ['0.200']


@pytest.mark.parametrize('recorded', [['coco/AP'], ['coco/AP', 'coco/bbox_AP'], []])
def test_default_metrics(recorded):
    train = [dict(epoch=1, step=10, loss=3.0)]
    val = [{'step': 1, 'other': 0.5, **{name: 0.1 for name in recorded}}]
    if not recorded:
        with pytest.raises(ValueError, match=r"'coco/AP'.* not recorded. The log has \['other'\]"):
            draw_training(train, val)
        return
    axes = draw_training(train, val).axes
    assert axes[1].get_ylabel() == ', '.join(recorded)


def test_other_metrics():
    """Those that there are, in percent as well."""
    train = [dict(epoch=1, step=10, loss=3.0)]
    for value, top in ((0.9, 1), (83.5, 100), (200.0, 210)):
        val = [{'step': 1, 'elbow': value, 'PCK': value, 'crowdpose/AP': 0.5}]
        right = draw_training(train, val).axes[1]
        assert right.get_ylabel() == 'PCK, crowdpose/AP' and right.get_ylim() == (0, top)
    val = [{'step': 1, 'PCK': float('nan')}, {'step': 2, 'PCK': 0.5}]
    assert draw_training(train, val).axes[1].get_ylim() == (0, 1)
