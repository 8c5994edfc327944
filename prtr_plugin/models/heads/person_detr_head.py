import copy
from collections.abc import Sequence

import torch
from mmdet.models.dense_heads import DETRHead
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy, bbox_overlaps
from mmengine.structures import InstanceData
from mmpose.registry import MODELS
from mmpose.utils.typing import ConfigType, InstanceList, OptConfigType, SampleList
from torch import Tensor

ASSIGNER = dict(
    type='mmdet.HungarianAssigner',
    match_costs=[
        dict(type='mmdet.ClassificationCost', weight=1.0),
        dict(type='mmdet.BBoxL1Cost', weight=5.0, box_format='xywh'),
        dict(type='mmdet.IoUCost', iou_mode='giou', weight=2.0),
    ],
)


@MODELS.register_module()
class PersonDETRHead(DETRHead):
    """mmdet's DETR head for one class, with regions to ignore.

    An unmatched query whose box lies for the most part in an ignored region,
    such as a crowd, is neither positive nor negative, as COCO's evaluation
    counts such a detection neither way.

    Args:
        num_classes (int): Number of classes without "none". Defaults to 1
        ignore_iof_thr (float): Share of a predicted box inside of an ignored
            region above which it is not taught to be "none". Defaults to 0.5
        loss_cls (dict): Config of the softmax classification loss.
            ``bg_cls_weight`` inside is the weight of "none". Defaults to
            DETR's
        loss_bbox (dict): Config of the box loss. Defaults to DETR's
        loss_iou (dict): Config of the IoU loss. Defaults to DETR's
        train_cfg (dict, optional): ``assigner`` inside is the config of the
            matching. Defaults to DETR's
        test_cfg (dict, optional): See the parent class
        **kwargs: Other arguments of the parent class.
    """

    def __init__(
        self,
        num_classes: int = 1,
        ignore_iof_thr: float = 0.5,
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
        # the parent class does this for itself and not for subclasses
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

    def forward(
        self,
        hidden_states: Tensor,
        references: Tensor | None = None,
        proposals: tuple[Tensor, ...] = (),
    ) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
        """Predict people from the outputs of the decoder.

        Args:
            hidden_states (Tensor): Outputs of the L decoder levels in shape
                (L, B, Q, D)
            references (Tensor, optional): Boxes in [cx, cy, w, h], relative
                to the valid image, that the predictions are offsets to, in
                shape (B, Q, 4). Defaults to None, for no offsets
            proposals (Tuple[Tensor, ...]): Class logits and boxes of P
                proposals in shape (B, P, num_classes + 1) and (B, P, 4),
                which become the first level. Defaults to none

        Returns:
            tuple[Sequence[Tensor], Sequence[Tensor]]: For each level class
            logits in shape (B, Q, num_classes + 1) and boxes in shape
            (B, Q, 4).
        """
        cls_scores, boxes = self.forward_level(hidden_states, references)
        if proposals:
            return ((proposals[0], *cls_scores), (proposals[1], *boxes))
        return cls_scores, boxes

    def forward_level(
        self, hidden_states: Tensor, references: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Class logits and boxes in shape (..., num_classes + 1) and
        (..., 4) of hidden states in shape (..., D); see :meth:`forward`.
        """
        # a bfloat16 coordinate is off by up to 0.7 pixels in 384
        with torch.autocast(hidden_states.device.type, enabled=False):
            hidden_states = hidden_states.to(self.fc_cls.weight.dtype)
            boxes = self.fc_reg(self.activate(self.reg_ffn(hidden_states)))
            if references is not None:
                boxes = boxes + references.logit(eps=1e-4)
            return self.fc_cls(hidden_states), boxes.sigmoid()

    def predict(
        self, hidden_states: Tensor, batch_data_samples: SampleList, rescale: bool = True, **kwargs
    ) -> InstanceList:
        """Predict the people of a detector that is used without a cascade.

        Args:
            hidden_states (Tensor): See :meth:`forward`
            batch_data_samples (List[:obj:`DetDataSample`]): ``img_shape`` of
                each image, and ``scale_factor`` where it was resized
            rescale (bool): Whether the boxes are to be of the original
                images. Defaults to ``True``
            **kwargs: Other arguments of :meth:`forward`, which the method of
                the parent class does not hand down

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
        all_layers_cls_scores: Sequence[Tensor],
        all_layers_bbox_preds: Sequence[Tensor],
        batch_gt_instances: InstanceList,
        batch_img_metas: list[dict],
        batch_gt_instances_ignore: InstanceList | None = None,
    ) -> dict[str, Tensor]:
        """Calculate the losses of all decoder levels.

        Args:
            all_layers_cls_scores (Sequence[Tensor]): For each level class
                logits in shape (B, Q, num_classes + 1), the last class for
                "none"
            all_layers_bbox_preds (Sequence[Tensor]): For each level boxes in
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
            level, and with the prefix ``d{i}.`` of level i before it.
        """
        if batch_gt_instances_ignore is not None:
            # the parent class hands nothing else down to the single images
            batch_img_metas = [
                dict(meta, ignored_bboxes=ignored.bboxes)
                for meta, ignored in zip(batch_img_metas, batch_gt_instances_ignore)
            ]
        return super().loss_by_feat(
            all_layers_cls_scores, all_layers_bbox_preds, batch_gt_instances, batch_img_metas
        )

    def _get_targets_single(
        self, cls_score: Tensor, bbox_pred: Tensor, gt_instances: InstanceData, img_meta: dict
    ) -> tuple:
        """Targets of one image; see the parent class."""
        (labels, label_weights, bbox_targets, bbox_weights, pos_inds, neg_inds) = (
            super()._get_targets_single(cls_score, bbox_pred, gt_instances, img_meta)
        )
        ignored_bboxes = img_meta.get('ignored_bboxes', ())
        if len(ignored_bboxes):
            h, w = img_meta['img_shape']
            bboxes = bbox_cxcywh_to_xyxy(bbox_pred[neg_inds].detach())
            bboxes = bboxes * bboxes.new_tensor([w, h, w, h])
            overlaps = bbox_overlaps(bboxes, ignored_bboxes, mode='iof')
            ignored = overlaps.max(dim=1)[0] > self.ignore_iof_thr
            label_weights[neg_inds[ignored]] = 0
            # the others count as negatives in the weighted mean
            neg_inds = neg_inds[~ignored]
        return (labels, label_weights, bbox_targets, bbox_weights, pos_inds, neg_inds)

    @torch.no_grad()
    def match(
        self, cls_score: Tensor, bbox_pred: Tensor, gt_instances: InstanceData, img_meta: dict
    ) -> list[Tensor]:
        """Match the queries of one image, as for the losses.

        Args:
            cls_score (Tensor): Class logits in shape (Q, num_classes + 1)
            bbox_pred (Tensor): Boxes in shape (Q, 4)
            gt_instances (:obj:`InstanceData`): See :meth:`loss_by_feat`
            img_meta (dict): See :meth:`loss_by_feat`

        Returns:
            List[Tensor]: Indices of the matched queries and of their
            instances, each in shape (min(P_i, Q), ).
        """
        h, w = img_meta['img_shape']
        bboxes = bbox_cxcywh_to_xyxy(bbox_pred)
        bboxes = bboxes * bboxes.new_tensor([w, h, w, h])
        gt_inds = self.assigner.assign(
            InstanceData(scores=cls_score, bboxes=bboxes), gt_instances, img_meta
        ).gt_inds
        queries = torch.nonzero(gt_inds > 0).flatten()
        return [queries, gt_inds[queries] - 1]
