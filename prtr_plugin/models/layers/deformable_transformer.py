from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmcv.ops import get_compiling_cuda_version
from mmcv.ops.multi_scale_deform_attn import (
    MultiScaleDeformableAttention,
    MultiScaleDeformableAttnFunction,
    multi_scale_deformable_attn_pytorch,
)
from mmdet.models.layers import inverse_sigmoid
from mmengine.model import xavier_init
from torch import Tensor, nn

from .transformer import (
    PRTRDecoder,
    PRTRDecoderLayer,
    PRTREncoder,
    PRTREncoderLayer,
    PRTRTransformer,
)

# mmcv has its kernel for GPUs only where it was compiled with CUDA
_HAS_CUDA_KERNEL = get_compiling_cuda_version() != 'not available'


class FeatureLevels(NamedTuple):
    """How feature maps lie one after the other in a sequence.

    Args:
        sizes (List[Tuple[int, int]]): Size (H_l, W_l) of each level
        shapes (Tensor): The same in shape (levels, 2)
        starts (Tensor): Index of the first place of each level in shape
            (levels, )
    """

    sizes: list[tuple[int, int]]
    shapes: Tensor
    starts: Tensor

    @classmethod
    def of(cls, feats: Sequence[Tensor]) -> 'FeatureLevels':
        """The levels of feature maps in shape (B, D, H_l, W_l)."""
        sizes = [tuple(x.shape[-2:]) for x in feats]
        starts = [0]
        for h, w in sizes[:-1]:
            starts.append(starts[-1] + h * w)
        device = feats[0].device
        if torch.jit.is_tracing():
            # the sizes are tensors, of which torch.tensor makes constants
            shapes = torch.stack([torch.stack(size) for size in sizes])
        else:
            shapes = torch.tensor(sizes, device=device)
        return cls(sizes, shapes.to(device), torch.tensor(starts, device=device))

    def places(self) -> Tensor:
        """Centers (x, y) of all places, relative to their feature map, in
        shape (N, 2).
        """
        device = self.shapes.device
        places = []
        for h, w in self.sizes:
            y, x = torch.meshgrid(
                (torch.arange(h, device=device) + 0.5) / h,
                (torch.arange(w, device=device) + 0.5) / w,
                indexing='ij',
            )
            places.append(torch.stack((x.flatten(), y.flatten()), dim=-1))
        return torch.cat(places)


class DeformableAttention(MultiScaleDeformableAttention):
    """mmcv's deformable attention, on a GPU also without mmcv's kernel.

    Parameters and results equal those of the parent class. On a GPU the
    parent asks for the sizes of the levels in every call, fails where mmcv
    was compiled without CUDA, and its kernel takes neither bfloat16 nor
    batches of more than 64 that are no multiple of it.

    Args:
        embed_dims (int): Width D of the embeddings
        num_heads (int): Number of attention heads
        num_levels (int): Number of feature levels. Defaults to 4
        num_points (int): Points that each head samples from each level.
            Defaults to 4
        dropout (float): Dropout of the output. Defaults to 0.0
    """

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        num_levels: int = 4,
        num_points: int = 4,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(
            embed_dims, num_heads, num_levels, num_points, dropout=dropout, batch_first=True
        )

    def forward(
        self,
        query: Tensor,
        key: Tensor | None = None,
        identity: Tensor | None = None,
        query_pos: Tensor | None = None,
        *,
        reference_points: Tensor,
        levels: FeatureLevels,
    ) -> Tensor:
        """Sample image features around reference points.

        Args:
            query (Tensor): Queries in shape (B, Nq, D), which tell the
                offsets and the weights of the points
            key (Tensor, optional): Image features of all levels in shape
                (B, N, D). Defaults to ``query``
            identity (Tensor, optional): What the output is added to, in shape
                (B, Nq, D). Defaults to ``query``
            query_pos (Tensor, optional): Positions of the queries in shape
                (B or 1, Nq, D)
            reference_points (Tensor): Points (x, y) relative to the feature
                maps, in shape (B or 1, Nq, levels or 1, 2)
            levels (:obj:`FeatureLevels`): How the features are ordered

        Returns:
            Tensor: ``identity`` plus the attention output, in shape
            (B, Nq, D).
        """
        identity = query if identity is None else identity
        value = self.value_proj(query if key is None else key)
        value = _split_last(value, self.num_heads, -1)
        places, weights = self.sampling(query, query_pos, reference_points, levels)
        dtype = places.dtype

        if value.is_cuda and _HAS_CUDA_KERNEL:
            # the last argument is how many images go in one launch
            out = MultiScaleDeformableAttnFunction.apply(
                value.to(dtype), levels.shapes, levels.starts, places, weights, len(value)
            )
        else:
            out = multi_scale_deformable_attn_pytorch(
                value.to(dtype), levels.sizes, places, weights
            )
        return identity + self.dropout(self.output_proj(out.to(value.dtype)))

    def sampling(
        self,
        query: Tensor,
        query_pos: Tensor | None,
        reference_points: Tensor,
        levels: FeatureLevels,
    ) -> tuple[Tensor, Tensor]:
        """Where each query samples, and with which weights.

        Args:
            query (Tensor): See :meth:`forward`
            query_pos (Tensor, optional): The same
            reference_points (Tensor): The same
            levels (:obj:`FeatureLevels`): The same

        Returns:
            tuple:
            - places (Tensor): Points (x, y) relative to the feature maps, in
                shape (B, Nq, heads, levels, points, 2)
            - weights (Tensor): Their weights in shape
                (B, Nq, heads, levels, points), which sum to 1 for each head
        """
        if query_pos is not None:
            query = query + query_pos
        points = (self.num_heads, self.num_levels, self.num_points)
        offsets = _split_last(self.sampling_offsets(query), *points, 2)
        # half precision is too coarse for places
        dtype = torch.promote_types(offsets.dtype, torch.float32)
        # offsets are told in cells of the level
        places = (
            reference_points[:, :, None, :, None].to(dtype)
            + offsets.to(dtype) / levels.shapes.flip(-1)[:, None]
        )
        weights = self.attention_weights(query)
        weights = _split_last(weights, self.num_heads, -1).softmax(-1)
        return places, _split_last(weights, *points[1:]).to(dtype)


class DeformablePRTREncoderLayer(PRTREncoderLayer):
    """:class:`PRTREncoderLayer` with deformable attention."""

    image_attention = DeformableAttention


class DeformablePRTRDecoderLayer(PRTRDecoderLayer):
    """:class:`PRTRDecoderLayer` with deformable cross-attention."""

    image_attention = DeformableAttention


class DeformablePRTREncoder(PRTREncoder):
    """Encoder made of :class:`DeformablePRTREncoderLayer`."""

    layer_type = DeformablePRTREncoderLayer


class DeformablePRTRDecoder(PRTRDecoder):
    """Decoder made of :class:`DeformablePRTRDecoderLayer`.

    As in Deformable DETR there is no final normalisation, unless the layers
    are pre-norm ones.
    """

    layer_type = DeformablePRTRDecoderLayer

    def _init_layers(self) -> None:
        super()._init_layers()
        if not self.layers[0].pre_norm:
            self.post_norm = nn.Identity()

    def forward(
        self,
        query: Tensor,
        reference_points: Tensor,
        return_intermediate: bool = True,
        kpt_branches: Sequence[nn.Module] | None = None,
        **kwargs,
    ) -> tuple[Tensor, Tensor]:
        """Forward function.

        Args:
            query (Tensor): Initial query contents in shape (B, Q, D)
            reference_points (Tensor): Points (x, y) in [0, 1] in shape
                (B, Q, 2)
            return_intermediate (bool): Whether to return the output of every
                layer. Defaults to ``True``
            kpt_branches (Sequence[nn.Module], optional): For each layer the
                module that tells, from its output, by how much its reference
                points move (before the sigmoid) to become those of the next
                layer. Defaults to None, for points that stay
            **kwargs: Other arguments of :meth:`PRTRDecoderLayer.forward`.

        Returns:
            tuple:
            - outputs (Tensor): See :class:`PRTRDecoder`
            - references (Tensor): The reference points that each of these
                layers had, in shape (L, B, Q, 2)
        """
        outputs, references = [], []
        for i, layer in enumerate(self.layers):
            if kpt_branches is not None and i > 0:
                moved = kpt_branches[i - 1](outputs[-1]) + inverse_sigmoid(reference_points)
                # each layer answers for its own move
                reference_points = moved.sigmoid().detach()
            query = layer(query, reference_points=reference_points[:, :, None], **kwargs)
            outputs.append(self.post_norm(query))
            references.append(reference_points)
        if not return_intermediate:
            outputs, references = outputs[-1:], references[-1:]
        return torch.stack(outputs), torch.stack(references)


class DeformablePRTRTransformer(PRTRTransformer):
    """The transformer of `Deformable DETR`_ over several feature levels.

    Every query looks at a few points of each level around a reference point
    instead of at all places.

    Args:
        embed_dims (int): Width D
        num_feature_levels (int): Number of feature levels. Defaults to 4
        num_points (int): Points that each head samples from each level.
            Defaults to 4
        **kwargs: Other arguments of :class:`PRTRTransformer`.

    .. _`Deformable DETR`: https://arxiv.org/abs/2010.04159
    """

    encoder_type = DeformablePRTREncoder
    decoder_type = DeformablePRTRDecoder

    def __init__(
        self, embed_dims: int, num_feature_levels: int = 4, num_points: int = 4, **kwargs
    ) -> None:
        self.image_attention_cfg = dict(num_levels=num_feature_levels, num_points=num_points)
        super().__init__(embed_dims, **kwargs)
        if self.encoder is not None:
            self.level_embed = nn.Parameter(torch.randn(num_feature_levels, embed_dims))
        self.reference_points_fc = nn.Linear(embed_dims, 2)

    def init_weights(self) -> None:
        """As Deformable DETR: Xavier for matrices, offsets in a circle."""
        super().init_weights()
        for m in self.modules():
            if isinstance(m, DeformableAttention):
                m.init_weights()
        xavier_init(self.reference_points_fc, distribution='uniform')
        if self.encoder is not None:
            nn.init.normal_(self.level_embed)

    def forward(
        self,
        feats: Sequence[Tensor],
        feats_pos: Sequence[Tensor],
        query_embed: Tensor,
        return_intermediate: bool = True,
        kpt_branches: Sequence[nn.Module] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Forward function.

        Args:
            feats (Sequence[Tensor]): Feature levels, each in shape
                (B, D, H_l, W_l)
            feats_pos (Sequence[Tensor]): Their positions, each in shape
                (B or 1, D, H_l, W_l)
            query_embed (Tensor): Positions of the queries followed by their
                contents, in shape (Q, 2 * D)
            return_intermediate (bool): Whether to return the output of every
                decoder layer. Defaults to ``True``
            kpt_branches (Sequence[nn.Module], optional): See
                :meth:`DeformablePRTRDecoder.forward`

        Returns:
            tuple[Tensor, Tensor]: Query contents in shape (L, B, Q, D) and
            the reference points they are based on in shape (L, B, Q, 2), with
            L = 1 without intermediate outputs.
        """
        levels = FeatureLevels.of(feats)
        memory = _flatten(feats)
        if self.encoder is not None:
            memory_pos = _flatten(
                [pos + embed[:, None, None] for pos, embed in zip(feats_pos, self.level_embed)]
            )
            memory = self.encoder(
                memory,
                memory_pos,
                # each place is the reference point of its own
                reference_points=levels.places()[None, :, None],
                levels=levels,
            )

        query_pos, query = query_embed[None].chunk(2, dim=-1)
        with torch.autocast(query.device.type, enabled=False):
            # half precision is too coarse for places
            reference_points = self.reference_points_fc(query_pos).sigmoid()
        return self.decoder(
            query.expand(memory.shape[0], -1, -1),
            reference_points.expand(memory.shape[0], -1, -1),
            return_intermediate=return_intermediate,
            kpt_branches=kpt_branches,
            key=memory,
            query_pos=query_pos,
            levels=levels,
        )


def _flatten(maps: Sequence[Tensor]) -> Tensor:
    """From (B, D, H_l, W_l) of each level to (B, all places, D)."""
    return torch.cat([x.flatten(2) for x in maps], dim=2).transpose(1, 2)


def _split_last(x: Tensor, *sizes: int) -> Tensor:
    """Split the last axis; ``unflatten`` would fix the batch size in ONNX."""
    return x.view(*x.shape[:-1], *sizes)
