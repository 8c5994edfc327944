from collections.abc import Sequence

import torch
from mmdet.models.task_modules.assigners import BaseAssigner
from mmengine.structures import InstanceData
from mmpose.registry import TASK_UTILS
from mmpose.utils.typing import ConfigType
from torch import Tensor

from prtr_plugin.assignment import batched_linear_assignment


@TASK_UTILS.register_module()
class KeypointHungarianAssigner(BaseAssigner):
    """Bipartite matching of queries and joints (PRTR, equation 3).

    All joints of a crop are matched, labelled or not. So every cost matrix has
    the same shape, and all decoder layers of all crops are matched together,
    with one cost tensor and one device-to-host transfer.

    Args:
        match_costs (Sequence[dict]): Configs of the match costs, which are
            summed

    Raises:
        ValueError: If ``match_costs`` is empty.
    """

    def __init__(self, match_costs: Sequence[ConfigType]) -> None:
        if not match_costs:
            raise ValueError(
                f'match_costs must have the config of at least one cost, but got {match_costs}.'
            )
        self.match_costs = [TASK_UTILS.build(cost) for cost in match_costs]

    @torch.no_grad()
    def costs(self, pred_instances: InstanceData, gt_instances: InstanceData) -> Tensor:
        """Costs of assigning each query to each joint.

        Args:
            pred_instances (:obj:`InstanceData`): Predictions of N crops, or
                crops times layers. ``scores`` are class logits in shape
                (N, Q, K + 1), ``keypoints`` normalised coordinates in shape
                (N, Q, 2).
            gt_instances (:obj:`InstanceData`): Targets. ``keypoints`` are
                normalised coordinates in shape (N, K, 2).

        Returns:
            Tensor: Costs in shape (N, K, Q), contiguous.
        """
        return sum(cost(pred_instances, gt_instances) for cost in self.match_costs).mT

    def assign(self, pred_instances: InstanceData, gt_instances: InstanceData, **kwargs) -> Tensor:
        """Assign a query to every joint of every crop.

        Args:
            pred_instances (:obj:`InstanceData`): See :meth:`costs`
            gt_instances (:obj:`InstanceData`): See :meth:`costs`
            **kwargs: Not used.

        Returns:
            Tensor: Query indices in shape (N, K).

        Raises:
            FloatingPointError: If a prediction is NaN or infinite.
        """
        return batched_linear_assignment(self.costs(pred_instances, gt_instances))
