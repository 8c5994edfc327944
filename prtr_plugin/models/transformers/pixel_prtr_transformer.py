from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmdet.models.layers import MLP, inverse_sigmoid
from mmpose.registry import MODELS
from mmpose.utils.typing import ConfigType
from torch import Tensor, nn

from ..layers import Decoder, FusedMultiheadAttention, PixelDecoder, full_precision
from .base_transformer import (
    SINE_ENCODING,
    BaseTransformer,
    TransformerOutput,
    build_decoder_layers,
    build_encoder,
    init_matrices,
)


@MODELS.register_module()
class PixelPRTRTransformer(BaseTransformer):
    """Keypoint queries as kernels over a fine pixel map: PRTR+.

    This is not in the paper. Encoder and decoder are those of
    :class:`PRTRTransformer`. A light pixel decoder leads the encoded tokens
    back to the resolution of the finest given map. After each decoder layer
    the state of a query becomes a kernel (`MaskFormer`_), whose product with
    the pixel map is a map of logits. The reference point of the query is the
    expected position under the softmax (integral regression, `Sun et al.`_)
    within a window around the peak, which far pixels cannot bias; they learn
    from the loss of the maps, :class:`KeypointMapLoss`. Refinement layers
    follow: each samples the pixels around the last coordinates, which are
    constants for it, and corrects them. The share of the window in the whole
    softmax tells sure queries from unsure ones.

    Args:
        in_channels (Sequence[int]): Channels of the feature maps, from fine
            to coarse. The last map becomes the tokens, and the pixel map has
            the size of the first
        num_queries (int): Number of keypoint queries Q. Defaults to 100
        embed_dims (int): Width D. Defaults to 256
        pixel_channels (int): Channels C of the pixel map. Defaults to 64
        num_encoder_layers (int): See :class:`PRTRTransformer`. Defaults to 1
        num_decoder_layers (int): Number of decoder layers with maps. Defaults
            to 2
        num_refine_layers (int): Number of refinement layers, for which the
            head needs ``with_kpt_refine``. Defaults to 1
        window (int): Side of the window around the peak in pixels, an odd
            number. Defaults to 5
        static_kernels (bool): Whether each query has a learned kernel that
            the one of its state corrects. Defaults to ``True``
        num_heads (int): Attention heads. Defaults to 8
        feedforward_channels (int): See :class:`PRTRTransformer`. Defaults to
            512
        dropout (float): Dropout everywhere. Defaults to 0.0
        pre_norm (bool): See :class:`PRTRTransformer`. Defaults to ``False``
        with_cp (bool): See :class:`PRTRTransformer`. Defaults to ``False``
        positional_encoding (dict): Config of the positional encoding of the
            tokens with D channels. Defaults to DETR's sine encoding
        norm_cfg (dict): Config of the normalisation of the pixel decoder.
            Defaults to batch normalisation
        init_cfg (dict, optional): Extra init config. Defaults to None

    Raises:
        ValueError: If ``window`` is not odd and positive. Also see
            :class:`BaseTransformer`.

    .. _`MaskFormer`: https://arxiv.org/abs/2107.06278
    .. _`Sun et al.`: https://arxiv.org/abs/1711.08229
    """

    with_references = True

    def __init__(
        self,
        in_channels: Sequence[int],
        num_queries: int = 100,
        embed_dims: int = 256,
        pixel_channels: int = 64,
        num_encoder_layers: int = 1,
        num_decoder_layers: int = 2,
        num_refine_layers: int = 1,
        window: int = 5,
        static_kernels: bool = True,
        num_heads: int = 8,
        feedforward_channels: int = 512,
        dropout: float = 0.0,
        pre_norm: bool = False,
        with_cp: bool = False,
        positional_encoding: ConfigType = SINE_ENCODING,
        norm_cfg: ConfigType = dict(type='BN'),
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(
            in_channels,
            num_queries,
            embed_dims,
            num_encoder_layers,
            num_decoder_layers,
            num_heads,
            positional_encoding,
            init_cfg,
        )
        if window < 1 or window % 2 == 0:
            raise ValueError(f'window must be odd and positive, but is {window}.')
        self.num_pixel_layers = num_decoder_layers
        # the head supervises those of the refinement too
        self.num_decoder_layers = num_decoder_layers + num_refine_layers
        self.window = window

        def attention() -> nn.Module:
            return FusedMultiheadAttention(embed_dims, num_heads, dropout)

        sizes = (embed_dims, feedforward_channels, dropout, pre_norm)
        self.input_proj = nn.Conv2d(self.in_channels[-1], embed_dims, 1)
        self.query_embedding = nn.Embedding(num_queries, embed_dims)
        self.encoder = build_encoder(num_encoder_layers, attention, *sizes, with_cp)
        self.decoder = Decoder(
            build_decoder_layers(num_decoder_layers, attention, attention, *sizes),
            nn.LayerNorm(embed_dims),
        )
        self.pixel_decoder = PixelDecoder(
            self.in_channels[:-1], embed_dims, pixel_channels, norm_cfg
        )
        self.kernel_branch = MLP(embed_dims, embed_dims, pixel_channels, 2)
        self.kernel_embedding = None
        if static_kernels:
            self.kernel_embedding = nn.Embedding(num_queries, pixel_channels)
        self.refine_layers = nn.ModuleList(
            MLP(embed_dims + 9 * pixel_channels, embed_dims, embed_dims, 2)
            for _ in range(num_refine_layers)
        )
        self.refine_norms = nn.ModuleList(
            nn.LayerNorm(embed_dims) for _ in range(num_refine_layers)
        )

    def init_weights(self) -> None:
        """Xavier initialisation of encoder and decoder. A query starts with
        its static kernel, if it has one.
        """
        super().init_weights()
        init_matrices(self.encoder, self.decoder)
        if self.kernel_embedding is not None:
            nn.init.zeros_(self.kernel_branch.layers[-1].weight)
            nn.init.zeros_(self.kernel_branch.layers[-1].bias)

    def forward(
        self,
        feats: Sequence[Tensor],
        last_layer_only: bool = False,
        kpt_branches: Sequence[nn.Module] | None = None,
    ) -> TransformerOutput:
        """See :meth:`BaseTransformer.forward`.

        Raises:
            ValueError: If there are refinement layers but no
                ``kpt_branches``.
        """
        if len(self.refine_layers) and kpt_branches is None:
            raise ValueError(
                f'num_refine_layers={len(self.refine_layers)} needs a coordinate branch for each '
                'layer. Set with_kpt_refine=True in the head, or num_refine_layers=0.'
            )
        feats = self.used_maps(feats)
        x = self.input_proj(feats[-1])
        memory = x.flatten(2).transpose(1, 2)
        memory_pos = self.positions(x).flatten(2).transpose(1, 2)
        if self.encoder is not None:
            memory = self.encoder(memory, memory_pos)
        query_pos = self.query_embedding.weight
        states = self.decoder(
            memory.new_zeros(memory.shape[0], *query_pos.shape),
            last_layer_only,
            key=memory,
            query_pos=query_pos[None],
            key_pos=memory_pos,
        )

        pixels = self.pixel_decoder(memory.transpose(1, 2).unflatten(2, x.shape[-2:]), feats[:-1])
        kernels = self.kernel_branch(states)
        if self.kernel_embedding is not None:
            kernels = kernels + self.kernel_embedding.weight
        maps = torch.einsum('lbqc,bchw->lbqhw', kernels, pixels).float()
        maps = maps * pixels.shape[1] ** -0.5
        references, confidences = locate_peaks(maps, self.window)

        all_states, all_references = [*states], [*references]
        start = references[-1].detach()
        branches = (kpt_branches or [])[self.num_pixel_layers - 1 :]
        for branch, layer, norm in zip(branches, self.refine_layers, self.refine_norms):
            state = all_states[-1]
            with full_precision(branch, state) as (full_state,):
                start = (branch(full_state) + inverse_sigmoid(start)).sigmoid().detach()
            around = torch.cat((state, sample_around(pixels, start)), dim=-1)
            all_states.append(norm(state + layer(around)))
            all_references.append(start)
        if last_layer_only:
            all_states, all_references = all_states[-1:], all_references[-1:]
        return TransformerOutput(
            torch.stack(all_states), torch.stack(all_references), maps, confidences[-1]
        )


def locate_peaks(maps: Tensor, window: int) -> tuple[Tensor, Tensor]:
    """Find the peaks of maps between their pixels.

    Args:
        maps (Tensor): Logits in shape (..., h, w)
        window (int): Side of the window around the peak outside of which
            pixels have no weight

    Returns:
        tuple:
        - points (Tensor): Expected positions (x, y) under the softmax within
            the window, relative to the map, in shape (..., 2)
        - shares (Tensor): Share of the window in the softmax over the whole
            map, from 0 to 1, in shape (...)
    """
    h, w = maps.shape[-2:]
    rows, columns = (torch.arange(size, device=maps.device) for size in (h, w))
    peak = maps.flatten(-2).argmax(dim=-1, keepdim=True)
    far_rows = (rows - peak // w).abs() > window // 2
    far_columns = (columns - peak % w).abs() > window // 2
    probs = maps.flatten(-2).softmax(dim=-1).view_as(maps)
    probs = probs.masked_fill(far_rows[..., None] | far_columns[..., None, :], 0)
    shares = probs.sum(dim=(-2, -1))
    x = (probs.sum(dim=-2) * (columns + 0.5) / w).sum(dim=-1) / shares
    y = (probs.sum(dim=-1) * (rows + 0.5) / h).sum(dim=-1) / shares
    return torch.stack((x, y), dim=-1), shares


def sample_around(pixels: Tensor, points: Tensor) -> Tensor:
    """Bilinear samples of a pixel map at points and their eight neighbours.

    Args:
        pixels (Tensor): Pixel map in shape (B, C, h, w)
        points (Tensor): Points (x, y) relative to the map in shape (B, Q, 2)

    Returns:
        Tensor: Samples one pixel apart in shape (B, Q, 9 * C).
    """
    h, w = pixels.shape[-2:]
    steps = torch.arange(-1, 2, device=pixels.device)
    dy, dx = torch.meshgrid(steps / h, steps / w, indexing='ij')
    offsets = torch.stack((dx.flatten(), dy.flatten()), dim=-1)
    grid = 2 * (points[:, :, None] + offsets) - 1
    samples = F.grid_sample(
        pixels, grid.to(pixels.dtype), padding_mode='border', align_corners=False
    )
    return samples.permute(0, 2, 3, 1).flatten(2)
