import copy
from collections.abc import Sequence

import numpy as np
import torch
from mmdet.models.layers import MLP, inverse_sigmoid
from mmengine.model import ModuleList, bias_init_with_prob, constant_init
from mmengine.structures import InstanceData
from mmpose.models.heads.base_head import BaseHead
from mmpose.registry import KEYPOINT_CODECS, MODELS, TASK_UTILS
from mmpose.utils.typing import ConfigType, Features, InstanceList, OptConfigType, OptSampleList
from torch import Tensor, nn

from prtr_plugin.assignment import batched_linear_assignment
from prtr_plugin.codecs import HungarianKeypointCodec

from ..layers import full_precision, non_finite_error
from ..transformers import softmax_maps
from .flip_test import average_mirrored, read_out_mirrored_maps


@MODELS.register_module()
class PRTRHead(BaseHead):
    """Keypoint regression by queries, as in `PRTR`_ (CVPR 2021).

    A transformer lets keypoint queries attend to the image features. From the
    state of a query the head predicts a class, one of K joints or "no
    keypoint", and coordinates. A query is assigned to each joint by bipartite
    matching in training and by the codec in testing.

    Note:
        - batch size: B
        - decoder layer number: L
        - query number: Q
        - keypoint number: K

    Args:
        in_channels (int | Sequence[int]): Channels of the feature maps. It
            depends on the transformer whether one or all of them are used
        out_channels (int): Number of joints K
        num_queries (int): Number of keypoint queries Q, at least K. Defaults
            to 100
        embed_dims (int): Width D of the transformer. Defaults to 256
        transformer (dict): Config of the transformer, a
            :class:`BaseTransformer`, apart from ``in_channels``,
            ``num_queries`` and ``embed_dims``. Defaults to the paper's.
            Coordinates come from the maps of a transformer that has maps
        with_kpt_refine (bool): Whether each decoder layer starts from the
            coordinates of the previous one and has its own coordinate branch,
            like Deformable DETR's ``with_box_refine``. This is not in the
            paper, and needs a transformer with reference points. Defaults to
            ``False``
        loss_cls (dict): Config of the softmax classification loss.
            ``bg_cls_weight`` inside is the weight of "no keypoint". Defaults
            to cross-entropy with a ``bg_cls_weight`` of 0.1
        loss_kpt (dict): Config of the coordinate loss, whose mean over
            joints is multiplied by K. Defaults to L1 with weight 5
        loss_map (dict, optional): Config of the loss of the maps of a
            transformer that has maps, :class:`KeypointMapLoss` or another
            one that takes those of all L layers in shape (L, B, K, h, w) and
            returns L losses. This is not in the paper. Defaults to None
        class_bias (float): What the logit of joint k starts with for query k,
            and that of "no keypoint" for the queries after the K-th: a
            learned bias for each query and class. With a matching cost in
            which the class weighs more than the position, a query then
            belongs to one joint from the start, yet may be matched to
            another. This is not in the paper. Defaults to 0, for no such bias
        assigner (dict): Config of the matching. Defaults to
            :class:`KeypointHungarianAssigner` with the paper's costs
        decoder (dict): Config of the keypoint codec,
            :class:`HungarianKeypointCodec`
        mixed_precision (bool): Whether autocast applies to the transformer.
            With ``False`` it applies only to what comes before the head, which
            makes coordinates more exact and is slower. It never applies to
            matching, losses and the last layers. Defaults to ``True``
        init_cfg (dict, optional): Extra init config. Defaults to None

    Raises:
        TypeError: If the codec is missing or not a
            :class:`HungarianKeypointCodec`.
        ValueError: If ``num_queries`` < K, the codec has another number of
            joints or ignores the confidences of maps, ``transformer`` has no
            type or an argument of the head, or ``with_kpt_refine`` does not
            fit the transformer. Later, if ``loss_map`` does not fit it.

    .. _`PRTR`: https://arxiv.org/abs/2104.06976
    """

    def __init__(
        self,
        in_channels: int | Sequence[int],
        out_channels: int,
        num_queries: int = 100,
        embed_dims: int = 256,
        transformer: ConfigType = dict(type='PRTRTransformer'),
        with_kpt_refine: bool = False,
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
        loss_map: OptConfigType = None,
        class_bias: float = 0.0,
        decoder: OptConfigType = None,
        mixed_precision: bool = True,
        init_cfg: OptConfigType = None,
    ) -> None:
        super().__init__(init_cfg)
        if num_queries < out_channels:
            raise ValueError(
                f'num_queries={num_queries} is less than out_channels={out_channels}: every joint '
                f'needs a query of its own. Set num_queries to {out_channels} or more.'
            )
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.num_queries = num_queries
        self.embed_dims = embed_dims
        self.mixed_precision = mixed_precision
        self.decoder = self._build_codec(decoder)

        taken = {'in_channels', 'num_queries', 'embed_dims'}.intersection(transformer)
        if 'type' not in transformer or taken:
            raise ValueError(
                f'transformer={dict(transformer)} of PRTRHead needs a type, such as '
                "'PRTRTransformer', and leaves in_channels, num_queries and embed_dims to the head."
            )
        self.transformer = MODELS.build(
            dict(
                in_channels=[in_channels] if isinstance(in_channels, int) else in_channels,
                num_queries=num_queries,
                embed_dims=embed_dims,
                **transformer,
            )
        )
        if self.transformer.with_maps and not self.decoder.include_background:
            raise ValueError(
                f'The maps of {transformer["type"]} have confidences, which the read-out only '
                'counts with include_background=True of the codec. Set it.'
            )
        if with_kpt_refine and not self.transformer.with_references:
            raise ValueError(
                f'with_kpt_refine=True moves reference points, which {transformer["type"]} does '
                'not have. Set it to False, or use DeformablePRTRTransformer.'
            )
        self.with_kpt_refine = with_kpt_refine
        self.fc_cls = nn.Linear(embed_dims, out_channels + 1)
        self.class_bias = None
        if class_bias:
            # query k starts as joint k, and spare ones as "no keypoint"
            classes = torch.arange(num_queries).clamp(max=out_channels)
            self.class_bias = nn.Parameter(class_bias * torch.eye(out_channels + 1)[classes])
        kpt_branch = MLP(embed_dims, embed_dims, 2, 3)
        # one per decoder layer, one for all, or none where maps tell the coordinates
        num_branches = self.transformer.num_decoder_layers if with_kpt_refine else 1
        if self.transformer.with_maps:
            num_branches = 0
        self.kpt_branches = ModuleList(copy.deepcopy(kpt_branch) for _ in range(num_branches))

        loss_cls = copy.deepcopy(loss_cls)
        self.bg_cls_weight = loss_cls.pop('bg_cls_weight', 0.1)
        self.loss_cls = MODELS.build(loss_cls)
        self.loss_kpt = MODELS.build(loss_kpt)
        self.loss_map = None if loss_map is None else MODELS.build(loss_map)
        self.assigner = TASK_UTILS.build(assigner)

    def _build_codec(self, decoder: OptConfigType) -> HungarianKeypointCodec:
        """Build the codec and check that it fits the head."""
        codec = None if decoder is None else KEYPOINT_CODECS.build(decoder)
        if not isinstance(codec, HungarianKeypointCodec):
            kind = 'none' if codec is None else type(codec).__name__
            raise TypeError(
                f'PRTRHead reads joints out of queries by assignment, but its codec is {kind}. Set '
                "decoder=dict(type='HungarianKeypointCodec', input_size=..., num_keypoints=...)."
            )
        if codec.num_keypoints != self.out_channels:
            raise ValueError(
                f'The codec has num_keypoints={codec.num_keypoints} but the head has '
                f'out_channels={self.out_channels}. Set both to the number of joints of the '
                'dataset.'
            )
        return codec

    def init_weights(self) -> None:
        """Initialise as in DETR or, with reference points, as in Deformable
        DETR: all classes start at a (sigmoid) probability of 0.01, and
        coordinates at the reference points.
        """
        if self.transformer.with_references:
            nn.init.constant_(self.fc_cls.bias, bias_init_with_prob(0.01))
            for branch in self.kpt_branches:
                constant_init(branch.layers[-1], 0)
        # last, so that pretrained weights stay
        super().init_weights()

    def forward_layers(
        self, feats: Sequence[Tensor], last_layer_only: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Forward to the outputs of the decoder layers.

        Args:
            feats (Sequence[Tensor]): Feature maps, from fine to coarse, each
                in shape (B, C_l, H_l, W_l)
            last_layer_only (bool): Whether the last decoder layer is enough,
                as in testing. Defaults to ``False``

        Returns:
            tuple:
            - cls_logits (Tensor): Class logits in shape (L, B, Q, K + 1),
                the last class for "no keypoint"
            - coords (Tensor): Coordinates normalised by the input size, in
                [0, 1], in shape (L, B, Q, 2)

        Raises:
            ValueError: If the maps do not have ``in_channels``.
        """
        cls_logits, coords = self._forward(feats, last_layer_only)
        if self.transformer.with_maps:
            coords, _ = self._locate(coords)
        return cls_logits, coords

    def _locate(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Coordinates and confidences of maps of logits in shape (..., h, w)."""
        return self.transformer.locate(softmax_maps(maps))

    def _forward(
        self, feats: Sequence[Tensor], last_layer_only: bool = False
    ) -> tuple[Tensor, Tensor]:
        """See :meth:`forward_layers`.

        A transformer that has maps takes its coordinates from them. This
        returns the maps instead, in shape (L, B, Q, h, w).
        """
        if self.mixed_precision:
            return self._forward_layers(feats, last_layer_only)
        with full_precision(self.fc_cls, *feats) as feats:
            return self._forward_layers(feats, last_layer_only)

    def _forward_layers(
        self, feats: Sequence[Tensor], last_layer_only: bool
    ) -> tuple[Tensor, Tensor]:
        """See :meth:`_forward`, in the precision of the caller."""
        output = self.transformer(
            feats, last_layer_only, self.kpt_branches if self.with_kpt_refine else None
        )
        with full_precision(self.fc_cls, output.hidden_states) as (hidden_states,):
            cls_logits = self.fc_cls(hidden_states)
            if self.class_bias is not None:
                cls_logits = cls_logits + self.class_bias
            if self.transformer.with_maps:
                return cls_logits, output.maps
            if self.with_kpt_refine:
                branches = self.kpt_branches[-len(hidden_states) :]
                coords = torch.stack([branch(x) for branch, x in zip(branches, hidden_states)])
            else:
                coords = self.kpt_branches[0](hidden_states)
            if output.references is not None:
                coords = coords + inverse_sigmoid(output.references)
            return cls_logits, coords.sigmoid()

    def forward(self, feats: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Forward to the outputs of the last decoder layer.

        Args:
            feats (Sequence[Tensor]): See :meth:`forward_layers`

        Returns:
            tuple:
            - cls_logits (Tensor): Class logits in shape (B, Q, K + 1). With a
                transformer that has maps, their confidences multiply the
                probabilities of the joints, and "no keypoint" has the rest
            - coords (Tensor): Normalised coordinates in shape (B, Q, 2)
        """
        cls_logits, coords = self._forward(feats, last_layer_only=True)
        if not self.transformer.with_maps:
            return cls_logits[-1], coords[-1]
        coords, confidences = self._locate(coords[-1])
        return _discount(cls_logits[-1], confidences), coords

    def predict(
        self, feats: Features, batch_data_samples: OptSampleList, test_cfg: ConfigType = {}
    ) -> InstanceList:
        """Predict joints from features.

        With ``flip_test`` in ``test_cfg``, the joints of the mirrored crops
        are read out separately, mirrored back, and averaged with those of the
        plain ones. The maps of a transformer that has maps are averaged
        first, for the queries whose class probabilities alone are the best,
        and coordinates are those of the averaged maps or, with a
        ``peak_sigma`` of 0, around their peaks, so that two different peaks
        do not end in a point between them. The paper's
        code mirrors back without a pixel shift; with ``shift_coords``, as in
        mmpose's regression heads, coordinates become mirrored pixel centers.

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
            flip_indices = batch_data_samples[0].metainfo['flip_indices']
            # one pass over both halves
            feats = tuple(map(torch.cat, zip(*map(self.transformer.used_maps, feats))))

        try:
            if flip_test and self.transformer.with_maps:
                cls_logits, maps = self._forward(feats, last_layer_only=True)
                keypoints, scores = read_out_mirrored_maps(
                    self.decoder, cls_logits[-1], maps[-1], self.transformer.locate, flip_indices
                )
            else:
                keypoints, scores = map(np.stack, self.decoder.batch_decode(*self.forward(feats)))
        except FloatingPointError as error:
            raise non_finite_error('PRTRHead') from error

        if flip_test:
            width = self.decoder.input_size[0] - bool(test_cfg.get('shift_coords', False))
            keypoints, scores = average_mirrored(keypoints, scores, width, flip_indices)

        return [InstanceData(keypoints=k, keypoint_scores=s) for k, s in zip(keypoints, scores)]

    def loss(
        self,
        feats: Sequence[Tensor],
        batch_data_samples: OptSampleList,
        train_cfg: OptConfigType = {},
    ) -> dict[str, Tensor]:
        """Calculate losses from a batch of inputs and data samples.

        Args:
            feats (Sequence[Tensor]): See :meth:`forward_layers`
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
        return self.loss_by_targets(feats, keypoint_labels, keypoint_weights)

    def loss_by_targets(
        self, feats: Sequence[Tensor], keypoint_labels: Tensor, keypoint_weights: Tensor
    ) -> dict[str, Tensor]:
        """Calculate losses from feature maps and targets.

        Args:
            feats (Sequence[Tensor]): See :meth:`forward_layers`
            keypoint_labels (Tensor): See :meth:`loss_by_feat`
            keypoint_weights (Tensor): See :meth:`loss_by_feat`

        Returns:
            dict: See :meth:`loss_by_feat`.
        """
        cls_logits, coords = self._forward(feats)
        maps = None
        if self.transformer.with_maps:
            maps = coords
            coords, _ = self._locate(maps)
        return self.loss_by_feat(cls_logits, coords, keypoint_labels, keypoint_weights, maps)

    def loss_by_feat(
        self,
        cls_logits: Tensor,
        coords: Tensor,
        keypoint_labels: Tensor,
        keypoint_weights: Tensor,
        maps=None,
    ) -> dict[str, Tensor]:
        """Calculate the losses of all decoder layers (PRTR, equation 4).

        Args:
            cls_logits (Tensor): Class logits in shape (L, B, Q, K + 1)
            coords (Tensor): Normalised coordinates in shape (L, B, Q, 2)
            keypoint_labels (Tensor): Target coordinates in shape (B, K, 2)
            keypoint_weights (Tensor): Joint weights in shape (B, K)
            maps (Tensor, optional): Logits of the first l layers over the
                pixels of a map in shape (l, B, Q, h, w). Defaults to None

        Returns:
            dict: ``loss_cls`` and ``loss_kpt`` of the last layer,
            ``d{i}.loss_cls`` and ``d{i}.loss_kpt`` of layer i before it,
            ``d{i}.loss_map`` of a layer with maps, and ``acc_pose``, the
            share of labelled joints that are read out within 5 % of the input
            size.

        Raises:
            FloatingPointError: If a prediction is NaN or infinite.
        """
        cls_logits, coords = cls_logits.float(), coords.float()
        num_layers, batch_size, num_queries = cls_logits.shape[:3]
        num_joints = self.out_channels
        matches, read_out = self._match(cls_logits, coords, keypoint_labels)

        # the class of every query: the joint it is matched to, or K
        labels = matches.new_full((num_layers, batch_size, num_queries), num_joints)
        joints = torch.arange(num_joints, device=matches.device)
        labels.scatter_(2, matches, joints.expand_as(matches))
        # not the class weights of the loss, which would be copied to the device every time
        cls_weights = torch.full_like(labels, self.bg_cls_weight, dtype=coords.dtype)
        cls_weights.scatter_(2, matches, 1.0)
        # all joints are matched, so the weighted mean has a fixed divisor
        avg_factor = batch_size * (num_joints + (num_queries - num_joints) * self.bg_cls_weight)
        matched = _gather_queries(coords, matches)

        losses = dict()
        for i in range(num_layers):
            prefix = '' if i == num_layers - 1 else f'd{i}.'
            losses[f'{prefix}loss_cls'] = self.loss_cls(
                cls_logits[i].flatten(0, 1),
                labels[i].flatten(),
                cls_weights[i].flatten(),
                avg_factor=avg_factor,
            )
            losses[f'{prefix}loss_kpt'] = num_joints * self.loss_kpt(
                matched[i], keypoint_labels, keypoint_weights
            )

        if self.loss_map is not None:
            if maps is None:
                raise ValueError(
                    f'loss_map needs maps, which {type(self.transformer).__name__} does not have. '
                    'Remove loss_map, or take PixelPRTRTransformer.'
                )
            pixels = matches[: len(maps), :, :, None, None].expand(-1, -1, -1, *maps.shape[-2:])
            map_losses = self.loss_map(maps.gather(2, pixels), keypoint_labels, keypoint_weights)
            losses.update({f'd{i}.loss_map': loss for i, loss in enumerate(map_losses)})

        distances = torch.linalg.norm(
            _gather_queries(coords[-1].detach(), read_out) - keypoint_labels, dim=-1
        )
        correct = (distances < 0.05) * keypoint_weights
        losses['acc_pose'] = correct.sum() / keypoint_weights.sum().clamp(1)
        return losses

    @torch.no_grad()
    def _match(
        self, cls_logits: Tensor, coords: Tensor, keypoint_labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Match all layers and read out the last one, together.

        Returns:
            tuple[Tensor, Tensor]: Query indices of the matching in shape
            (L, B, K) and of the read-out in shape (B, K).
        """
        num_layers, batch_size = cls_logits.shape[:2]
        match_costs = self.assigner.costs(
            InstanceData(scores=cls_logits.flatten(0, 1), keypoints=coords.flatten(0, 1)),
            InstanceData(keypoints=keypoint_labels.repeat(num_layers, 1, 1)),
        )
        read_out_costs = -self.decoder.joint_probs(cls_logits[-1]).mT
        try:
            queries = batched_linear_assignment(torch.cat((match_costs, read_out_costs)))
        except FloatingPointError as error:
            raise non_finite_error('PRTRHead') from error
        matches, read_out = queries.split((len(match_costs), batch_size))
        return matches.unflatten(0, (num_layers, batch_size)), read_out


def _discount(cls_logits: Tensor, confidences: Tensor) -> Tensor:
    """Multiply the probabilities of the joints by confidences in shape (B, Q)."""
    confidences = confidences.to(cls_logits).clamp(1e-6, 1 - 1e-6)
    # of all probability, what the joints lose
    lost = cls_logits.logsumexp(dim=-1) - confidences.logit()
    # logaddexp has no counterpart in ONNX
    none = torch.stack((cls_logits[..., -1], lost), dim=-1).logsumexp(dim=-1, keepdim=True)
    return torch.cat((cls_logits[..., :-1], none), dim=-1)


def _gather_queries(coords: Tensor, queries: Tensor) -> Tensor:
    """Pick (..., K, 2) coordinates from (..., Q, 2) by (..., K) indices."""
    return coords.gather(-2, queries[..., None].expand(*queries.shape, 2))
