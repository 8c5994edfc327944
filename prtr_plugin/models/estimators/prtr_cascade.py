from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from mmengine.dist import get_world_size
from mmengine.structures import InstanceData
from mmpose.models.pose_estimators.base import BasePoseEstimator
from mmpose.registry import MODELS
from mmpose.utils.typing import ConfigType, OptConfigType, OptMultiConfig, OptSampleList, SampleList
from torch import Tensor, nn

from ..heads import PersonDETRHead
from ..heads.person_detr_head import LayerOutputs, Matches
from ..layers import STNCrop, non_finite_error
from .cascade_data import (
    check_metainfo,
    check_score_thr,
    fill_cfg,
    pack_people,
    samples_without_padding,
    select_people,
    split_ground_truth,
)


@MODELS.register_module()
class PRTRCascade(BasePoseEstimator):
    """The sequential variant of `PRTR`_ (CVPR 2021, section 3.3).

    One network from a whole image to people with keypoints: DETR finds the
    people, a spatial transformer crops the backbone features around each of
    them, and keypoint queries attend to the crops. The crops are
    differentiable, so the keypoint losses train the boxes too. The keypoint
    head gets the matched people in training, and those with a high enough
    score in testing.

    Images of a batch may differ in size, with padding at the bottom and the
    right. Required meta information: ``img_shape`` in (h, w), the size without
    the padding, and for testing ``ori_shape``, the size of the image before it
    was resized.

    For the ground truth see :func:`split_ground_truth`.

    Note:
        - batch size: B
        - person query number: Q
        - keypoint number: K

    Args:
        detector (dict): Config of :class:`PersonDETR`, a subclass or mmdet's
            DETR, with :class:`PersonDETRHead`. Its backbone returns all
            feature levels that the detector and the crops use
        head (dict): Config of the keypoint head, :class:`PRTRHead`, whose
            ``in_channels`` is the sum over the sampled levels
        crop (dict | Sequence[dict]): Arguments of :class:`STNCrop`. Several
            with the same zoom make as many maps for the head, from fine to
            coarse, whose ``in_channels`` is then a list. Defaults to the
            paper's
        detector_levels (Sequence[int]): Indices of the feature levels that the
            detector uses. Defaults to (-1, ), the last one
        freeze_detector (bool): Whether the detector, backbone included, keeps
            its weights and normalisation statistics and has no loss. Defaults
            to ``False``
        detach_boxes (bool): Whether to stop the gradients of the keypoint
            losses at the boxes. Defaults to ``False``
        train_cfg (dict, optional): ``max_persons`` is the maximum number of
            people per image in the keypoint head, chosen at random if there
            are more. Defaults to 20
        test_cfg (dict, optional): ``score_thr`` is the score above which a
            person is kept, ``max_persons`` the maximum number of people
            per image, those with the highest scores, and ``nms_thr`` the IoU
            of the boxes of two of these above which the one with the lower
            score is dropped as a duplicate. Default to 0.05, 20, the number
            that COCO's evaluation considers, and None, which keeps all, as in
            the paper
        data_preprocessor (dict, optional): Config of the data preprocessor
        use_syncbn (bool): See the parent class
        metainfo (dict, optional): See the parent class
        init_cfg (dict, optional): See the parent class

    Raises:
        ValueError: If the parts do not fit together, ``train_cfg`` or
            ``test_cfg`` has an unknown key, or a value in them is out of
            range or of the wrong type.

    .. _`PRTR`: https://arxiv.org/abs/2104.06976
    """

    def __init__(
        self,
        detector: ConfigType,
        head: ConfigType,
        crop: ConfigType | Sequence[ConfigType] = dict(),
        detector_levels: Sequence[int] = (-1,),
        freeze_detector: bool = False,
        detach_boxes: bool = False,
        train_cfg: OptConfigType = None,
        test_cfg: OptConfigType = None,
        data_preprocessor: OptConfigType = None,
        use_syncbn: bool = False,
        metainfo: dict | None = None,
        init_cfg: OptMultiConfig = None,
    ) -> None:
        # skips the parent class, which builds a backbone: the detector has one
        super(BasePoseEstimator, self).__init__(data_preprocessor, init_cfg)
        self.metainfo = self._load_metainfo(metainfo)
        self.train_cfg = fill_cfg('train_cfg', train_cfg, max_persons=20)
        self.test_cfg = fill_cfg('test_cfg', test_cfg, score_thr=0.05, max_persons=20, nms_thr=None)
        self.detector = MODELS.build(detector)
        self.head = MODELS.build(head)
        if use_syncbn and get_world_size() > 1:
            nn.SyncBatchNorm.convert_sync_batchnorm(self)
        crops = [STNCrop(**cfg) for cfg in ([crop] if isinstance(crop, dict) else crop)]
        self.crops = nn.ModuleList(crops)
        # all cover the same places, so that one tells where
        self.crop = crops[0]
        if {crop.zoom for crop in crops} != {self.crop.zoom}:
            raise ValueError(
                f'The crops have zoom={[crop.zoom for crop in crops]}. Set the same for all, so '
                'that they cover the same places.'
            )
        self.detector_levels = tuple(detector_levels)
        self.freeze_detector = freeze_detector
        self.detach_boxes = detach_boxes
        if freeze_detector:
            self.detector.requires_grad_(False)

        bbox_head = self.detector.bbox_head
        if not isinstance(bbox_head, PersonDETRHead) or bbox_head.num_classes != 1:
            raise ValueError(
                f'The bbox_head of the detector is {type(bbox_head).__name__} '
                f'with num_classes={bbox_head.num_classes}. PRTRCascade needs '
                "type='PersonDETRHead' with num_classes=1."
            )
        size = getattr(self.head.transformer.positional_encoding, 'size', None)
        # the last map becomes the tokens
        resolution = crops[-1].resolution
        if size not in (None, resolution):
            raise ValueError(
                f'The crops have resolution={resolution} but the '
                f'positional_encoding of the head has size={size}. Set both '
                'to the same.'
            )

    def train(self, mode: bool = True) -> 'PRTRCascade':
        """Keep a frozen detector in evaluation mode."""
        super().train(mode)
        if self.freeze_detector:
            self.detector.eval()
        return self

    def extract_feat(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Extract the feature levels, from fine to coarse.

        Args:
            inputs (Tensor): Padded images in shape (B, 3, H, W)

        Returns:
            tuple[Tensor]: Each in shape (B, C_l, H_l, W_l).
        """
        return self.detector.backbone(inputs)

    def forward_detector(
        self, feats: tuple[Tensor, ...], data_samples: SampleList
    ) -> tuple[LayerOutputs, LayerOutputs]:
        """Find people.

        Args:
            feats (tuple[Tensor]): Feature levels
            data_samples (List[:obj:`PoseDataSample`]): With the meta
                information ``img_shape`` and ``batch_input_shape``

        Returns:
            tuple:
            - cls_scores (Sequence[Tensor]): Class logits [person, none] of
                each layer in shape (B, Q, 2)
            - boxes (Sequence[Tensor]): Boxes of each layer in [cx, cy, w, h],
                relative to the valid image, in shape (B, Q, 4)
        """
        feats = tuple(feats[i] for i in self.detector_levels)
        if self.detector.with_neck:
            feats = self.detector.neck(feats)
        return self.detector.bbox_head(**self.detector.forward_transformer(feats, data_samples))

    def crop_people(
        self,
        feats: tuple[Tensor, ...],
        boxes: Tensor | Sequence[Tensor],
        data_samples: OptSampleList = None,
    ) -> tuple[Tensor, ...]:
        """Crop people out of the feature levels.

        Args:
            feats (tuple[Tensor]): Feature levels
            boxes (Tensor | Sequence[Tensor]): For each image the boxes of P_i
                people, as from :meth:`forward_detector`, in shape (P_i, 4)
            data_samples (List[:obj:`PoseDataSample`], optional): See
                :meth:`forward_detector`. Defaults to no padding

        Returns:
            tuple[Tensor, ...]: For each of :attr:`crops` the crops of all N
            people in shape (N, C, y_res, x_res).

        Raises:
            ValueError: If C is not ``in_channels`` of the head.
        """
        valid_hw = None
        if data_samples is not None:
            sizes = [(d.img_shape, d.batch_input_shape) for d in data_samples]
            # not in the precision of the features: half of it moves a crop by pixels
            valid_hw = boxes[0].new_tensor(np.divide(*zip(*sizes)))
        crops = tuple(crop(feats, boxes, valid_hw) for crop in self.crops)
        channels = [x.shape[1] for x in crops]
        if channels != self.head.transformer.in_channels:
            raise ValueError(
                f'The feature levels {[crop.levels for crop in self.crops]} that PRTRCascade '
                f'crops have {channels} channels together, but the head has '
                f'in_channels={self.head.in_channels}. Change one of them.'
            )
        return crops

    def loss(self, inputs: Tensor, data_samples: SampleList) -> dict:
        """Calculate losses from a batch of inputs and data samples.

        Args:
            inputs (Tensor): Padded images in shape (B, 3, H, W)
            data_samples (List[:obj:`PoseDataSample`]): The batch data
                samples, see the class

        Returns:
            dict: The losses of the detector with the prefix ``det.``, unless
            it is frozen, and those of :class:`PRTRHead`, which are 0 if there
            is nobody with keypoints.

        Raises:
            FloatingPointError: If a box or person logit is NaN or infinite.
            ValueError: If the ground truth is NaN or infinite, or lacks a
                field.
        """
        check_metainfo(inputs, data_samples, 'img_shape')
        metas = [d.metainfo for d in data_samples]
        people, crowds = zip(
            *(split_ground_truth(d, self.head.out_channels, inputs.device) for d in data_samples)
        )
        feats = self.extract_feat(inputs)
        cls_scores, boxes = self.forward_detector(feats, data_samples)
        if self.freeze_detector:
            cls_scores, boxes = cls_scores[-1:], boxes[-1:]

        bbox_head = self.detector.bbox_head
        matches = bbox_head.match(cls_scores, boxes, people, metas)
        losses = dict()
        if not self.freeze_detector:
            det_losses = bbox_head.loss_by_matches(
                cls_scores, boxes, matches, people, metas, crowds
            )
            losses.update({f'det.{k}': v for k, v in det_losses.items()})

        everybody = InstanceData.cat(list(people))
        images, queries, persons = self._sample_matches(matches[-1], everybody)
        nobody = len(persons) == 0
        if nobody:
            # distributed training needs all parameters in every step: one crop
            # whose losses have weight 0
            images = queries = images.new_zeros(1)
        kept = boxes[-1][images, queries]
        if self.detach_boxes:
            kept = kept.detach()
        nums = images.bincount(minlength=len(inputs)).tolist()
        crops = self.crop_people(feats, kept.split(nums), data_samples)
        if nobody:
            labels = kept.new_zeros(1, self.head.out_channels, 2)
            weights = labels[..., 0]
        else:
            sizes = kept.new_tensor([meta['img_shape'][::-1] for meta in metas])
            labels, weights = self._keypoint_targets(
                everybody.keypoints[persons] / sizes[images, None],
                everybody.keypoints_visible[persons],
                kept.detach(),
            )
        kpt_losses = self.head.loss_by_targets(crops, labels, weights)
        weight = 0.0 if nobody else 1.0
        losses.update({k: v * weight for k, v in kpt_losses.items()})
        return losses

    def _sample_matches(self, matches: Matches, everybody: InstanceData) -> Matches:
        """Choose the matches for the keypoint head: people with labelled
        joints, at most ``max_persons`` per image.
        """
        labelled = (everybody.keypoints_visible > 0).any(dim=1).cpu()
        index = labelled[matches.people].nonzero().flatten()
        images = []
        for chunk in index.split(matches.images[index].bincount().tolist()):
            if len(chunk) > self.train_cfg['max_persons']:
                chunk = chunk[torch.randperm(len(chunk))[: self.train_cfg['max_persons']]]
            images.append(chunk)
        index = torch.cat(images) if images else index
        return Matches(*(indices[index] for indices in matches))

    def _keypoint_targets(
        self, keypoints: Tensor, keypoints_visible: Tensor, boxes: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Targets of the keypoint head, relative to the crops.

        The boxes are constants here: otherwise the keypoint loss would also
        move the boxes by way of its own targets.
        """
        labels, weights = self.head.decoder.targets(
            self.crop.to_crop(keypoints, boxes), keypoints_visible
        )
        # The crop of a poor box can be far from its person. As predictions lie
        # in [0, 1], clipping changes neither the gradients of L1 nor matches.
        return labels.clip(0, 1).to(boxes), weights.to(boxes)

    def predict(self, inputs: Tensor, data_samples: SampleList) -> SampleList:
        """Predict people with keypoints.

        Args:
            inputs (Tensor): Padded images in shape (B, 3, H, W)
            data_samples (List[:obj:`PoseDataSample`]): The batch data
                samples, see the class

        Returns:
            List[:obj:`PoseDataSample`]: The samples with ``pred_instances``
            of P_i people, from high to low score, possibly none

            - bboxes (np.ndarray): In [x1, y1, x2, y2], in pixels of the
                original image, in shape (P_i, 4)
            - bbox_scores (np.ndarray): In shape (P_i, )
            - keypoints (np.ndarray): In pixels of the original image, in
                shape (P_i, K, 2)
            - keypoint_scores (np.ndarray): In shape (P_i, K)
            - keypoints_visible (np.ndarray): The same

        Raises:
            FloatingPointError: If a prediction is NaN or infinite.
            ValueError: If meta information is missing.
        """
        check_metainfo(inputs, data_samples, 'img_shape', 'ori_shape')
        feats = self.extract_feat(inputs)
        scores, boxes = self._best_people(*self.forward_detector(feats, data_samples))
        # one transfer for what is needed to choose the people to keep
        found = torch.cat((boxes, scores[..., None]), dim=-1)
        found = found.detach().float().cpu()
        if not found.isfinite().all():
            raise non_finite_error('PersonDETRHead')
        kept = select_people(found, self.test_cfg['score_thr'], self.test_cfg['nms_thr'])
        nums = kept.sum(1).tolist()

        keypoints = np.zeros((0, self.head.out_channels, 2), dtype=np.float32)
        keypoint_scores = keypoints[..., 0]
        if any(nums):
            index = kept.flatten().nonzero().flatten().to(boxes.device)
            crops = self.crop_people(feats, boxes.flatten(0, 1)[index].split(nums), data_samples)
            preds = self.head.predict(crops, data_samples)
            keypoints = np.concatenate([p.keypoints for p in preds])
            keypoints /= np.array(self.head.decoder.input_size, np.float32)
            keypoint_scores = np.concatenate([p.keypoint_scores for p in preds])

        stop = 0
        for sample, people in zip(data_samples, found[kept].split(nums)):
            start, stop = stop, stop + len(people)
            boxes = people[:, :4]
            sample.pred_instances = pack_people(
                boxes,
                people[:, 4],
                self.crop.to_image(keypoints[start:stop], boxes.numpy()),
                keypoint_scores[start:stop],
                sample.ori_shape,
            )
        return data_samples

    @contextmanager
    def score_threshold(self, score_thr: float) -> Iterator[None]:
        """Use another ``test_cfg.score_thr`` inside the context.

        Args:
            score_thr (float): Score above which a person is kept

        Raises:
            ValueError: If it is not from 0 to 1.
        """
        check_score_thr(score_thr)
        before = self.test_cfg['score_thr']
        self.test_cfg['score_thr'] = score_thr
        try:
            yield
        finally:
            self.test_cfg['score_thr'] = before

    def _best_people(self, cls_scores: LayerOutputs, boxes: LayerOutputs) -> tuple[Tensor, Tensor]:
        """Scores and boxes of the last layer, from high to low score, in
        shape (B, P) and (B, P, 4) with P = ``max_persons``.
        """
        scores = cls_scores[-1].softmax(dim=-1)[..., 0]
        num = min(self.test_cfg['max_persons'], scores.shape[1])
        scores, queries = scores.topk(num)
        queries = queries[..., None].expand(-1, -1, 4)
        return scores, boxes[-1].gather(1, queries)

    def _forward(self, inputs: Tensor, data_samples: OptSampleList = None) -> tuple[Tensor, ...]:
        """Forward without read-out, for a fixed number of people.

        Args:
            inputs (Tensor): Images in shape (B, 3, H, W)
            data_samples (List[:obj:`PoseDataSample`], optional): Data samples
                with the sizes of the images without the padding. Defaults to
                no padding

        Returns:
            tuple:
            - scores (Tensor): Scores of P = ``max_persons`` people, from high
                to low, in shape (B, P)
            - boxes (Tensor): Boxes in [cx, cy, w, h], relative to the image,
                in shape (B, P, 4)
            - cls_logits (Tensor): Class logits of the keypoint queries in
                shape (B, P, Q, K + 1)
            - coords (Tensor): Coordinates relative to the image, in [0, 1],
                in shape (B, P, Q, 2)
        """
        samples = data_samples
        if data_samples is None:
            samples = samples_without_padding(inputs)
        else:
            check_metainfo(inputs, data_samples, 'img_shape')
        feats = self.extract_feat(inputs)
        scores, boxes = self._best_people(*self.forward_detector(feats, samples))
        crops = self.crop_people(feats, boxes, data_samples)
        cls_logits, coords = self.head(crops)
        coords = self.crop.to_image(coords, boxes.flatten(0, 1))
        return (
            scores,
            boxes,
            cls_logits.unflatten(0, scores.shape),
            coords.unflatten(0, scores.shape),
        )
