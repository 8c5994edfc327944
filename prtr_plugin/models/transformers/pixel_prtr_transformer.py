from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmdet.models.layers import MLP, inverse_sigmoid
from mmpose.registry import MODELS
from mmpose.utils.typing import ConfigType
from torch import Tensor, nn

from ..layers import (
    Decoder,
    DecoderLayer,
    Encoder,
    EncoderLayer,
    FusedMultiheadAttention,
    PixelDecoder,
    full_precision,
)
from .base_transformer import SINE_ENCODING, BaseTransformer, build_ffn, build_norms, init_matrices


@MODELS.register_module()
class PixelPRTRTransformer(BaseTransformer):
    with_references = True

    def __init__(
        self,
        in_channels: Sequence[int],
        num_queries: int = 100,
        embed_dims: int = 256,
        pixel_channels: int = 64,
        num_encoder_layers: int = 2,
        num_decoder_layers: int = 3,
        num_refine_layers: int = 1,
        window: int = 5,
        num_heads: int = 8,
        feedforward_channels: int = 1024,
        dropout: float = 0.0,
        pre_norm: bool = False,
        with_cp: bool = False,
        static_embedding: bool = True,
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
        self.num_pixel_layers = num_decoder_layers
        # those that the head supervises
        self.num_decoder_layers = num_decoder_layers + num_refine_layers
        self.window = window

        def attention() -> nn.Module:
            return FusedMultiheadAttention(embed_dims, num_heads, dropout)

        def ffn() -> nn.Module:
            return build_ffn(embed_dims, feedforward_channels, dropout)

        self.input_proj = nn.Conv2d(self.in_channels[-1], embed_dims, 1)
        self.query_embedding = nn.Embedding(num_queries, embed_dims)
        self.encoder = None
        if num_encoder_layers:
            self.encoder = Encoder(
                [
                    EncoderLayer(attention(), ffn(), build_norms(embed_dims, 2), pre_norm)
                    for _ in range(num_encoder_layers)
                ],
                nn.LayerNorm(embed_dims) if pre_norm else None,
                num_cp=num_encoder_layers if with_cp else 0,
            )
        self.decoder = Decoder(
            [
                DecoderLayer(
                    attention(), attention(), ffn(), build_norms(embed_dims, 3), pre_norm
                )
                for _ in range(num_decoder_layers)
            ],
            nn.LayerNorm(embed_dims),
        )
        self.pixel_decoder = PixelDecoder(
            self.in_channels[:-1], embed_dims, pixel_channels, norm_cfg
        )
        self.kernel_branch = MLP(embed_dims, embed_dims, pixel_channels, 2)
        self.kernel_embedding = (
            nn.Embedding(num_queries, pixel_channels) if static_embedding else None
        )
        self.refine_layers = nn.ModuleList(
            MLP(embed_dims + 9 * pixel_channels, embed_dims, embed_dims, 2)
            for _ in range(num_refine_layers)
        )
        self.refine_norms = nn.ModuleList(build_norms(embed_dims, num_refine_layers))

    def init_weights(self) -> None:
        super().init_weights()
        init_matrices(self.encoder, self.decoder)
        if self.kernel_embedding is not None:
            nn.init.normal_(self.kernel_embedding.weight)
            last = self.kernel_branch.layers[-1]
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(
        self,
        feats: Sequence[Tensor],
        last_layer_only: bool = False,
        kpt_branches: Sequence[nn.Module] | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
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
        tokens = memory.transpose(1, 2).unflatten(2, x.shape[-2:])
        pixels = self.pixel_decoder(tokens, feats[:-1])
        kernels = self.kernel_branch(states)
        if self.kernel_embedding is not None:
            kernels = kernels + self.kernel_embedding.weight
        maps = torch.einsum('lbqc,bchw->lbqhw', kernels, pixels) * pixels.shape[1] ** -0.5
        peaks = expectation(maps.float(), self.window)
        # far from its peak a map would get no gradient from a window
        references = expectation(maps.float()) if self.training else peaks
        states, references = list(states), list(references)
        start = peaks[-1].detach()
        for i, (layer, norm) in enumerate(zip(self.refine_layers, self.refine_norms)):
            branch = kpt_branches[self.num_pixel_layers + i - 1]
            with full_precision(branch, states[-1]) as (state,):
                start = (branch(state) + inverse_sigmoid(start)).sigmoid().detach()
            around = sample_around(pixels, start)
            states.append(norm(states[-1] + layer(torch.cat((states[-1], around), -1))))
            references.append(start)
        if last_layer_only:
            states, references = states[-1:], references[-1:]
        return torch.stack(states), torch.stack(references), maps


def centers(h: int, w: int, like: Tensor) -> tuple[Tensor, Tensor]:
    x = (torch.arange(w, device=like.device, dtype=like.dtype) + 0.5) / w
    y = (torch.arange(h, device=like.device, dtype=like.dtype) + 0.5) / h
    return x, y


def expectation(maps: Tensor, window: int | None = None) -> Tensor:
    """Expected (x, y) of the softmax over the places of maps (..., h, w)."""
    h, w = maps.shape[-2:]
    x, y = centers(h, w, maps)
    if window is not None:
        peak = maps.flatten(-2).argmax(-1)
        px, py = peak % w, peak // w
        near_x = (torch.arange(w, device=maps.device) - px[..., None]).abs() <= window // 2
        near_y = (torch.arange(h, device=maps.device) - py[..., None]).abs() <= window // 2
        maps = maps.masked_fill(~(near_y[..., :, None] & near_x[..., None, :]), float('-inf'))
    p = maps.flatten(-2).softmax(-1).view_as(maps)
    return torch.stack(((p.sum(-2) * x).sum(-1), (p.sum(-1) * y).sum(-1)), -1)


def sample_around(pixels: Tensor, points: Tensor) -> Tensor:
    """Features (B, Q, 9 C) of a 3x3 neighbourhood of points (B, Q, 2)."""
    h, w = pixels.shape[-2:]
    steps = torch.arange(-1, 2, device=pixels.device, dtype=points.dtype)
    dy, dx = torch.meshgrid(steps / h, steps / w, indexing='ij')
    offsets = torch.stack((dx.flatten(), dy.flatten()), -1)
    grid = 2 * (points[:, :, None] + offsets) - 1
    out = F.grid_sample(pixels, grid.to(pixels.dtype), padding_mode='border', align_corners=False)
    return out.permute(0, 2, 3, 1).flatten(2)
