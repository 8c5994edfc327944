"""Distances of joints."""

import numpy as np
import pytest
from mmengine.structures import InstanceData
from mmpose.structures import PoseDataSample

from prtr_plugin.datasets.joints import make_dataset_info, parse_dataset_info
from prtr_plugin.visualization import draw_joint_errors, measure_joints


def sample(truth, seen, found):
    truth = np.array(truth, float)
    boxes = np.tile([0.0, 0, 50, 100], (len(truth), 1))
    return PoseDataSample(
        gt_instances=InstanceData(
            bboxes=boxes, keypoints=truth, keypoints_visible=np.array(seen, float)
        ),
        pred_instances=InstanceData(keypoints=np.array(found, float).reshape(-1, 2, 2)),
    )


@pytest.fixture
def errors():
    samples = [
        # found in another order, one joint 5 pixels off, one not labelled
        sample(
            [[[0, 0], [10, 0]], [[50, 50], [60, 60]]],
            [[1, 1], [1, 0]],
            [[[50, 55], [0, 0]], [[0, 0], [10, 0]]],
        ),
        PoseDataSample(gt_instances=InstanceData(), pred_instances=InstanceData()),
        # nobody was found
        sample([[[0, 0], [1, 1]]], [[0, 1]], []),
    ]
    return measure_joints(samples, 2)


def test_distances(errors):
    nan, inf = float('nan'), float('inf')
    np.testing.assert_allclose(errors.errors, [[0, 0], [0.05, nan], [nan, inf]], atol=1e-9)
    assert errors.images.tolist() == [0, 0, 2]
    np.testing.assert_allclose(errors.per_person, [0, 0.05, inf])
    assert errors.per_joint[0] == pytest.approx(0.025)
    np.testing.assert_allclose(errors.pck(0.04), [0.5, 0.5])
    np.testing.assert_allclose(errors.pck(0.1), [1, 0.5])


def test_figure(errors):
    meta = parse_dataset_info(make_dataset_info('x', ['left_a', 'right_a']))
    (axis,) = draw_joint_errors(errors, meta).axes
    assert axis.patches[0].get_width() == pytest.approx(0.025)
    assert [label.get_text() for label in axis.get_yticklabels()] == ['left a', 'right a']
    assert [text.get_text() for text in axis.texts] == [
        ' 0.025, PCK@0.1 1.00',
        ' mostly not found, PCK@0.1 0.50',
    ]
    # joints that are never labelled, in a set without anybody
    (axis,) = draw_joint_errors(measure_joints([], 2), meta).axes
    assert [text.get_text() for text in axis.texts] == [' not labelled'] * 2
