from collections.abc import Sequence

import torch
from mmdet.models.necks import ChannelMapper
from mmengine.model import xavier_init
from mmpose.registry import MODELS
from mmpose.utils.typing import ConfigType
from torch import Tensor, nn

from ..layers import (
    DeformableAttention,
    FeatureLevels,
    FusedMultiheadAttention,
    ReferenceDecoder,
    flatten_levels,
    full_precision,
)
from .base_transformer import (
    SINE_ENCODING,
    BaseTransformer,
    TransformerOutput,
    build_decoder_layers,
    build_encoder,
    init_matrices,
)


@MODELS.register_module()
class DeformablePRTRTransformer(BaseTransformer):
    """The transformer of `Deformable DETR`_ over several feature levels.

    Every token and every query attends to a few sampling locations around a
    reference point on each level instead of to all tokens. The levels are the
    given maps, followed by further levels of half the size each. The reference
    point of a query is computed from its position, and coordinates are
    relative to it, as in the deformable variant of PRTR (CVPR 2021).

    Args:
        in_channels (Sequence[int]): Channels of the used feature maps, which
            are the last ones
        num_queries (int): Number of keypoint queries Q. Defaults to 100
        embed_dims (int): Width D. Defaults to 256
        num_feature_levels (int): Number of feature levels, at least that of
            the maps. Defaults to 4
        num_points (int): Sampling locations per head and level. Defaults to 4
        num_encoder_layers (int): See :class:`PRTRTransformer`. Defaults to 6
        num_decoder_layers (int): See :class:`PRTRTransformer`. Defaults to 6
        num_heads (int): Attention heads. Defaults to 8
        feedforward_channels (int): See :class:`PRTRTransformer`. Defaults to
            2048
        dropout (float): Dropout everywhere. Defaults to 0.0
        pre_norm (bool): See :class:`PRTRTransformer`. Defaults to ``False``
        with_cp (bool): See :class:`PRTRTransformer`. Defaults to ``False``
        positional_encoding (dict): Config of the positional encoding of each
            level with D channels. Defaults to DETR's sine encoding
        norm_cfg (dict): Config of the normalisation of the projected levels.
            Defaults to group normalisation with 32 groups
        init_cfg (dict, optional): Extra init config. Defaults to None

    Raises:
        ValueError: If there are fewer levels than maps. Also see
            :class:`BaseTransformer`.

    .. _`Deformable DETR`: https://arxiv.org/abs/2010.04159
    """

    with_references = True

    def __init__(
        self,
        in_channels: Sequence[int],
        num_queries: int = 100,
        embed_dims: int = 256,
        num_feature_levels: int = 4,
        num_points: int = 4,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        num_heads: int = 8,
        feedforward_channels: int = 2048,
        dropout: float = 0.0,
        pre_norm: bool = False,
        with_cp: bool = False,
        positional_encoding: ConfigType = SINE_ENCODING,
        norm_cfg: ConfigType = dict(type='GN', num_groups=32),
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
        if not 0 < len(self.in_channels) <= num_feature_levels:
            raise ValueError(
                f'in_channels={self.in_channels} has {len(self.in_channels)} feature maps, but '
                f'num_feature_levels={num_feature_levels}. Give at least one map, and set '
                'num_feature_levels to the number of maps or more.'
            )

        def attention() -> nn.Module:
            return FusedMultiheadAttention(embed_dims, num_heads, dropout)

        def image_attention() -> nn.Module:
            return DeformableAttention(
                embed_dims, num_heads, num_feature_levels, num_points, dropout
            )

        sizes = (embed_dims, feedforward_channels, dropout, pre_norm)
        self.input_proj = ChannelMapper(
            self.in_channels,
            embed_dims,
            kernel_size=1,
            norm_cfg=norm_cfg,
            act_cfg=None,
            bias=True,
            num_outs=num_feature_levels,
        )
        # positions, then states
        self.query_embedding = nn.Embedding(num_queries, 2 * embed_dims)
        self.reference_points_fc = nn.Linear(embed_dims, 2)
        if num_encoder_layers:
            self.level_embed = nn.Parameter(torch.randn(num_feature_levels, embed_dims))
        self.encoder = build_encoder(num_encoder_layers, image_attention, *sizes, with_cp)
        self.decoder = ReferenceDecoder(
            build_decoder_layers(num_decoder_layers, attention, image_attention, *sizes),
            # none after post-norm layers, as in Deformable DETR
            nn.LayerNorm(embed_dims) if pre_norm else None,
        )

    def init_weights(self) -> None:
        """As in Deformable DETR: Xavier for matrices, offsets in a circle."""
        init_matrices(self.encoder, self.decoder)
        for m in self.modules():
            if isinstance(m, DeformableAttention):
                m.init_weights()
        xavier_init(self.reference_points_fc, distribution='uniform')
        if self.encoder is not None:
            nn.init.normal_(self.level_embed)
        # last, so that pretrained weights stay
        super().init_weights()

    def forward(
        self,
        feats: Sequence[Tensor],
        last_layer_only: bool = False,
        kpt_branches: Sequence[nn.Module] | None = None,
    ) -> TransformerOutput:
        """See :meth:`BaseTransformer.forward`."""
        maps = self.input_proj(self.used_maps(feats))
        levels = FeatureLevels.of(maps)
        memory = flatten_levels(maps)
        if self.encoder is not None:
            memory_pos = flatten_levels(
                [
                    self.positions(x) + embed[:, None, None]
                    for x, embed in zip(maps, self.level_embed)
                ]
            )
            memory = self.encoder(
                memory,
                memory_pos,
                # the reference point of each token is its center
                reference_points=levels.centers()[None, :, None],
                levels=levels,
            )

        query_pos, query = self.query_embedding.weight[None].chunk(2, dim=-1)
        with full_precision(self.reference_points_fc, query_pos) as (pos,):
            reference_points = self.reference_points_fc(pos).sigmoid()
        states, references = self.decoder(
            query.expand(memory.shape[0], -1, -1),
            reference_points.expand(memory.shape[0], -1, -1),
            last_layer_only,
            kpt_branches,
            key=memory,
            query_pos=query_pos,
            levels=levels,
        )
        return TransformerOutput(states, references)
