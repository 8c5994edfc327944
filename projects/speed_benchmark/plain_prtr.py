"""The plain PRTR: the same network, written the obvious way.

``benchmark.py`` compares the plugin with it. A config becomes plain by three
types, see :func:`plain_config`; parameters have the names of the plugin's, so
that both take the same weights. Outputs, losses and read-out are equal; what
differs is how they are computed:

- attention through ``nn.MultiheadAttention``, which also returns its weights
  and so cannot use fused kernels; positions are added to the embeddings of
  every image before they are projected
- the head runs on all decoder layers in testing, too, though only the last
  one is read
- costs and matching layer by layer and crop by crop, each with a transfer to
  the host and a call of the solver
- read-out crop by crop, each with its transfers and a call of the solver
"""

import copy
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from mmcv.cnn.bricks.transformer import FFN, MultiheadAttention
from mmengine.config import Config
from mmengine.structures import InstanceData
from mmpose.registry import KEYPOINT_CODECS, MODELS
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from prtr_plugin.codecs import HungarianKeypointCodec
from prtr_plugin.models.heads import PRTRHead

SINE_ENCODING = dict(type='mmdet.SinePositionalEncoding', num_feats=128, normalize=True)


def plain_config(cfg: Config) -> Config:
    """The config with a plain head. Other transformers than
    :class:`PRTRTransformer` stay as they are.

    Raises:
        ValueError: If the head is not a :class:`PRTRHead`.
    """
    cfg = copy.deepcopy(cfg)
    head = cfg.model.head
    if head.type != 'PRTRHead':
        raise ValueError(f'Only a PRTRHead has a plain version, but the head is a {head.type}.')
    head.type = 'PlainPRTRHead'
    head.decoder.type = 'PlainCodec'
    transformer = head.setdefault('transformer', dict(type='PRTRTransformer'))
    if transformer.type == 'PRTRTransformer':
        transformer.type = 'PlainTransformer'
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


class PlainLayer(nn.Module):
    """An encoder layer or, with cross-attention, a decoder layer."""

    def __init__(
        self, dims: int, heads: int, hidden: int, dropout: float, pre_norm: bool, cross_attn: bool
    ) -> None:
        super().__init__()
        drop = dict(type='Dropout', drop_prob=dropout)
        self.pre_norm = pre_norm
        self.self_attn = MultiheadAttention(dims, heads, dropout, 0.0, drop, batch_first=True)
        if cross_attn:
            self.cross_attn = MultiheadAttention(dims, heads, dropout, 0.0, drop, batch_first=True)
        self.ffn = FFN(dims, hidden, ffn_drop=dropout)
        self.norms = nn.ModuleList(nn.LayerNorm(dims) for _ in range(2 + cross_attn))

    def forward(self, query: Tensor, query_pos: Tensor, *memory: Tensor) -> Tensor:
        """From tokens and their positions in shape (B, N, D) to tokens. The
        cross-attention attends to ``memory``, tokens and their positions.
        """
        steps = [partial(self.self_attn, query_pos=query_pos), self.ffn]
        if memory:
            cross = dict(key=memory[0], query_pos=query_pos, key_pos=memory[1])
            steps.insert(1, partial(self.cross_attn, **cross))
        for norm, step in zip(self.norms, steps):
            query = step(norm(query), identity=query) if self.pre_norm else norm(step(query))
        return query


class PlainLayers(nn.Module):
    """Layers one after the other and a final normalisation."""

    def __init__(self, layers: list[PlainLayer], post_norm: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.post_norm = post_norm

    def forward(self, query: Tensor, *args: Tensor) -> Tensor:
        """Outputs of all layers in shape (L, B, N, D)."""
        outputs = []
        for layer in self.layers:
            query = layer(query, *args)
            outputs.append(self.post_norm(query))
        return torch.stack(outputs)


@MODELS.register_module()
class PlainTransformer(nn.Module):
    """See :class:`PRTRTransformer`, which has the same arguments."""

    with_references = False

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
        positional_encoding: dict = SINE_ENCODING,
    ) -> None:
        super().__init__()
        self.num_decoder_layers = num_decoder_layers
        self.input_proj = nn.Conv2d(in_channels[-1], embed_dims, 1)
        self.positional_encoding = MODELS.build(positional_encoding)
        self.query_embedding = nn.Embedding(num_queries, embed_dims)
        args = (embed_dims, num_heads, feedforward_channels, dropout, pre_norm)
        self.encoder = PlainLayers(
            [PlainLayer(*args, cross_attn=False) for _ in range(num_encoder_layers)],
            nn.LayerNorm(embed_dims) if pre_norm else nn.Identity(),
        )
        self.decoder = PlainLayers(
            [PlainLayer(*args, cross_attn=True) for _ in range(num_decoder_layers)],
            nn.LayerNorm(embed_dims),
        )

    def forward(self, feats: Sequence[Tensor], *args) -> tuple[Tensor, None]:
        """Query states of all decoder layers in shape (L, B, Q, D)."""
        x = self.input_proj(feats[-1])
        pos = self.positional_encoding(x.new_zeros(len(x), *x.shape[-2:])).to(x)
        memory, memory_pos = (y.flatten(2).transpose(1, 2) for y in (x, pos))
        if self.encoder.layers:
            memory = self.encoder(memory, memory_pos)[-1]
        query_pos = self.query_embedding.weight.expand(len(x), -1, -1)
        return self.decoder(torch.zeros_like(query_pos), query_pos, memory, memory_pos), None


@MODELS.register_module()
class PlainPRTRHead(PRTRHead):
    """Losses layer by layer and crop by crop."""

    def forward(self, feats: tuple[Tensor]) -> tuple[Tensor, Tensor]:
        """See :meth:`PRTRHead.forward`."""
        cls_logits, coords = self.forward_layers(feats)
        return cls_logits[-1], coords[-1]

    @torch.no_grad()
    def match(
        self, cls_logits: Tensor, coords: Tensor, keypoint_labels: Tensor
    ) -> list[np.ndarray]:
        """Query indices of the joints in shape (K, ) for each crop, from the
        logits (B, Q, K + 1), coordinates (B, Q, 2) and targets (B, K, 2).
        """
        matches = []
        for logits, xy, target in zip(cls_logits, coords, keypoint_labels):
            pred = InstanceData(scores=logits[None], keypoints=xy[None])
            gt = InstanceData(keypoints=target[None])
            cost = sum(match_cost(pred, gt) for match_cost in self.assigner.match_costs)
            matches.append(linear_sum_assignment(cost[0].T.cpu())[1])
        return matches

    def loss_by_feat(
        self, cls_logits: Tensor, coords: Tensor, keypoint_labels: Tensor, keypoint_weights: Tensor
    ) -> dict[str, Tensor]:
        """The losses of :meth:`PRTRHead.loss_by_feat`, without ``acc_pose``."""
        num_joints, device = self.out_channels, cls_logits.device
        class_weight = torch.tensor(self.loss_cls.class_weight, device=device)
        losses = dict()
        for i, (logits, xy) in enumerate(zip(cls_logits.float(), coords.float())):
            labels = torch.full(logits.shape[:2], num_joints, device=device)
            matched = []
            for crop, queries in enumerate(self.match(logits, xy, keypoint_labels)):
                labels[crop, queries] = torch.arange(num_joints, device=device)
                matched.append(xy[crop, queries])
            prefix = '' if i == len(cls_logits) - 1 else f'd{i}.'
            avg_factor = class_weight[labels].sum().item()
            losses[f'{prefix}loss_cls'] = self.loss_cls(
                logits.flatten(0, 1), labels.flatten(), avg_factor=avg_factor
            )
            losses[f'{prefix}loss_kpt'] = num_joints * self.loss_kpt(
                torch.stack(matched), keypoint_labels, keypoint_weights
            )
        return losses
