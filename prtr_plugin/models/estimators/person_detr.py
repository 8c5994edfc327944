from mmcv.cnn import build_norm_layer
from mmcv.cnn.bricks.transformer import FFN
from mmdet.models.detectors import DETR
from mmdet.models.layers import SinePositionalEncoding
from mmpose.registry import MODELS
from mmpose.utils.typing import ConfigType, OptSampleList
from torch import Tensor, nn

from ..layers import Decoder, DecoderLayer, Encoder, EncoderLayer, FusedMultiheadAttention


@MODELS.register_module()
class PersonDETR(DETR):
    """mmdet's DETR with fused attention, for people.

    Arguments, parameter names and results are those of mmdet's DETR, so its
    checkpoints can be loaded. Encoder and decoder are built from the layers of
    the keypoint transformer, which never store the attention weights.

    Args:
        *args: See the parent class
        **kwargs: See the parent class. ``encoder`` and ``decoder`` take the
            arguments of :func:`build_encoder` and :func:`build_decoder`.

    Raises:
        ValueError: If the positional encoding does not fit the width, a
            setting of mmdet's transformer is not supported here, or the head
            matches proposals that the detector does not have.
    """

    # whether the first outputs of the head are those of proposals
    with_proposals = False
    embed_dims: int

    def _init_layers(self) -> None:
        num_matches = getattr(self.bbox_head, 'num_proposal_matches', 1)
        if num_matches != 1 and not self.with_proposals:
            raise ValueError(
                f'num_proposal_matches={num_matches} of the bbox_head is for proposals, which '
                f'{type(self).__name__} does not have. Leave it out, or take ProposalPersonDETR.'
            )
        # the parent class has stored the configs under these names
        encoder: dict = self.encoder  # type: ignore[has-type]
        decoder: dict = self.decoder  # type: ignore[has-type]
        positional_encoding: dict = self.positional_encoding  # type: ignore[has-type]
        self.embed_dims = encoder['layer_cfg']['self_attn_cfg']['embed_dims']
        self.positional_encoding = SinePositionalEncoding(**positional_encoding)
        self.encoder = build_encoder(**encoder)
        self.decoder = build_decoder(**decoder)
        self.query_embedding = nn.Embedding(self.num_queries, self.embed_dims)
        num_feats = self.positional_encoding.num_feats
        if num_feats * 2 != self.embed_dims:
            raise ValueError(
                f'positional_encoding has num_feats={num_feats} but the transformer has '
                f'embed_dims={self.embed_dims}. Set num_feats to half of it.'
            )

    def pre_transformer(
        self, img_feats: tuple[Tensor], batch_data_samples: OptSampleList = None
    ) -> tuple[dict, dict]:
        """Prepare the inputs of encoder and decoder; see the parent class."""
        encoder_inputs, decoder_inputs = super().pre_transformer(img_feats, batch_data_samples)
        # computed in float32, but the model may be in another dtype
        pos = encoder_inputs['feat_pos'].to(img_feats[-1].dtype)
        encoder_inputs['feat_pos'] = decoder_inputs['memory_pos'] = pos
        return encoder_inputs, decoder_inputs

    def pre_decoder(self, memory: Tensor) -> tuple[dict, dict]:
        """Prepare the queries; see the parent class."""
        decoder_inputs, head_inputs = super().pre_decoder(memory)
        # all images share them, so they are projected only once
        decoder_inputs['query_pos'] = decoder_inputs['query_pos'][:1]
        return decoder_inputs, head_inputs

    def forward_decoder(
        self,
        query: Tensor,
        query_pos: Tensor,
        memory: Tensor,
        memory_mask: Tensor | None,
        memory_pos: Tensor,
    ) -> dict[str, Tensor]:
        """Forward with the decoder.

        Args:
            query (Tensor): Query states in shape (B, Q, D)
            query_pos (Tensor): Positions of the queries in shape
                (B or 1, Q, D)
            memory (Tensor): Encoded image tokens in shape (B, HW, D)
            memory_mask (Tensor, optional): ``True`` for padded tokens, in
                shape (B, HW)
            memory_pos (Tensor): Positions of the image tokens in shape
                (B, HW, D)

        Returns:
            dict: ``hidden_states`` of the L decoder layers in shape
            (L, B, Q, D).
        """
        hidden_states = self.decoder(
            query, key=memory, query_pos=query_pos, key_pos=memory_pos, key_padding_mask=memory_mask
        )
        return dict(hidden_states=hidden_states)


def build_encoder(num_layers: int, layer_cfg: ConfigType, num_cp: int = 0) -> Encoder:
    """Build an encoder from mmdet's config.

    Args:
        num_layers (int): Number of layers
        layer_cfg (dict): Config of a layer: ``self_attn_cfg``, ``ffn_cfg``
            and ``norm_cfg``, as for mmdet's ``DetrTransformerEncoderLayer``,
            and ``pre_norm``, see :class:`PRTRTransformer`
        num_cp (int): Number of layers that recompute their activations in the
            backward pass. Defaults to 0

    Returns:
        :obj:`Encoder`: The encoder.
    """

    def layer(
        self_attn_cfg: ConfigType,
        ffn_cfg: ConfigType,
        norm_cfg: ConfigType = dict(type='LN'),
        pre_norm: bool = False,
    ) -> EncoderLayer:
        self_attn = _build_attention(**self_attn_cfg)
        norms = _build_norms(norm_cfg, self_attn_cfg['embed_dims'], 2)
        return EncoderLayer(self_attn, FFN(**ffn_cfg), norms, pre_norm)

    layers = [layer(**layer_cfg) for _ in range(num_layers)]
    post_norm = None
    if layer_cfg.get('pre_norm', False):
        post_norm = nn.LayerNorm(layer_cfg['self_attn_cfg']['embed_dims'])
    return Encoder(layers, post_norm, num_cp)


def build_decoder(
    num_layers: int,
    layer_cfg: ConfigType,
    post_norm_cfg: ConfigType = dict(type='LN'),
    return_intermediate: bool = True,
) -> Decoder:
    """Build a decoder from mmdet's config.

    Args:
        num_layers (int): Number of layers
        layer_cfg (dict): Config of a layer: ``self_attn_cfg``,
            ``cross_attn_cfg``, ``ffn_cfg`` and ``norm_cfg``, as for mmdet's
            ``DetrTransformerDecoderLayer``, and ``pre_norm``
        post_norm_cfg (dict): Config of the final normalisation. Defaults to
            layer normalisation
        return_intermediate (bool): ``True``, as all layers are supervised

    Returns:
        :obj:`Decoder`: The decoder.

    Raises:
        ValueError: If ``return_intermediate`` is ``False``.
    """
    if not return_intermediate:
        raise ValueError(
            'PersonDETR does not support decoder.return_intermediate=False, since every decoder '
            'layer has a loss. Leave it out.'
        )

    def layer(
        self_attn_cfg: ConfigType,
        cross_attn_cfg: ConfigType,
        ffn_cfg: ConfigType,
        norm_cfg: ConfigType = dict(type='LN'),
        pre_norm: bool = False,
    ) -> DecoderLayer:
        self_attn = _build_attention(**self_attn_cfg)
        cross_attn = _build_attention(**cross_attn_cfg)
        norms = _build_norms(norm_cfg, self_attn_cfg['embed_dims'], 3)
        return DecoderLayer(self_attn, cross_attn, FFN(**ffn_cfg), norms, pre_norm)

    layers = [layer(**layer_cfg) for _ in range(num_layers)]
    return Decoder(
        layers, *_build_norms(post_norm_cfg, layer_cfg['self_attn_cfg']['embed_dims'], 1)
    )


def _build_attention(
    embed_dims: int, num_heads: int, dropout: float = 0.0, batch_first: bool = True
) -> FusedMultiheadAttention:
    if not batch_first:
        raise ValueError(
            'PersonDETR does not support attention with batch_first=False. Leave it out.'
        )
    return FusedMultiheadAttention(embed_dims, num_heads, dropout)


def _build_norms(norm_cfg: ConfigType, embed_dims: int, num: int) -> list[nn.Module]:
    return [build_norm_layer(norm_cfg, embed_dims)[1] for _ in range(num)]
