from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import torch
from mmcv.ops import get_compiling_cuda_version
from mmcv.ops.multi_scale_deform_attn import (
    MultiScaleDeformableAttention,
    MultiScaleDeformableAttnFunction,
    multi_scale_deformable_attn_pytorch,
)
from torch import Tensor

# mmcv has its GPU kernel only if it was compiled with CUDA
_HAS_CUDA_KERNEL = get_compiling_cuda_version() != 'not available'


class FeatureLevels(NamedTuple):
    """Order of the tokens of several feature levels in one sequence.

    Args:
        sizes (List[Tuple[int, int]]): Size (H_l, W_l) of each level
        shapes (Tensor): The same in shape (levels, 2)
        starts (Tensor): Index of the first token of each level in shape
            (levels, )
    """

    sizes: list[tuple[int, int]]
    shapes: Tensor
    starts: Tensor

    @classmethod
    def of(cls, feats: Sequence[Tensor]) -> 'FeatureLevels':
        """The levels of feature maps in shape (B, D, H_l, W_l)."""
        sizes = [(x.shape[-2], x.shape[-1]) for x in feats]
        device = feats[0].device
        # fills on the device: a copy from the host would wait for a GPU. In
        # tracing the sizes are tensors, which must not become constants
        shapes = torch.stack(
            [
                size.to(device) if isinstance(size, Tensor) else torch.full((), size, device=device)
                for size in chain.from_iterable(sizes)
            ]
        ).view(-1, 2)
        num_tokens = shapes.prod(dim=1)
        return cls(sizes, shapes, num_tokens.cumsum(dim=0) - num_tokens)

    def centers(self) -> Tensor:
        """Centers of all N tokens.

        Returns:
            Tensor: Points (x, y) relative to their feature map, in shape
            (N, 2).
        """
        device = self.shapes.device
        centers = []
        for h, w in self.sizes:
            y, x = torch.meshgrid(
                (torch.arange(h, device=device) + 0.5) / h,
                (torch.arange(w, device=device) + 0.5) / w,
                indexing='ij',
            )
            centers.append(torch.stack((x.flatten(), y.flatten()), dim=-1))
        return torch.cat(centers)


class DeformableAttention(MultiScaleDeformableAttention):
    """mmcv's deformable attention, which also runs on a GPU without mmcv's kernel.

    Parameters and results equal those of the parent class. On a GPU the parent
    class copies the sizes of the levels to the host in every call, fails if
    mmcv was compiled without CUDA, and its kernel supports neither bfloat16
    nor batches larger than 64 that are not a multiple of 64.

    Args:
        embed_dims (int): Width D of the embeddings
        num_heads (int): Number of attention heads
        num_levels (int): Number of feature levels. Defaults to 4
        num_points (int): Sampling locations per head and level. Defaults to 4
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
            query (Tensor): Queries in shape (B, Nq, D), which determine the
                offsets and the weights of the sampling locations
            key (Tensor, optional): Image features of all levels in shape
                (B, N, D). Defaults to ``query``
            identity (Tensor, optional): Residual to add to the output, in
                shape (B, Nq, D). Defaults to ``query``
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
        locations, weights = self.sampling(query, query_pos, reference_points, levels)
        dtype = locations.dtype

        if value.is_cuda and _HAS_CUDA_KERNEL:
            # the last argument is the number of images per kernel launch
            out = MultiScaleDeformableAttnFunction.apply(
                value.to(dtype), levels.shapes, levels.starts, locations, weights, len(value)
            )
        else:
            out = multi_scale_deformable_attn_pytorch(
                value.to(dtype), levels.sizes, locations, weights
            )
        return identity + self.dropout(self.output_proj(out.to(value.dtype)))

    def sampling(
        self,
        query: Tensor,
        query_pos: Tensor | None,
        reference_points: Tensor,
        levels: FeatureLevels,
    ) -> tuple[Tensor, Tensor]:
        """Sampling locations of each query and their weights.

        Args:
            query (Tensor): See :meth:`forward`
            query_pos (Tensor, optional): See :meth:`forward`
            reference_points (Tensor): See :meth:`forward`
            levels (:obj:`FeatureLevels`): See :meth:`forward`

        Returns:
            tuple:
            - locations (Tensor): Points (x, y) relative to the feature maps, in
                shape (B, Nq, heads, levels, points, 2)
            - weights (Tensor): Their weights in shape
                (B, Nq, heads, levels, points), which sum to 1 for each head
        """
        if query_pos is not None:
            query = query + query_pos
        points = (self.num_heads, self.num_levels, self.num_points)
        offsets = _split_last(self.sampling_offsets(query), *points, 2)
        # half precision is too coarse for locations
        dtype = torch.promote_types(offsets.dtype, torch.float32)
        # offsets are in units of the tokens of a level
        locations = (
            reference_points[:, :, None, :, None].to(dtype)
            + offsets.to(dtype) / levels.shapes.flip(-1)[:, None]
        )
        weights = self.attention_weights(query)
        weights = _split_last(weights, self.num_heads, -1).softmax(-1)
        return locations, _split_last(weights, *points[1:]).to(dtype)


def flatten_levels(maps: Sequence[Tensor]) -> Tensor:
    """Concatenate the tokens of feature maps.

    Args:
        maps (Sequence[Tensor]): Maps in shape (B, D, H_l, W_l)

    Returns:
        Tensor: Tokens of all levels in shape (B, N, D).
    """
    return torch.cat([x.flatten(2) for x in maps], dim=2).transpose(1, 2)


def _split_last(x: Tensor, *sizes: int) -> Tensor:
    """Split the last axis; ``unflatten`` would fix the batch size in ONNX."""
    return x.view(*x.shape[:-1], *sizes)
