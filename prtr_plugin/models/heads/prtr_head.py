import copy
from collections.abc import Sequence

import numpy as np
import torch
from mmdet.models.layers import MLP
from mmengine.structures import InstanceData
from mmpose.models.heads.base_head import BaseHead
from mmpose.registry import KEYPOINT_CODECS, MODELS, TASK_UTILS
from mmpose.utils.typing import ConfigType, Features, InstanceList, OptConfigType, OptSampleList
from torch import Tensor, nn

from ..layers import PRTRTransformer


@MODELS.register_module()
class PRTRHead(BaseHead):
    """Keypoint regression by queries, as in `PRTR`_ (CVPR 2021).

    Keypoint queries attend to the encoded image features. Every query tells
    a class, one of K joints or "no keypoint", and a position; bipartite
    matching assigns a query to each joint in training, and the codec does it
    in testing.

    Note:
        - batch size: B
        - decoder level number: L
        - query number: Q
        - keypoint number: K

    Args:
        in_channels (int | Sequence[int]): Channels of the feature maps. The
            last map is used
        out_channels (int): Number of joints K
        num_queries (int): Number of keypoint queries Q, at least K. Defaults
            to 100
        embed_dims (int): Width D of the transformer. Defaults to 256
        transformer (dict): Arguments of :class:`PRTRTransformer` apart from
            ``embed_dims``. Defaults to the paper's
        positional_encoding (dict): Config of the positional encoding of the
            feature map with D channels. Defaults to DETR's sine encoding
        loss_cls (dict): Config of the softmax classification loss.
            ``bg_cls_weight`` inside is the weight of "no keypoint". Defaults
            to cross-entropy with 0.1 for it
        loss_kpt (dict): Config of the coordinate loss, whose mean over
            joints is multiplied by K. Defaults to L1 with weight 5
        assigner (dict): Config of the matching. Defaults to
            :class:`KeypointHungarianAssigner` with the paper's costs
        decoder (dict): Config of the keypoint codec
        mixed_precision (bool): Whether the transformer takes part in autocast.
            With ``False`` only what stands before the head does, which leaves
            less error in the coordinates and takes longer. Matching, losses
            and the last layers never take part. Defaults to ``True``
        init_cfg (dict, optional): Extra init config. Defaults to None

    Raises:
        ValueError: If ``num_queries`` < K, the codec is missing or has
            another number of joints, or the positional encoding does not
            have ``embed_dims`` channels.

    .. _`PRTR`: https://arxiv.org/abs/2104.06976
    """

    # whether the head looks at all maps of in_channels or at the last one
    multi_level = False

    def __init__(
        self,
        in_channels: int | Sequence[int],
        out_channels: int,
        num_queries: int = 100,
        embed_dims: int = 256,
        transformer: ConfigType = dict(),
        positional_encoding: ConfigType = dict(
            type='mmdet.SinePositionalEncoding', num_feats=128, normalize=True
        ),
        loss_cls: ConfigType = dict(
            type='mmdet.CrossEntropyLoss', bg_cls_weight=0.1, loss_weight=1.0
        ),
        loss_kpt: ConfigType = dict(type='L1Loss', use_target_weight=True, loss_weight=5.0),
        assigner: ConfigType = dict(
            type='KeypointHungarianAssigner',
            match_costs=[
                dict(type='KeypointClassificationCost', weight=1.0),
                dict(type='KeypointL1Cost', weight=5.0),
            ],
        ),
        decoder: OptConfigType = None,
        mixed_precision: bool = True,
        init_cfg: OptConfigType = None,
    ) -> None:
        super().__init__(init_cfg)
        if num_queries < out_channels:
            raise ValueError(
                f'num_queries={num_queries} is less than out_channels='
                f'{out_channels}: every joint needs a query of its own. Set '
                f'num_queries to {out_channels} or more.'
            )
        if decoder is None:
            raise ValueError(
                f'{type(self).__name__} needs a keypoint codec: '
                "set decoder=dict(type='HungarianKeypointCodec',"
                ' ...)'
            )
        self.decoder = KEYPOINT_CODECS.build(decoder)
        if self.decoder.num_keypoints != out_channels:
            raise ValueError(
                f'The codec has num_keypoints={self.decoder.num_keypoints} '
                f'but the head has out_channels={out_channels}. Set both to '
                'the number of joints of the dataset.'
            )

        if isinstance(in_channels, int):
            in_channels = [in_channels]
        self.in_channels = in_channels[-1]
        self.map_channels = list(in_channels if self.multi_level else in_channels[-1:])
        self.out_channels = out_channels
        self.num_queries = num_queries
        self.embed_dims = embed_dims
        self.mixed_precision = mixed_precision

        loss_cls = copy.deepcopy(loss_cls)
        self.bg_cls_weight = loss_cls.pop('bg_cls_weight', 0.1)
        loss_cls['class_weight'] = [1.0] * out_channels + [self.bg_cls_weight]
        self.loss_cls = MODELS.build(loss_cls)
        self.loss_kpt = MODELS.build(loss_kpt)
        self.assigner = TASK_UTILS.build(assigner)

        self._init_layers(transformer, positional_encoding)

    def _init_layers(self, transformer: ConfigType, positional_encoding: ConfigType) -> None:
        """Build the layers that have parameters."""
        embed_dims = self.embed_dims
        self.positional_encoding = MODELS.build(positional_encoding)
        # the batch axis of the mask is 1: all images share the positions
        pos_dims = self.positional_encoding(torch.zeros(1, 1, 1)).shape[1]
        if pos_dims != embed_dims:
            raise ValueError(
                f'positional_encoding has {pos_dims} channels but embed_dims='
                f'{embed_dims}. Set its num_feats to half of embed_dims.'
            )
        self._init_transformer(transformer)
        self.fc_cls = nn.Linear(embed_dims, self.out_channels + 1)
        self.kpt_branch = MLP(embed_dims, embed_dims, 2, 3)

    def _init_transformer(self, transformer: ConfigType) -> None:
        """Build the layers from feature maps to query contents."""
        self.input_proj = nn.Conv2d(self.in_channels, self.embed_dims, 1)
        self.query_embedding = nn.Embedding(self.num_queries, self.embed_dims)
        self.transformer = PRTRTransformer(self.embed_dims, **transformer)

    def _used_maps(self, feats: tuple[Tensor]) -> tuple[Tensor]:
        """Those of the feature maps that the head looks at.

        Raises:
            ValueError: If they do not have ``in_channels``.
        """
        used = tuple(feats[-len(self.map_channels) :])
        if [x.shape[1] for x in used] != self.map_channels:
            raise ValueError(
                f'The head has in_channels={self.map_channels} but the '
                f'feature maps have {[x.shape[1] for x in feats]} channels. '
                'Set in_channels, or out_indices of the backbone.'
            )
        return used

    def _positions(self, x: Tensor) -> Tensor:
        """Positions in shape (1, D, H, W) of a map in shape (B, D, H, W)."""
        return self.positional_encoding(x.new_zeros(1, *x.shape[-2:])).to(x)

    def forward_levels(
        self, feats: tuple[Tensor], return_intermediate: bool = True
    ) -> tuple[Tensor, Tensor]:
        """Forward with the outputs of the decoder levels.

        Args:
            feats (tuple[Tensor]): Feature maps, the last one in shape
                (B, in_channels, H, W)
            return_intermediate (bool): Whether to return all decoder levels
                or the last one only. Defaults to ``True``

        Returns:
            tuple:
            - cls_logits (Tensor): Class logits in shape (L, B, Q, K + 1),
                the last class for "no keypoint"
            - coords (Tensor): Coordinates normalised by the input size, in
                [0, 1], in shape (L, B, Q, 2)

        Raises:
            ValueError: If the maps do not have ``in_channels``.
        """
        feats = self._used_maps(feats)
        if self.mixed_precision:
            return self._forward_levels(feats, return_intermediate)
        with torch.autocast(feats[0].device.type, enabled=False):
            dtype = self.fc_cls.weight.dtype
            return self._forward_levels(tuple(x.to(dtype) for x in feats), return_intermediate)

    def _forward_levels(
        self, feats: tuple[Tensor], return_intermediate: bool
    ) -> tuple[Tensor, Tensor]:
        """From the maps that the head uses; see :meth:`forward_levels`."""
        (feat,) = feats
        x = self.input_proj(feat)
        hidden_states = self.transformer(
            x,
            self._positions(x),
            self.query_embedding.weight,
            return_intermediate=return_intermediate,
        )
        # a bfloat16 coordinate is off by up to 0.7 pixels in 384
        with torch.autocast(x.device.type, enabled=False):
            hidden_states = hidden_states.to(self.fc_cls.weight.dtype)
            return (self.fc_cls(hidden_states), self.kpt_branch(hidden_states).sigmoid())

    def forward(self, feats: tuple[Tensor]) -> tuple[Tensor, Tensor]:
        """Forward to the outputs of the last decoder level.

        Args:
            feats (tuple[Tensor]): Feature maps, the last one in shape
                (B, in_channels, H, W)

        Returns:
            tuple:
            - cls_logits (Tensor): Class logits in shape (B, Q, K + 1)
            - coords (Tensor): Normalised coordinates in shape (B, Q, 2)
        """
        cls_logits, coords = self.forward_levels(feats, return_intermediate=False)
        return cls_logits[-1], coords[-1]

    def predict(
        self, feats: Features, batch_data_samples: OptSampleList, test_cfg: ConfigType = {}
    ) -> InstanceList:
        """Predict joints from features.

        With ``flip_test`` in ``test_cfg`` the mirrored crops are read out on
        their own, mirrored back without a pixel shift, and averaged.

        Args:
            feats (tuple[Tensor] | list[tuple[Tensor]]): Feature maps, or
                those of the plain and the mirrored crops with ``flip_test``
            batch_data_samples (List[:obj:`PoseDataSample`]): The batch data
                samples
            test_cfg (dict): The config of testing. Defaults to {}

        Returns:
            List[InstanceData]: One per crop with ``keypoints`` in shape
            (1, K, 2), in pixels of the input image, and ``keypoint_scores``
            in shape (1, K).

        Raises:
            FloatingPointError: If an output is NaN or infinite.
        """
        flip_test = test_cfg.get('flip_test', False)
        if flip_test:
            # one pass over both halves
            feats = tuple(map(torch.cat, zip(*map(self._used_maps, feats))))

        try:
            keypoints, scores = self.decoder.batch_decode(*self.forward(feats))
        except FloatingPointError as error:
            raise self._non_finite_error() from error

        if flip_test:
            batch_size = len(batch_data_samples)
            flip_indices = batch_data_samples[0].metainfo['flip_indices']
            keypoints, scores = np.stack(keypoints), np.stack(scores)
            mirrored = keypoints[batch_size:, :, flip_indices]
            mirrored[..., 0] = self.decoder.input_size[0] - mirrored[..., 0]
            keypoints = (keypoints[:batch_size] + mirrored) / 2
            scores = (scores[:batch_size] + scores[batch_size:, :, flip_indices]) / 2

        return [InstanceData(keypoints=k, keypoint_scores=s) for k, s in zip(keypoints, scores)]

    def loss(
        self, feats: tuple[Tensor], batch_data_samples: OptSampleList, train_cfg: OptConfigType = {}
    ) -> dict[str, Tensor]:
        """Calculate losses from a batch of inputs and data samples.

        Args:
            feats (tuple[Tensor]): Feature maps, the last one in shape
                (B, in_channels, H, W)
            batch_data_samples (List[:obj:`PoseDataSample`]): The batch data
                samples
            train_cfg (dict, optional): Not used.

        Returns:
            dict: See :meth:`loss_by_feat`.
        """
        keypoint_labels = torch.cat(
            [d.gt_instance_labels.keypoint_labels for d in batch_data_samples]
        )
        keypoint_weights = torch.cat(
            [d.gt_instance_labels.keypoint_weights for d in batch_data_samples]
        )
        return self.loss_by_feat(*self.forward_levels(feats), keypoint_labels, keypoint_weights)

    def loss_by_feat(
        self, cls_logits: Tensor, coords: Tensor, keypoint_labels: Tensor, keypoint_weights: Tensor
    ) -> dict[str, Tensor]:
        """Calculate the losses of all decoder levels (PRTR, equation 4).

        Args:
            cls_logits (Tensor): Class logits in shape (L, B, Q, K + 1)
            coords (Tensor): Normalised coordinates in shape (L, B, Q, 2)
            keypoint_labels (Tensor): Target coordinates in shape (B, K, 2)
            keypoint_weights (Tensor): Joint weights in shape (B, K)

        Returns:
            dict: ``loss_cls`` and ``loss_kpt`` of the last level,
            ``d{i}.loss_cls`` and ``d{i}.loss_kpt`` of level i before it, and
            ``acc_pose``, the share of labelled joints that the read-out puts
            within 5 % of the input size.

        Raises:
            FloatingPointError: If a prediction is NaN or infinite.
        """
        cls_logits, coords = cls_logits.float(), coords.float()
        num_levels, batch_size, num_queries = cls_logits.shape[:3]
        num_joints = self.out_channels
        matches, read_out = self._match(cls_logits, coords, keypoint_labels)

        # the class of every query: the joint it is matched to, or K
        labels = matches.new_full((num_levels, batch_size, num_queries), num_joints)
        joints = torch.arange(num_joints, device=matches.device)
        labels.scatter_(2, matches, joints.expand_as(matches))
        # all joints are matched, so the weighted mean has a fixed divisor
        avg_factor = batch_size * (num_joints + (num_queries - num_joints) * self.bg_cls_weight)
        matched = _gather_queries(coords, matches)

        losses = dict()
        for i in range(num_levels):
            prefix = '' if i == num_levels - 1 else f'd{i}.'
            losses[f'{prefix}loss_cls'] = self.loss_cls(
                cls_logits[i].flatten(0, 1), labels[i].flatten(), avg_factor=avg_factor
            )
            losses[f'{prefix}loss_kpt'] = num_joints * self.loss_kpt(
                matched[i], keypoint_labels, keypoint_weights
            )

        distances = torch.linalg.norm(
            _gather_queries(coords[-1].detach(), read_out) - keypoint_labels, dim=-1
        )
        correct = (distances < 0.05) * keypoint_weights
        losses['acc_pose'] = correct.sum() / keypoint_weights.sum().clamp(1)
        return losses

    def _match(
        self, cls_logits: Tensor, coords: Tensor, keypoint_labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Match all levels and read the last one out, in one transfer.

        Returns:
            tuple[Tensor, Tensor]: Query indices of the matching in shape
            (L, B, K) and of the read-out in shape (B, K).
        """
        num_levels, batch_size = cls_logits.shape[:2]
        pred_instances = InstanceData(
            scores=cls_logits.detach().flatten(0, 1), keypoints=coords.detach().flatten(0, 1)
        )
        gt_instances = InstanceData(keypoints=keypoint_labels.repeat(num_levels, 1, 1))
        read_out_cost = -self.decoder.joint_probs(cls_logits[-1].detach())
        try:
            queries = self.assigner.assign(pred_instances, gt_instances, extra_cost=read_out_cost)
        except FloatingPointError as error:
            raise self._non_finite_error() from error
        matches, read_out = queries.split((len(gt_instances), batch_size))
        return matches.unflatten(0, (num_levels, batch_size)), read_out

    def _non_finite_error(self) -> FloatingPointError:
        return FloatingPointError(
            f'{type(self).__name__} put out NaN or infinite class logits or '
            'coordinates. Check the input images and the loaded weights; in '
            'training lower the learning rate, clip gradients or use fp32.'
        )


def _gather_queries(coords: Tensor, queries: Tensor) -> Tensor:
    """Pick (..., K, 2) coordinates from (..., Q, 2) by (..., K) indices."""
    return coords.gather(-2, queries[..., None].expand(*queries.shape, 2))
