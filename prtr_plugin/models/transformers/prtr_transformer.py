from collections.abc import Sequence

from mmpose.registry import MODELS
from mmpose.utils.typing import ConfigType
from torch import Tensor, nn

from ..layers import Decoder, FusedMultiheadAttention
from .base_transformer import (
    SINE_ENCODING,
    BaseTransformer,
    TransformerOutput,
    build_decoder_layers,
    build_encoder,
    init_matrices,
)


@MODELS.register_module()
class PRTRTransformer(BaseTransformer):
    """Encoder over a feature map and decoder over keypoint queries.

    The transformer of `DETR`_, as in PRTR (section 3.2): positions are added
    to queries and keys of every attention, never to the values.

    Args:
        in_channels (Sequence[int]): Channels of the feature maps. The last
            map is used
        num_queries (int): Number of keypoint queries Q. Defaults to 100
        embed_dims (int): Width D. Defaults to 256
        num_encoder_layers (int): Number of encoder layers, 0 for none.
            Defaults to 6
        num_decoder_layers (int): Number of decoder layers. Defaults to 6
        num_heads (int): Attention heads. Defaults to 8
        feedforward_channels (int): Hidden width of the feed-forward networks.
            Defaults to 2048
        dropout (float): Dropout everywhere. Defaults to 0.0
        pre_norm (bool): Whether to normalise before each sub-layer instead of
            after it. Defaults to ``False``, as in the paper
        with_cp (bool): Whether the encoder recomputes its activations in the
            backward pass instead of keeping them, which takes less memory and
            more time. Defaults to ``False``
        positional_encoding (dict): Config of the positional encoding of the
            feature map with D channels. Defaults to DETR's sine encoding
        init_cfg (dict, optional): Extra init config. Defaults to None

    Raises:
        ValueError: See :class:`BaseTransformer`.

    .. _`DETR`: https://arxiv.org/abs/2005.12872
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        num_queries: int = 100,
        embed_dims: int = 256,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        num_heads: int = 8,
        feedforward_channels: int = 2048,
        dropout: float = 0.0,
        pre_norm: bool = False,
        with_cp: bool = False,
        positional_encoding: ConfigType = SINE_ENCODING,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(
            in_channels[-1:],
            num_queries,
            embed_dims,
            num_encoder_layers,
            num_decoder_layers,
            num_heads,
            positional_encoding,
            init_cfg,
        )

        def attention() -> nn.Module:
            return FusedMultiheadAttention(embed_dims, num_heads, dropout)

        sizes = (embed_dims, feedforward_channels, dropout, pre_norm)
        self.input_proj = nn.Conv2d(self.in_channels[0], embed_dims, 1)
        self.query_embedding = nn.Embedding(num_queries, embed_dims)
        self.encoder = build_encoder(num_encoder_layers, attention, *sizes, with_cp)
        self.decoder = Decoder(
            build_decoder_layers(num_decoder_layers, attention, attention, *sizes),
            nn.LayerNorm(embed_dims),
        )

    def init_weights(self) -> None:
        """Xavier initialisation of all matrices of encoder and decoder."""
        init_matrices(self.encoder, self.decoder)
        # last, so that pretrained weights stay
        super().init_weights()

    def forward(
        self,
        feats: Sequence[Tensor],
        last_layer_only: bool = False,
        kpt_branches: Sequence[nn.Module] | None = None,
    ) -> TransformerOutput:
        """See :meth:`BaseTransformer.forward`."""
        (feat,) = self.used_maps(feats)
        x = self.input_proj(feat)
        memory = x.flatten(2).transpose(1, 2)
        memory_pos = self.positions(x).flatten(2).transpose(1, 2)
        if self.encoder is not None:
            memory = self.encoder(memory, memory_pos)
        query_pos = self.query_embedding.weight
        hidden_states = self.decoder(
            memory.new_zeros(memory.shape[0], *query_pos.shape),
            last_layer_only,
            key=memory,
            query_pos=query_pos[None],
            key_pos=memory_pos,
        )
        return TransformerOutput(hidden_states)
