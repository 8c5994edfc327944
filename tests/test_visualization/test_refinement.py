import copy

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from mmpose.structures import PoseDataSample

from prtr_plugin.visualization import (
    draw_errors,
    draw_refinement,
    figure_to_image,
    level_errors,
    read_levels,
)
from prtr_plugin.visualization.refinement import annotated_joints


def test_levels_are_read_out_one_by_one(model, batch):
    """As decoding each level of each crop on its own does."""
    samples, keypoints = read_levels(model, batch)
    inputs = model.data_preprocessor(batch)['inputs']
    with torch.no_grad():
        levels = model.head.forward_layers(model.extract_feat(inputs))
    assert keypoints.shape == (3, 2, 17, 2)
    for b, sample in enumerate(samples):
        for i, (cls_logits, coords) in enumerate(zip(*levels)):
            found, _ = model.head.decoder.decode(cls_logits[b], coords[b])
            x = found[0, :, 0] / 96 * sample.input_scale[0]
            y = found[0, :, 1] / 128 * sample.input_scale[1]
            corner = sample.input_center - sample.input_scale / 2
            expected = np.stack((x, y), axis=1) + corner
            assert np.allclose(keypoints[b, i], expected, atol=1e-3)


def test_last_level_is_the_prediction(model, batch, monkeypatch):
    monkeypatch.setitem(model.test_cfg, 'flip_test', False)
    _, keypoints = read_levels(model, batch)
    with torch.no_grad():
        predicted = model.test_step(copy.deepcopy(batch))
    for person, sample in zip(keypoints, predicted):
        assert np.allclose(person[-1], sample.pred_instances.keypoints[0], atol=1e-3)
        assert not np.allclose(person[0], person[-1], atol=1e-3)


def test_other_models_are_refused(cascade, batch):
    with pytest.raises(TypeError, match='PRTRCascade with PRTRHead'):
        read_levels(cascade, batch)


def test_errors():
    """Against loops over people and joints."""
    rng = np.random.RandomState(0)
    keypoints = rng.uniform(0, 100, (6, 3, 5, 2))
    annotated = rng.uniform(0, 100, (6, 5, 2))
    visible = rng.randint(0, 3, (6, 5))
    bboxes = np.array([[10, 20, 60, 150], [0, 0, 200, 90]] * 3)
    errors = level_errors(keypoints, annotated, visible, bboxes, thr=0.3)
    assert [e['level'] for e in errors] == [1, 2, 3]
    for i, error in enumerate(errors):
        distances = [[] for _ in range(5)]
        for n in range(6):
            for k in range(5):
                if visible[n, k]:
                    distances[k].append(
                        np.hypot(*(keypoints[n, i, k] - annotated[n, k]))
                        / (130 if n % 2 == 0 else 200)
                    )
        assert error['NME'] == pytest.approx(np.mean(sum(distances, [])))
        assert error['PCK'] == pytest.approx(
            np.mean([np.mean(np.array(d) < 0.3) for d in distances])
        )


def test_no_annotations():
    with pytest.raises(ValueError, match='bbox_file'):
        level_errors(
            np.zeros((1, 2, 5, 2)),
            np.zeros((1, 5, 2)),
            np.zeros((1, 5)),
            np.array([[0, 0, 1, 1]]),
            0.1,
        )


def test_curve():
    errors = [dict(level=1, NME=0.2, PCK=0.0), dict(level=2, NME=0.1, PCK=0.0)]
    figure = draw_errors(errors, 0.1)
    assert figure_to_image(figure).std() > 0
    nme, pck = figure.axes
    assert nme.lines[0].get_ydata().tolist() == [0.2, 0.1]
    assert pck.get_title() == 'share of joints within 0.1 of it'
    assert [text.get_text() for text in nme.texts] == ['0.200', '0.100']


@pytest.mark.parametrize('annotated', [True, False])
def test_picture(model, batch, annotated):
    samples, keypoints = read_levels(model, batch)
    if not annotated:
        samples = [PoseDataSample(metainfo=s.metainfo) for s in samples]
    images = np.zeros((3, 120, 160, 3), dtype=np.uint8)
    figure = draw_refinement(images, keypoints, samples, model.dataset_meta)
    assert figure_to_image(figure).ndim == 3
    assert len(figure.axes) == 3
    names = {'nose', 'left eye', 'right ankle'}
    assert names <= {text.get_text() for text in figure.axes[1].texts}
    # a path of one joint
    path = figure.axes[1].lines[0].get_xydata()
    assert np.allclose(path, keypoints[1, :, 0])
    legend = [text.get_text() for text in figure.legends[0].texts]
    assert legend[:5] == ['left', 'right', 'middle', 'level 1', 'level 2']
    assert ('annotated' in legend) is annotated


@pytest.mark.parametrize(
    'levels, names',
    [(1, ['level 1']), (2, ['level 1', 'level 2']), (6, ['level 1', 'between', 'level 6'])],
)
def test_legend_of_levels(model, batch, levels, names):
    samples, keypoints = read_levels(model, batch)
    figure = draw_refinement(
        [np.zeros((120, 160, 3), dtype=np.uint8)],
        keypoints[:1, :1].repeat(levels, axis=1),
        samples[:1],
        model.dataset_meta,
    )
    legend = [text.get_text() for text in figure.legends[0].texts]
    assert legend == ['left', 'right', 'middle', *names, 'annotated']


def test_annotated_joints():
    sample = PoseDataSample()
    assert annotated_joints(sample).shape == (0, 2)
    sample.gt_instances = InstanceData(
        keypoints=np.arange(6.0).reshape(1, 3, 2), keypoints_visible=np.array([[1, 0, 2]])
    )
    assert annotated_joints(sample).tolist() == [[0, 1], [4, 5]]
