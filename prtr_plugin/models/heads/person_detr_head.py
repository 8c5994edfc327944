import copy
from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmdet.models.dense_heads import DETRHead
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy, bbox_overlaps, bbox_xyxy_to_cxcywh
from mmdet.utils import reduce_mean
from mmengine.structures import InstanceData
from mmpose.registry import MODELS
from mmpose.utils.typing import ConfigType, InstanceList, OptConfigType, SampleList
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ..layers import full_precision, non_finite_error

ASSIGNER = dict(
    type='mmdet.HungarianAssigner',
    match_costs=[
        dict(type='mmdet.ClassificationCost', weight=1.0),
        dict(type='mmdet.BBoxL1Cost', weight=5.0, box_format='xywh'),
        dict(type='mmdet.IoUCost', iou_mode='giou', weight=2.0),
    ],
)


# one output per decoder layer, as a single tensor if all have the same shape
LayerOutputs = Tensor | Sequence[Tensor]


class Matches(NamedTuple):
    """Matches of queries and people in a batch, image by image.

    Args:
        images (Tensor): Index of the image of each match in shape (M, )
        queries (Tensor): Index of its query in shape (M, )
        people (Tensor): Index of its person among all of the batch, in shape
            (M, )
    """

    images: Tensor
    queries: Tensor
    people: Tensor


@MODELS.register_module()
class PersonDETRHead(DETRHead):
    """mmdet's DETR head for one class, with regions to ignore.

    All decoder layers of all images are matched with one device-to-host
    transfer.

    An unmatched query whose box lies mostly in an ignored region, such as a
    crowd, is neither positive nor negative, just as COCO's evaluation counts
    such a detection neither as right nor as wrong.

    Args:
        num_classes (int): Number of classes without "none". Defaults to 1
        ignore_iof_thr (float): Share of a predicted box inside an ignored
            region above which its class is not supervised. Defaults to 0.5
        num_proposal_matches (int): Number of proposals of
            :class:`ProposalPersonDETR` that are matched to each person, so
            that more of them learn; the decoder's layers choose one.
            Defaults to 1
        loss_cls (dict): Config of the softmax classification loss.
            ``bg_cls_weight`` inside is the weight of "none". Defaults to
            DETR's
        loss_bbox (dict): Config of the box loss. Defaults to DETR's
        loss_iou (dict): Config of the IoU loss. Defaults to DETR's
        train_cfg (dict, optional): ``assigner`` inside is the config of the
            matching, of which only the match costs are used. Defaults to
            DETR's
        test_cfg (dict, optional): See the parent class
        **kwargs: Other arguments of the parent class.
    """

    def __init__(
        self,
        num_classes: int = 1,
        ignore_iof_thr: float = 0.5,
        num_proposal_matches: int = 1,
        loss_cls: ConfigType = dict(
            type='mmdet.CrossEntropyLoss', bg_cls_weight=0.1, loss_weight=1.0
        ),
        loss_bbox: ConfigType = dict(type='mmdet.L1Loss', loss_weight=5.0),
        loss_iou: ConfigType = dict(type='mmdet.GIoULoss', loss_weight=2.0),
        train_cfg: OptConfigType = None,
        test_cfg: OptConfigType = None,
        **kwargs,
    ) -> None:
        loss_cls = copy.deepcopy(loss_cls)
        bg_cls_weight = loss_cls.pop('bg_cls_weight', 0.1)
        # the parent class does this only for itself, not for subclasses
        loss_cls['class_weight'] = [1.0] * num_classes + [bg_cls_weight]
        super().__init__(
            num_classes,
            loss_cls=loss_cls,
            loss_bbox=loss_bbox,
            loss_iou=loss_iou,
            train_cfg=train_cfg or dict(assigner=ASSIGNER),
            test_cfg=test_cfg or dict(),
            **kwargs,
        )
        self.bg_cls_weight = bg_cls_weight
        self.ignore_iof_thr = ignore_iof_thr
        self.num_proposal_matches = num_proposal_matches

    def forward(
        self,
        hidden_states: Tensor,
        references: Tensor | None = None,
        proposals: tuple[Tensor, ...] = (),
    ) -> tuple[LayerOutputs, LayerOutputs]:
        """Predict people from the outputs of the decoder.

        Args:
            hidden_states (Tensor): Outputs of the L decoder layers in shape
                (L, B, Q, D)
            references (Tensor, optional): Reference boxes in [cx, cy, w, h],
                relative to the valid image, to which the predicted offsets are
                added, in shape (B, Q, 4). Defaults to None, for no offsets
            proposals (Tuple[Tensor, ...]): Class logits and boxes of P
                proposals in shape (B, P, num_classes + 1) and (B, P, 4),
                returned before those of the layers. Defaults to none

        Returns:
            tuple[Sequence[Tensor], Sequence[Tensor]]: For each layer, class
            logits in shape (B, Q, num_classes + 1) and boxes in shape
            (B, Q, 4).
        """
        cls_scores, boxes = self.forward_layer(hidden_states, references)
        if proposals:
            return (proposals[0], *cls_scores), (proposals[1], *boxes)
        return cls_scores, boxes

    def forward_layer(
        self, hidden_states: Tensor, references: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Class logits and boxes in shape (..., num_classes + 1) and
        (..., 4) of hidden states in shape (..., D); see :meth:`forward`.
        """
        with full_precision(self.fc_cls, hidden_states) as (hidden_states,):
            boxes = self.fc_reg(self.activate(self.reg_ffn(hidden_states)))
            if references is not None:
                boxes = boxes + references.logit(eps=1e-4)
            return self.fc_cls(hidden_states), boxes.sigmoid()

    def predict(
        self, hidden_states: Tensor, batch_data_samples: SampleList, rescale: bool = True, **kwargs
    ) -> InstanceList:
        """Predict people, for a detector that is used without a cascade.

        Args:
            hidden_states (Tensor): See :meth:`forward`
            batch_data_samples (List[:obj:`DetDataSample`]): ``img_shape`` of
                each image, and ``scale_factor`` if it was resized
            rescale (bool): Whether to return boxes in the original images.
                Defaults to ``True``
            **kwargs: Other arguments of :meth:`forward`, which the parent
                class's method does not pass on

        Returns:
            List[:obj:`InstanceData`]: ``bboxes``, ``scores`` and ``labels``
            of each image.
        """
        return self.predict_by_feat(
            *self(hidden_states, **kwargs),
            batch_img_metas=[sample.metainfo for sample in batch_data_samples],
            rescale=rescale,
        )

    def loss_by_feat(
        self,
        all_layers_cls_scores: LayerOutputs,
        all_layers_bbox_preds: LayerOutputs,
        batch_gt_instances: InstanceList,
        batch_img_metas: list[dict],
        batch_gt_instances_ignore: InstanceList | None = None,
    ) -> dict[str, Tensor]:
        """Match all decoder layers and calculate their losses.

        Args:
            all_layers_cls_scores (Sequence[Tensor]): Class logits of each
                layer in shape (B, Q, num_classes + 1), the last class for
                "none"
            all_layers_bbox_preds (Sequence[Tensor]): Boxes of each layer in
                [cx, cy, w, h], relative to the valid image, in shape
                (B, Q, 4)
            batch_gt_instances (List[:obj:`InstanceData`]): For each image
                ``bboxes`` in [x1, y1, x2, y2], in pixels of the input image,
                in shape (P_i, 4), and ``labels`` in shape (P_i, )
            batch_img_metas (List[dict]): ``img_shape`` of each image
            batch_gt_instances_ignore (List[:obj:`InstanceData`], optional):
                ``bboxes`` of the ignored regions, as above

        Returns:
            dict: ``loss_cls``, ``loss_bbox`` and ``loss_iou`` of the last
            layer, and with the prefix ``d{i}.`` of layer i before it.

        Raises:
            FloatingPointError: If a prediction is NaN or infinite.
        """
        matches = self.match(
            all_layers_cls_scores, all_layers_bbox_preds, batch_gt_instances, batch_img_metas
        )
        return self.loss_by_matches(
            all_layers_cls_scores,
            all_layers_bbox_preds,
            matches,
            batch_gt_instances,
            batch_img_metas,
            batch_gt_instances_ignore,
        )

    @torch.no_grad()
    def match(
        self,
        all_layers_cls_scores: LayerOutputs,
        all_layers_bbox_preds: LayerOutputs,
        batch_gt_instances: InstanceList,
        batch_img_metas: list[dict],
    ) -> list[Matches]:
        """Match the queries of all layers and images, in one transfer.

        Args:
            all_layers_cls_scores (Sequence[Tensor]): See :meth:`loss_by_feat`
            all_layers_bbox_preds (Sequence[Tensor]): See :meth:`loss_by_feat`
            batch_gt_instances (List[:obj:`InstanceData`]): See
                :meth:`loss_by_feat`
            batch_img_metas (List[dict]): See :meth:`loss_by_feat`

        Returns:
            List[Matches]: The matches of each layer, on the CPU: min(P_i, Q)
            per image, by increasing query. Proposals have
            ``num_proposal_matches`` for each person, if there are so many.

        Raises:
            FloatingPointError: If a prediction is NaN or infinite.
        """
        scores = torch.cat([s.float() for s in all_layers_cls_scores], dim=1)
        boxes = torch.cat([b.float() for b in all_layers_bbox_preds], dim=1)
        sizes = _image_sizes(batch_img_metas, boxes)
        bboxes = bbox_cxcywh_to_xyxy(boxes) * sizes[:, None]
        costs = [
            sum(
                cost(InstanceData(scores=score, bboxes=bbox), gt, meta)
                for cost in self.assigner.match_costs
            )
            for score, bbox, gt, meta in zip(scores, bboxes, batch_gt_instances, batch_img_metas)
        ]
        # an image without people has no costs, but may have NaN predictions
        finite = (scores.sum() + boxes.sum()).isfinite()
        packed = torch.cat([cost.flatten() for cost in costs] + [finite[None].to(scores)]).cpu()
        *flat, finite = packed.split([cost.numel() for cost in costs] + [1])
        if not finite.all():
            raise non_finite_error('PersonDETRHead')

        num_queries = [s.shape[1] for s in all_layers_cls_scores]
        # proposals, if there are any, come before the layers of the decoder
        copies = [1] * len(num_queries)
        if len(copies) > 1:
            copies[0] = self.num_proposal_matches
        matches: list[list[tuple]] = [[] for _ in num_queries]
        start = 0
        for i, (cost, like) in enumerate(zip(flat, costs)):
            num_people = like.shape[1]
            for layer, part, num in zip(matches, cost.view(like.shape).split(num_queries), copies):
                queries, people = map(
                    torch.from_numpy, linear_sum_assignment(part.repeat(1, num).numpy())
                )
                people = people % num_people + start
                layer.append((torch.full_like(queries, i), queries, people))
            start += num_people
        return [Matches(*map(torch.cat, zip(*layer))) for layer in matches]

    def loss_by_matches(
        self,
        all_layers_cls_scores: LayerOutputs,
        all_layers_bbox_preds: LayerOutputs,
        all_layers_matches: Sequence[Matches],
        batch_gt_instances: InstanceList,
        batch_img_metas: list[dict],
        batch_gt_instances_ignore: InstanceList | None = None,
    ) -> dict[str, Tensor]:
        """Calculate the losses of all decoder layers from their matches.

        Args:
            all_layers_cls_scores (Sequence[Tensor]): See :meth:`loss_by_feat`
            all_layers_bbox_preds (Sequence[Tensor]): See :meth:`loss_by_feat`
            all_layers_matches (Sequence[Matches]): From :meth:`match`
            batch_gt_instances (List[:obj:`InstanceData`]): See
                :meth:`loss_by_feat`
            batch_img_metas (List[dict]): See :meth:`loss_by_feat`
            batch_gt_instances_ignore (List[:obj:`InstanceData`], optional):
                See :meth:`loss_by_feat`

        Returns:
            dict: See :meth:`loss_by_feat`.
        """
        sizes = _image_sizes(batch_img_metas, all_layers_bbox_preds[-1])
        gt_labels = torch.cat([gt.labels for gt in batch_gt_instances])
        gt_bboxes = torch.cat([gt.bboxes / size for gt, size in zip(batch_gt_instances, sizes)])
        gt_bboxes = bbox_xyxy_to_cxcywh(gt_bboxes)

        losses = dict()
        layers = list(zip(all_layers_cls_scores, all_layers_bbox_preds, all_layers_matches))
        for i, (cls_scores, bbox_preds, (images, queries, people)) in enumerate(layers):
            labels = gt_labels.new_full(cls_scores.shape[:2], self.num_classes)
            labels[images, queries] = gt_labels[people]
            weights = torch.ones_like(cls_scores[..., 0])
            if batch_gt_instances_ignore is not None:
                ignored = self._ignored(bbox_preds.detach(), batch_gt_instances_ignore, sizes)
                weights = weights.masked_fill(ignored & (labels == self.num_classes), 0)
            # the sum of the weights in the loss, as in the authors' DETR
            num_matches = weights.new_tensor(float(len(queries)))
            avg_factor = num_matches + (weights.sum() - num_matches) * self.bg_cls_weight
            if self.sync_cls_avg_factor:
                avg_factor = reduce_mean(avg_factor)
            num_people = reduce_mean(num_matches).clamp(min=1)

            prefix = '' if i == len(layers) - 1 else f'd{i}.'
            losses[f'{prefix}loss_cls'] = self.loss_cls(
                cls_scores.flatten(0, 1),
                labels.flatten(),
                weights.flatten(),
                avg_factor=avg_factor.clamp(min=1),
            )
            matched, targets = bbox_preds[images, queries], gt_bboxes[people]
            losses[f'{prefix}loss_bbox'] = self.loss_bbox(matched, targets, avg_factor=num_people)
            losses[f'{prefix}loss_iou'] = self.loss_iou(
                bbox_cxcywh_to_xyxy(matched) * sizes[images],
                bbox_cxcywh_to_xyxy(targets) * sizes[images],
                avg_factor=num_people,
            )
        return losses

    def _ignored(self, bbox_preds: Tensor, regions: InstanceList, sizes: Tensor) -> Tensor:
        """Whether boxes in shape (B, Q, 4) lie in ignored regions, in shape (B, Q)."""
        ignored = torch.zeros_like(bbox_preds[..., 0], dtype=torch.bool)
        for i, region in enumerate(regions):
            if len(region):
                bboxes = bbox_cxcywh_to_xyxy(bbox_preds[i]) * sizes[i]
                shares = bbox_overlaps(bboxes, region.bboxes, mode='iof')
                ignored[i] = shares.amax(dim=1) > self.ignore_iof_thr
        return ignored


def _image_sizes(batch_img_metas: list[dict], like: Tensor) -> Tensor:
    """Sizes [w, h, w, h] of the images without padding, in shape (B, 4)."""
    return like.new_tensor(
        [(*meta['img_shape'][::-1], *meta['img_shape'][::-1]) for meta in batch_img_metas]
    )
