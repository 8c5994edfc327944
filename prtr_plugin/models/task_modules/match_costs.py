import torch
from mmdet.models.task_modules.assigners.match_cost import BaseMatchCost
from mmengine.structures import InstanceData
from mmpose.registry import TASK_UTILS
from torch import Tensor


@TASK_UTILS.register_module()
class KeypointClassificationCost(BaseMatchCost):
    """Minus the probability of each joint, for a batch of crops.

    mmdet's ``ClassificationCost`` takes one image at a time.

    Args:
        weight (float): Cost weight. Defaults to 1.
    """

    def __call__(
        self,
        pred_instances: InstanceData,
        gt_instances: InstanceData,
        img_meta: dict | None = None,
        **kwargs,
    ) -> Tensor:
        """Compute the cost.

        Args:
            pred_instances (:obj:`InstanceData`): ``scores`` inside are class
                logits in shape (N, Q, K + 1), the last one for "no keypoint".
            gt_instances (:obj:`InstanceData`): Not used.
            img_meta (dict, optional): Not used.
            **kwargs: Not used.

        Returns:
            Tensor: Cost in shape (N, Q, K).
        """
        # softmax is faster along an axis that is not the last one
        probs = pred_instances.scores.mT.softmax(dim=-2)[..., :-1, :]
        return -self.weight * probs.mT


@TASK_UTILS.register_module()
class KeypointL1Cost(BaseMatchCost):
    """L1 distance of coordinates, for a batch of crops.

    mmdet's ``BBoxL1Cost`` assumes boxes.

    Args:
        weight (float): Cost weight. Defaults to 1.
    """

    def __call__(
        self,
        pred_instances: InstanceData,
        gt_instances: InstanceData,
        img_meta: dict | None = None,
        **kwargs,
    ) -> Tensor:
        """Compute the cost.

        Args:
            pred_instances (:obj:`InstanceData`): ``keypoints`` inside are
                normalised coordinates in shape (N, Q, 2).
            gt_instances (:obj:`InstanceData`): ``keypoints`` inside are
                normalised coordinates in shape (N, K, 2).
            img_meta (dict, optional): Not used.
            **kwargs: Not used.

        Returns:
            Tensor: Cost in shape (N, Q, K).
        """
        return self.weight * torch.cdist(gt_instances.keypoints, pred_instances.keypoints, p=1).mT
