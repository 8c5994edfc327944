import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from mmpose.registry import TASK_UTILS
from scipy.optimize import linear_sum_assignment

import prtr_plugin  # noqa: F401


def build(class_weight=1.0, l1_weight=5.0):
    return TASK_UTILS.build(
        dict(
            type='KeypointHungarianAssigner',
            match_costs=[
                dict(type='KeypointClassificationCost', weight=class_weight),
                dict(type='KeypointL1Cost', weight=l1_weight),
            ],
        )
    )


def instances(num, num_queries=10, num_keypoints=4):
    g = torch.Generator().manual_seed(0)
    pred = InstanceData(
        scores=torch.randn(num, num_queries, num_keypoints + 1, generator=g),
        keypoints=torch.rand(num, num_queries, 2, generator=g),
    )
    gt = InstanceData(keypoints=torch.rand(num, num_keypoints, 2, generator=g))
    return pred, gt


@pytest.mark.parametrize(
    'class_weight, l1_weight', [(1.0, 5.0), (10.0, 1.0), (1.0, 0.0), (0.0, 1.0)]
)
def test_equals_matching_one_by_one(class_weight, l1_weight):
    """PRTR, equation 3: cost[k, q] = 5 * L1(coord_q, target_k) - softmax(logits_q)[k]"""
    pred, gt = instances(6)
    matches = build(class_weight, l1_weight).assign(pred, gt)
    assert matches.shape == (6, 4) and matches.dtype == torch.long
    for i in range(6):
        cost = np.zeros((4, 10))
        for k in range(4):
            for q in range(10):
                l1 = (pred.keypoints[i, q] - gt.keypoints[i, k]).abs().sum()
                prob = pred.scores[i, q].softmax(0)[k]
                cost[k, q] = l1_weight * l1 - class_weight * prob
        _, expected = linear_sum_assignment(cost)
        np.testing.assert_array_equal(matches[i], expected)


def test_no_gradient():
    pred, gt = instances(2)
    pred.scores.requires_grad_()
    assert not build().assign(pred, gt).requires_grad


def test_needs_a_cost():
    with pytest.raises(ValueError, match='match_costs'):
        TASK_UTILS.build(dict(type='KeypointHungarianAssigner', match_costs=[]))
