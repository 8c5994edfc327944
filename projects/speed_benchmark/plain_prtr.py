"""The plain PRTR: the same network, written the obvious way.

``benchmark.py`` compares the plugin with it. :func:`plain_config` makes a
config plain by changing three types; parameters have the same names as in the
plugin, so that both take the same weights. Outputs, losses and read-out are
equal, but computed differently:

- attention through ``nn.MultiheadAttention``, which also returns its weights
  and so cannot use fused kernels; positions are added to the embeddings of
  every image before they are projected
- the head runs on all decoder layers in testing as well
- costs and matching layer by layer and crop by crop, each with a transfer to
  the host and a call of the solver
- read-out crop by crop, each with its transfers and a call of the solver
"""

import copy
from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import torch
from mmcv.cnn.bricks.transformer import FFN, MultiheadAttention
from mmengine.config import Config
from mmpose.registry import KEYPOINT_CODECS, MODELS
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from prtr_plugin.codecs import HungarianKeypointCodec
from prtr_plugin.models.heads import PRTRHead
from prtr_plugin.models.layers import Decoder, DecoderLayer, Encoder, EncoderLayer
from prtr_plugin.models.transformers import BaseTransformer, TransformerOutput
from prtr_plugin.models.transformers.base_transformer import SINE_ENCODING


def plain_config(cfg: Config) -> Config:
    """The config with a plain head. Other transformers than
    :class:`PRTRTransformer` stay as they are.

    Raises:
        ValueError: If the head is not a :class:`PRTRHead`.
    """
    cfg = copy.deepcopy(cfg)
    head = cfg.model.head
    if head.type != 'PRTRHead':
        raise ValueError(f'{cfg.filename} has no plain version: its head is a {head.type}.')
    head.type = 'PlainPRTRHead'
    head.decoder.type = 'PlainCodec'
    transformer = head.get('transformer', dict(type='PRTRTransformer'))
    if transformer['type'] == 'PRTRTransformer':
        head.transformer = dict(transformer, type='PlainTransformer')
    return cfg


@KEYPOINT_CODECS.register_module()
class PlainCodec(HungarianKeypointCodec):
    """Read-out crop by crop."""

    def batch_decode(
        self, cls_logits: Tensor, coords: Tensor
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """See :meth:`HungarianKeypointCodec.batch_decode`."""
        keypoints, scores = [], []
        size = coords.new_tensor(self.input_size, dtype=torch.float32)
        joints = torch.arange(self.num_keypoints)
        for logits, xy in zip(cls_logits.detach(), coords.detach()):
            probs = self.joint_probs(logits)  # (Q, K)
            queries = linear_sum_assignment(-probs.T.cpu())[1]
            keypoints.append((xy[queries].float() * size)[None].cpu().numpy())
            scores.append(probs[queries, joints][None].cpu().numpy())
        return keypoints, scores


@MODELS.register_module()
class PlainTransformer(BaseTransformer):
    """:class:`PRTRTransformer` on ``nn.MultiheadAttention``."""

    def __init__(
        self,
        in_channels: Sequence[int],
        num_queries: int,
        embed_dims: int,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        num_heads: int = 8,
        feedforward_channels: int = 2048,
        dropout: float = 0.0,
        pre_norm: bool = False,
        with_cp: bool = False,
        positional_encoding: dict = SINE_ENCODING,
    ) -> None:
        sizes = (num_queries, embed_dims, num_encoder_layers, num_decoder_layers, num_heads)
        super().__init__(in_channels[-1:], *sizes, positional_encoding)
        self.input_proj = nn.Conv2d(in_channels[-1], embed_dims, 1)
        self.query_embedding = nn.Embedding(num_queries, embed_dims)
        drop = dict(type='Dropout', drop_prob=dropout)

        def parts(num_attentions: int) -> list:
            attentions = [
                MultiheadAttention(embed_dims, num_heads, dropout, 0.0, drop, batch_first=True)
                for _ in range(num_attentions)
            ]
            norms = [nn.LayerNorm(embed_dims) for _ in range(num_attentions + 1)]
            return [*attentions, FFN(embed_dims, feedforward_channels, ffn_drop=dropout), norms]

        self.encoder = None
        if num_encoder_layers:
            self.encoder = Encoder(
                [EncoderLayer(*parts(1), pre_norm) for _ in range(num_encoder_layers)],
                nn.LayerNorm(embed_dims) if pre_norm else None,
                num_encoder_layers if with_cp else 0,
            )
        self.decoder = Decoder(
            [DecoderLayer(*parts(2), pre_norm) for _ in range(num_decoder_layers)],
            nn.LayerNorm(embed_dims),
        )

    def forward(self, feats: Sequence[Tensor], *args) -> TransformerOutput:
        """See :meth:`BaseTransformer.forward`; always all decoder layers."""
        x = self.input_proj(feats[-1])
        pos = self.positions(x).expand_as(x)
        memory, memory_pos = (y.flatten(2).transpose(1, 2) for y in (x, pos))
        if self.encoder is not None:
            memory = self.encoder(memory, memory_pos)
        query_pos = self.query_embedding.weight.expand(len(x), -1, -1)
        query = torch.zeros_like(query_pos)
        return TransformerOutput(
            self.decoder(query, key=memory, query_pos=query_pos, key_pos=memory_pos)
        )


@MODELS.register_module()
class PlainPRTRHead(PRTRHead):
    """Losses layer by layer and crop by crop."""

    def forward(self, feats: tuple[Tensor]) -> tuple[Tensor, Tensor]:
        """See :meth:`PRTRHead.forward`."""
        cls_logits, coords = self.forward_layers(feats)
        return cls_logits[-1], coords[-1]

    def match(self, cls_logits: Tensor, coords: Tensor, keypoint_labels: Tensor) -> np.ndarray:
        """Query indices of the joints of one crop in shape (K, )."""
        # InstanceData would take longer than the costs
        pred = SimpleNamespace(scores=cls_logits[None], keypoints=coords[None])
        costs = self.assigner.costs(pred, SimpleNamespace(keypoints=keypoint_labels[None]))
        return linear_sum_assignment(costs[0].cpu())[1]

    def loss_by_feat(
        self,
        cls_logits: Tensor,
        coords: Tensor,
        keypoint_labels: Tensor,
        keypoint_weights: Tensor,
        maps: None = None,
    ) -> dict[str, Tensor]:
        """The losses of :meth:`PRTRHead.loss_by_feat`, without ``acc_pose``."""
        num_joints, device = self.out_channels, cls_logits.device
        class_weight = torch.tensor([1.0] * num_joints + [self.bg_cls_weight], device=device)
        losses = dict()
        for i, (logits, xy) in enumerate(zip(cls_logits.float(), coords.float())):
            labels = torch.full(logits.shape[:2], num_joints, device=device)
            matched = []
            for crop, inputs in enumerate(zip(logits, xy, keypoint_labels)):
                queries = torch.from_numpy(self.match(*inputs)).to(device)
                labels[crop, queries] = torch.arange(num_joints, device=device)
                matched.append(xy[crop, queries])
            prefix = '' if i == len(cls_logits) - 1 else f'd{i}.'
            weights = class_weight[labels].flatten()
            losses[f'{prefix}loss_cls'] = self.loss_cls(
                logits.flatten(0, 1), labels.flatten(), weights, avg_factor=weights.sum().item()
            )
            losses[f'{prefix}loss_kpt'] = num_joints * self.loss_kpt(
                torch.stack(matched), keypoint_labels, keypoint_weights
            )
        return losses
