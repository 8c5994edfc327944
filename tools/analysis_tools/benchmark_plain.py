"""The plain PRTR: the same network written the obvious way.

It is what ``benchmark.py`` compares the plugin with. Weights, outputs, losses
and read-out equal those of the plugin; what differs is how they are computed:

- attention through ``nn.MultiheadAttention``, which also returns its weights
  and so cannot use fused kernels; positions are added to the embeddings of
  every image before they are projected
- batch norms of their own, also where they are frozen
- the heads run on all decoder levels in testing, too, though only the last
  one is read
- costs and matching level by level and crop by crop, each with a transfer to
  the host and a call of the solver
- read-out crop by crop, each with its transfers and a call of the solver

It only serves as a baseline: nothing here is registered.
"""

from types import SimpleNamespace

import numpy as np
import torch
from mmcv.cnn.bricks.transformer import MultiheadAttention
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from prtr_plugin.codecs import HungarianKeypointCodec
from prtr_plugin.models.heads import PRTRHead
from prtr_plugin.models.layers import FusedMultiheadAttention


class PlainAttention(FusedMultiheadAttention):
    """Attention through ``nn.MultiheadAttention``, weights included."""

    def forward(
        self,
        query: Tensor,
        key: Tensor | None = None,
        identity: Tensor | None = None,
        query_pos: Tensor | None = None,
        key_pos: Tensor | None = None,
        key_padding_mask: Tensor | None = None,
    ) -> Tensor:
        """See :meth:`FusedMultiheadAttention.forward`."""
        if key is None:
            key, key_pos = query, query_pos
        # mmcv's layer would take the positions of the queries
        if key_pos is None:
            key_pos = torch.zeros_like(key)
        return MultiheadAttention.forward(
            self,
            query,
            key,
            identity=identity,
            query_pos=query_pos,
            key_pos=key_pos,
            key_padding_mask=key_padding_mask,
        )


class PlainCodec(HungarianKeypointCodec):
    """Read-out crop by crop."""

    def batch_decode(
        self, cls_logits: Tensor, coords: Tensor
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """See :meth:`HungarianKeypointCodec.batch_decode`."""
        batch_keypoints, batch_scores = [], []
        size = coords.new_tensor(self.input_size, dtype=torch.float32)
        joints = torch.arange(self.num_keypoints)
        for logits, xy in zip(cls_logits.detach(), coords.detach()):
            probs = self.joint_probs(logits)  # (Q, K)
            queries = linear_sum_assignment(-probs.T.cpu())[1]
            keypoints = xy[queries].float() * size
            batch_keypoints.append(keypoints[None].cpu().numpy())
            batch_scores.append(probs[queries, joints][None].cpu().numpy())
        return batch_keypoints, batch_scores


class PlainHeadMixin:
    """What :class:`PRTRHead` does, level by level and crop by crop."""

    def forward(self, feats: tuple[Tensor]) -> tuple[Tensor, Tensor]:
        """See :meth:`PRTRHead.forward`."""
        cls_logits, coords = self.forward_levels(feats)
        return cls_logits[-1], coords[-1]

    @torch.no_grad()
    def match(
        self, cls_logits: Tensor, coords: Tensor, keypoint_labels: Tensor
    ) -> list[np.ndarray]:
        """Query indices of the joints, in shape (K, ) for each crop.

        Args:
            cls_logits (Tensor): Class logits in shape (B, Q, K + 1)
            coords (Tensor): Normalised coordinates in shape (B, Q, 2)
            keypoint_labels (Tensor): Target coordinates in shape (B, K, 2)
        """
        matches = []
        for logits, xy, target in zip(cls_logits, coords, keypoint_labels):
            pred = SimpleNamespace(scores=logits[None], keypoints=xy[None])
            gt = SimpleNamespace(keypoints=target[None])
            cost = sum(cost(pred, gt) for cost in self.assigner.match_costs)
            cost = cost[0].cpu().numpy().T  # (K, Q)
            matches.append(linear_sum_assignment(cost)[1])
        return matches

    def loss_by_feat(
        self, cls_logits: Tensor, coords: Tensor, keypoint_labels: Tensor, keypoint_weights: Tensor
    ) -> dict[str, Tensor]:
        """See :meth:`PRTRHead.loss_by_feat`.

        Returns:
            dict: The losses, but no ``acc_pose``.
        """
        cls_logits, coords = cls_logits.float(), coords.float()
        num_levels, num_joints = len(cls_logits), self.out_channels
        class_weight = cls_logits.new_tensor([1.0] * num_joints + [self.bg_cls_weight])
        losses = dict()
        for i in range(num_levels):
            matches = self.match(cls_logits[i], coords[i], keypoint_labels)
            labels = torch.full(
                cls_logits.shape[1:3], num_joints, dtype=torch.long, device=cls_logits.device
            )
            matched = []
            for crop, queries in enumerate(matches):
                queries = torch.from_numpy(queries).to(labels.device)
                labels[crop, queries] = torch.arange(num_joints, device=labels.device)
                matched.append(coords[i, crop, queries])
            prefix = '' if i == num_levels - 1 else f'd{i}.'
            losses[f'{prefix}loss_cls'] = self.loss_cls(
                cls_logits[i].flatten(0, 1),
                labels.flatten(),
                avg_factor=class_weight[labels].sum().item(),
            )
            losses[f'{prefix}loss_kpt'] = num_joints * self.loss_kpt(
                torch.stack(matched), keypoint_labels, keypoint_weights
            )
        return losses


def make_plain(model: nn.Module) -> nn.Module:
    """Turn a model into its plain version, in place.

    Deformable attention stays as it is.

    Args:
        model (nn.Module): A pose estimator with a :class:`PRTRHead`

    Returns:
        nn.Module: The same model.

    Raises:
        ValueError: If the model has no :class:`PRTRHead`.
    """
    head = getattr(model, 'head', None)
    if not isinstance(head, PRTRHead):
        raise ValueError(
            'Only a model with a PRTRHead has a plain version, '
            f'but the head is {type(head).__name__}.'
        )
    # The classes have the same parameters and arguments: an object changes
    # over, and keeps its weights.
    cls = type(head)
    head.__class__ = type(f'Plain{cls.__name__}', (PlainHeadMixin, cls), {})
    head.decoder.__class__ = PlainCodec
    for module in model.modules():
        if type(module) is FusedMultiheadAttention:
            module.__class__ = PlainAttention
    return model
