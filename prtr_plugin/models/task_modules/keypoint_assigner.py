import torch
from mmdet.models.task_modules.assigners import BaseAssigner
from mmengine.structures import InstanceData
from mmpose.registry import TASK_UTILS
from mmpose.utils.typing import ConfigType
from torch import Tensor

from prtr_plugin.codecs import batched_linear_assignment


@TASK_UTILS.register_module()
class KeypointHungarianAssigner(BaseAssigner):
    """Bipartite matching of queries and joints (PRTR, equation 3).

    All joints of a crop are matched, labelled or not, so that every cost
    matrix has the same shape and all decoder levels of all crops are matched
    together: one cost tensor, one device-to-host transfer.

    Args:
        match_costs (List[dict]): Configs of the match costs, which are summed
            up.

    Raises:
        ValueError: If ``match_costs`` is empty.
    """

    def __init__(self, match_costs: list[ConfigType]) -> None:
        if not match_costs:
            raise ValueError('match_costs must name at least one match cost')
        self.match_costs = [TASK_UTILS.build(cost) for cost in match_costs]

    @torch.no_grad()
    def assign(
        self,
        pred_instances: InstanceData,
        gt_instances: InstanceData,
        extra_cost: Tensor | None = None,
        **kwargs,
    ) -> Tensor:
        """Assign a query to every joint of every crop.

        Args:
            pred_instances (:obj:`InstanceData`): Predictions of N crops, or
                crops times levels. ``scores`` are class logits in shape
                (N, Q, K + 1), ``keypoints`` normalised coordinates in shape
                (N, Q, 2).
            gt_instances (:obj:`InstanceData`): Targets. ``keypoints`` are
                normalised coordinates in shape (N, K, 2).
            extra_cost (Tensor, optional): M further cost matrices to solve
                in the same transfer, in shape (M, Q, K).

        Returns:
            Tensor: Query indices in shape (N, K), or (N + M, K) with
            ``extra_cost``.

        Raises:
            FloatingPointError: If a prediction is NaN or infinite.
        """
        cost = sum(match_cost(pred_instances, gt_instances) for match_cost in self.match_costs)
        # (N, K, Q), as the costs and the solver have it in memory
        device, cost = cost.device, cost.mT
        if extra_cost is not None:
            cost = torch.cat((cost, extra_cost.mT))
        queries = batched_linear_assignment(cost)
        return torch.from_numpy(queries).to(device)
