"""Whether scores say how good joints are."""

import math

import numpy as np
import pytest
from mmengine.structures import InstanceData
from mmpose.structures import PoseDataSample

from prtr_plugin.visualization import draw_reliability, measure_reliability, rate_joints

SIGMAS = [0.05, 0.1, 0.2]


@pytest.fixture
def samples():
    """Pictures of two people with three joints, found in another order, and of nobody."""
    rng = np.random.default_rng(0)
    result = []
    for _ in range(4):
        boxes = np.array([[0.0, 0, 50, 100], [200, 0, 280, 60]])
        points = boxes[:, None, :2] + rng.uniform(0, 50, (2, 3, 2))
        truth = InstanceData(
            bboxes=boxes,
            keypoints=points,
            keypoints_visible=rng.integers(0, 2, (2, 3)).astype(float),
        )
        found = InstanceData(
            keypoints=(points + rng.normal(0, 8, points.shape))[::-1],
            keypoint_scores=rng.uniform(0, 1, (2, 3)),
        )
        result.append(PoseDataSample(gt_instances=truth, pred_instances=found))
    nobody = InstanceData(keypoints=np.zeros((0, 3, 2)), keypoint_scores=np.zeros((0, 3)))
    return [
        *result,
        PoseDataSample(gt_instances=result[0].gt_instances, pred_instances=nobody),
        PoseDataSample(gt_instances=InstanceData(), pred_instances=result[0].pred_instances),
    ]


def naive(samples, thr):
    """In plain loops, for two people that were found in the other order."""
    rated = []
    for sample in samples[:4]:
        truth, found = sample.gt_instances, sample.pred_instances
        for i in range(2):
            x0, y0, x1, y1 = truth.bboxes[i]
            for k in range(3):
                if not truth.keypoints_visible[i, k]:
                    continue
                distance = math.dist(truth.keypoints[i, k], found.keypoints[1 - i, k])
                if thr is None:
                    area = 0.53 * (x1 - x0) * (y1 - y0)
                    quality = math.exp(-(distance**2) / (2 * area * (2 * SIGMAS[k]) ** 2))
                else:
                    quality = float(distance <= thr * max(x1 - x0, y1 - y0))
                rated.append((found.keypoint_scores[1 - i, k], quality))
    return np.array(rated).T


@pytest.mark.parametrize('thr', [None, 0.1])
def test_rating(samples, thr):
    rated = np.array(rate_joints(samples, SIGMAS, thr))
    np.testing.assert_allclose(rated, naive(samples, thr))
    assert len(np.unique(rated[1])) > 1


def test_nobody(samples):
    with pytest.raises(ValueError, match='No person with labelled joints'):
        rate_joints(samples[4:], SIGMAS)


def test_bins():
    scores = np.array([0.1, 0.05, 0.62, 0.7, 1.0, 1.2, -0.3])
    quality = np.array([0.0, 1.0, 0.5, 0.6, 1.0, 0.8, 0.3])
    found = measure_reliability(scores, quality, 4)
    # the last two are outside of all bins
    members = [[0, 1, 6], [], [2, 3], [4, 5]]
    assert found.counts.tolist() == [3, 0, 2, 2]
    error = 0
    for i, chosen in enumerate(members):
        if not chosen:
            assert np.isnan(found.scores[i]) and np.isnan(found.quality[i])
            continue
        assert found.scores[i] == pytest.approx(scores[chosen].mean())
        assert found.quality[i] == pytest.approx(quality[chosen].mean())
        error += len(chosen) / 7 * abs(scores[chosen].mean() - quality[chosen].mean())
    assert found.calibration_error == pytest.approx(error)


def test_figure():
    found = measure_reliability(np.array([0.1, 0.3, 0.9]), np.array([0.2, 0.3, 0.4]), 2)
    upper, lower = draw_reliability(found).axes
    points = upper.lines[1].get_xydata()
    np.testing.assert_allclose(points, [[0.2, 0.25], [0.9, 0.4]])
    assert [bar.get_height() for bar in lower.patches] == pytest.approx([2 / 3, 1 / 3])
    assert f'{found.calibration_error:.3f}' in upper.get_title()
