import json
from pathlib import Path

import numpy as np
import pytest
from mmengine.structures import InstanceData
from mmpose.structures import PoseDataSample
from PIL import Image

from prtr_plugin.visualization import (
    draw_errors,
    draw_refinement,
    figure_to_image,
    layer_errors,
    read_layers,
    save_errors,
    save_refinement,
)
from prtr_plugin.visualization.refinement import annotated_joints


def ground_truth(keypoints, keypoints_visible, bboxes):
    return InstanceData(keypoints=keypoints, keypoints_visible=keypoints_visible, bboxes=bboxes)


def test_errors():
    """Against loops over people and joints."""
    rng = np.random.RandomState(0)
    keypoints = rng.uniform(0, 100, (3, 6, 5, 2))
    annotated = rng.uniform(0, 100, (6, 5, 2))
    visible = rng.randint(0, 3, (6, 5))
    bboxes = np.array([[10, 20, 60, 150], [0, 0, 200, 90]] * 3)
    errors = layer_errors(keypoints, ground_truth(annotated, visible, bboxes), thr=0.3)
    assert [e['layer'] for e in errors] == [1, 2, 3]
    for i, error in enumerate(errors):
        distances = [[] for _ in range(5)]
        for n in range(6):
            for k in range(5):
                if visible[n, k]:
                    distances[k].append(
                        np.hypot(*(keypoints[i, n, k] - annotated[n, k]))
                        / (130 if n % 2 == 0 else 200)
                    )
        assert error['NME'] == pytest.approx(np.mean(np.concatenate(distances)))
        assert error['PCK'] == pytest.approx(
            np.mean([np.mean(np.array(d) < 0.3) for d in distances])
        )


def test_no_annotations():
    with pytest.raises(ValueError, match='bbox_file'):
        people = ground_truth(np.zeros((1, 5, 2)), np.zeros((1, 5)), np.array([[0, 0, 1, 1]]))
        layer_errors(np.zeros((2, 1, 5, 2)), people, 0.1)


def test_errors_over_a_dataset(model, batch, tmp_path):
    """All people of all batches count."""
    outputs = read_layers(model, batch)
    people = InstanceData.cat([sample.gt_instances for sample in outputs.data_samples])
    expected = layer_errors(outputs.keypoints, people, thr=0.3)
    parts = [{key: value[part] for key, value in batch.items()} for part in (slice(2), slice(2, 3))]
    errors = save_errors(model, parts, tmp_path / 'new', 0.3)
    for error, other in zip(errors, expected, strict=True):
        assert error == pytest.approx(other, rel=1e-4)
    saved = json.loads((tmp_path / 'new/curve.json').read_text())
    assert saved == dict(thr=0.3, layers=errors)
    assert (tmp_path / 'new/curve.png').exists()


def test_files(model, batch, tmp_path):
    """Two people in a picture, one in the last."""
    paths = list(save_refinement(model, batch, tmp_path / 'new', columns=2))
    assert paths == sorted((tmp_path / 'new').iterdir())
    images = [sample.img_path for sample in batch['data_samples']]
    stems = [Path(images[i]).stem for i in (0, 2)]
    assert [p.name for p in paths] == [f'000_{stems[0]}.png', f'002_{stems[1]}.png']
    widths = [Image.open(p).width for p in paths]
    assert widths[0] == pytest.approx(2 * widths[1], abs=1)


def test_curve():
    errors = [dict(layer=1, NME=0.2, PCK=0.0), dict(layer=2, NME=0.1, PCK=0.0)]
    figure = draw_errors(errors, 0.1)
    assert figure_to_image(figure).std() > 0
    nme, pck = figure.axes
    assert nme.lines[0].get_ydata().tolist() == [0.2, 0.1]
    assert pck.get_title() == 'share of joints within 0.1 of it'
    assert [text.get_text() for text in nme.texts] == ['0.200', '0.100']


@pytest.mark.parametrize('annotated', [True, False])
def test_picture(model, batch, annotated):
    outputs = read_layers(model, batch)
    samples, keypoints = outputs.data_samples, outputs.keypoints
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
    assert np.allclose(path, keypoints[:, 1, 0])
    legend = [text.get_text() for text in figure.legends[0].texts]
    assert legend[:5] == ['left', 'right', 'middle', 'layer 1', 'layer 2']
    assert ('annotated' in legend) is annotated


@pytest.mark.parametrize(
    'layers, names',
    [(1, ['layer 1']), (2, ['layer 1', 'layer 2']), (6, ['layer 1', 'between', 'layer 6'])],
)
def test_legend_of_layers(model, batch, layers, names):
    outputs = read_layers(model, batch)
    figure = draw_refinement(
        [np.zeros((120, 160, 3), dtype=np.uint8)],
        outputs.keypoints[:1, :1].repeat(layers, axis=0),
        outputs.data_samples[:1],
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
