import torch
from mmcv.cnn import build_norm_layer
from mmcv.cnn.bricks.transformer import FFN
from mmdet.models.layers import (
    DetrTransformerDecoder,
    DetrTransformerDecoderLayer,
    DetrTransformerEncoder,
    DetrTransformerEncoderLayer,
)
from mmengine.model import BaseModule, ModuleList
from torch import Tensor, nn

from .attention import FusedMultiheadAttention


class PRTREncoderLayer(DetrTransformerEncoderLayer):
    """mmdet's DETR encoder layer with fused attention and optional pre-norm.

    Args:
        pre_norm (bool): Whether the normalisation stands before each
            sub-layer instead of after it. Defaults to ``False``
        **kwargs: Arguments of the parent class.
    """

    # the attention to image features
    image_attention = FusedMultiheadAttention

    def __init__(self, pre_norm: bool = False, **kwargs) -> None:
        self.pre_norm = pre_norm
        super().__init__(**kwargs)

    def _init_layers(self) -> None:
        self.self_attn = _build(self.image_attention, self.self_attn_cfg)
        self.embed_dims = self.self_attn.embed_dims
        self.ffn = FFN(**self.ffn_cfg)
        self.norms = _build_norms(self.norm_cfg, self.embed_dims, 2)

    def forward(self, query: Tensor, query_pos: Tensor, **kwargs) -> Tensor:
        """Forward function.

        Args:
            query (Tensor): Image features in shape (B, HW, D)
            query_pos (Tensor): Their positions in shape (B or 1, HW, D)
            **kwargs: Other arguments of the attention, here
                ``key_padding_mask``.

        Returns:
            Tensor: Encoded features in shape (B, HW, D).
        """
        if self.pre_norm:
            query = self.self_attn(
                self.norms[0](query), identity=query, query_pos=query_pos, **kwargs
            )
            return self.ffn(self.norms[1](query), identity=query)
        query = self.norms[0](self.self_attn(query, query_pos=query_pos, **kwargs))
        return self.norms[1](self.ffn(query))


class PRTRDecoderLayer(DetrTransformerDecoderLayer):
    """mmdet's DETR decoder layer with fused attention and optional pre-norm.

    Args:
        pre_norm (bool): Whether the normalisation stands before each
            sub-layer instead of after it. Defaults to ``False``
        **kwargs: Arguments of the parent class.
    """

    # the attention to image features
    image_attention = FusedMultiheadAttention

    def __init__(self, pre_norm: bool = False, **kwargs) -> None:
        self.pre_norm = pre_norm
        super().__init__(**kwargs)

    def _init_layers(self) -> None:
        self.self_attn = _build(FusedMultiheadAttention, self.self_attn_cfg)
        self.cross_attn = _build(self.image_attention, self.cross_attn_cfg)
        self.embed_dims = self.self_attn.embed_dims
        self.ffn = FFN(**self.ffn_cfg)
        self.norms = _build_norms(self.norm_cfg, self.embed_dims, 3)

    def forward(self, query: Tensor, key: Tensor, query_pos: Tensor, **kwargs) -> Tensor:
        """Forward function.

        Args:
            query (Tensor): Query contents in shape (B, Q, D)
            key (Tensor): Encoded image features in shape (B, HW, D)
            query_pos (Tensor): Query embeddings in shape (B or 1, Q, D)
            **kwargs: Other arguments of the cross-attention, here ``key_pos``
                and ``key_padding_mask``.

        Returns:
            Tensor: Query contents in shape (B, Q, D).
        """
        cross = dict(key=key, query_pos=query_pos, **kwargs)
        if self.pre_norm:
            query = self.self_attn(self.norms[0](query), identity=query, query_pos=query_pos)
            query = self.cross_attn(self.norms[1](query), identity=query, **cross)
            return self.ffn(self.norms[2](query), identity=query)
        query = self.norms[0](self.self_attn(query, query_pos=query_pos))
        query = self.norms[1](self.cross_attn(query, **cross))
        return self.norms[2](self.ffn(query))


class PRTREncoder(DetrTransformerEncoder):
    """mmdet's DETR encoder made of :class:`PRTREncoderLayer`.

    With pre-norm layers a final normalisation is added, since their output is
    a plain sum.
    """

    layer_type = PRTREncoderLayer

    def _init_layers(self) -> None:
        self.layers = ModuleList(self.layer_type(**self.layer_cfg) for _ in range(self.num_layers))
        self.embed_dims = self.layers[0].embed_dims
        self.post_norm = nn.Identity()
        if self.layers[0].pre_norm:
            self.post_norm = nn.LayerNorm(self.embed_dims)

    def forward(self, query: Tensor, query_pos: Tensor, **kwargs) -> Tensor:
        """See :meth:`PRTREncoderLayer.forward`."""
        for layer in self.layers:
            query = layer(query, query_pos, **kwargs)
        return self.post_norm(query)


class PRTRDecoder(DetrTransformerDecoder):
    """mmdet's DETR decoder made of :class:`PRTRDecoderLayer`.

    The final normalisation is applied to the output of every layer that is
    returned. Which ones are is chosen per call, because only training needs
    the intermediate ones.
    """

    layer_type = PRTRDecoderLayer

    def _init_layers(self) -> None:
        self.layers = ModuleList(self.layer_type(**self.layer_cfg) for _ in range(self.num_layers))
        self.embed_dims = self.layers[0].embed_dims
        self.post_norm = build_norm_layer(self.post_norm_cfg, self.embed_dims)[1]

    def forward(self, query: Tensor, return_intermediate: bool = True, **kwargs) -> Tensor:
        """Forward function.

        Args:
            query (Tensor): Initial query contents in shape (B, Q, D)
            return_intermediate (bool): Whether to return the output of every
                layer. Defaults to ``True``
            **kwargs: Arguments of :meth:`PRTRDecoderLayer.forward`.

        Returns:
            Tensor: Normalised outputs in shape (L, B, Q, D), where L is the
            number of layers, or 1 without intermediate outputs.
        """
        outputs = []
        for layer in self.layers:
            query = layer(query, **kwargs)
            outputs.append(query)
        if not return_intermediate:
            outputs = outputs[-1:]
        return self.post_norm(torch.stack(outputs))


class PRTRTransformer(BaseModule):
    """Encoder over image features and decoder over keypoint queries.

    The transformer of `DETR`_ that PRTR (section 3.2) builds on: positions
    are added to queries and keys of every attention, never to the values.

    Args:
        embed_dims (int): Width D
        num_encoder_layers (int): Number of encoder layers, 0 for none.
            Defaults to 6
        num_decoder_layers (int): Number of decoder layers. Defaults to 6
        num_heads (int): Attention heads. Defaults to 8
        feedforward_channels (int): Hidden width of the feed-forward networks.
            Defaults to 2048
        dropout (float): Dropout everywhere. Defaults to 0.0
        pre_norm (bool): Normalise before each sub-layer instead of after it.
            Defaults to ``False``, as the paper
        init_cfg (dict, optional): Extra init config. Defaults to None

    Raises:
        ValueError: If ``embed_dims`` is not a multiple of ``num_heads``, or
            there is no decoder layer.

    .. _`DETR`: https://arxiv.org/abs/2005.12872
    """

    encoder_type = PRTREncoder
    decoder_type = PRTRDecoder
    # arguments of the attention to the image features that variants add
    image_attention_cfg = dict()

    def __init__(
        self,
        embed_dims: int,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        num_heads: int = 8,
        feedforward_channels: int = 2048,
        dropout: float = 0.0,
        pre_norm: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if embed_dims % num_heads:
            raise ValueError(f'embed_dims={embed_dims} is not a multiple of num_heads={num_heads}')
        if num_decoder_layers < 1 or num_encoder_layers < 0:
            raise ValueError(
                'num_decoder_layers must be at least 1 and num_encoder_layers '
                f'at least 0, but got {num_decoder_layers} and '
                f'{num_encoder_layers}'
            )
        attn_cfg = dict(embed_dims=embed_dims, num_heads=num_heads, dropout=dropout)
        image_attn_cfg = dict(attn_cfg, **self.image_attention_cfg)
        layer_cfg = dict(
            pre_norm=pre_norm,
            ffn_cfg=dict(
                embed_dims=embed_dims,
                feedforward_channels=feedforward_channels,
                ffn_drop=dropout,
                act_cfg=dict(type='ReLU', inplace=True),
            ),
        )
        self.encoder = None
        if num_encoder_layers:
            self.encoder = self.encoder_type(
                num_encoder_layers, dict(self_attn_cfg=image_attn_cfg, **layer_cfg)
            )
        self.decoder = self.decoder_type(
            num_decoder_layers,
            dict(self_attn_cfg=attn_cfg, cross_attn_cfg=image_attn_cfg, **layer_cfg),
        )

    def init_weights(self) -> None:
        """Xavier initialisation of all matrices, as DETR."""
        super().init_weights()
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.xavier_uniform_(p)

    def forward(
        self,
        feats: Tensor,
        feats_pos: Tensor,
        query_pos: Tensor,
        padding_mask: Tensor | None = None,
        return_intermediate: bool = True,
    ) -> Tensor:
        """Forward function.

        Args:
            feats (Tensor): Image features in shape (B, D, H, W)
            feats_pos (Tensor): Their positions in shape (B or 1, D, H, W)
            query_pos (Tensor): Query embeddings in shape (Q, D)
            padding_mask (Tensor, optional): ``True`` for padded places, in
                shape (B, H, W)
            return_intermediate (bool): Whether to return the output of every
                decoder layer. Defaults to ``True``

        Returns:
            Tensor: Query contents in shape (L, B, Q, D), with L = 1 without
            intermediate outputs.
        """
        memory = feats.flatten(2).transpose(1, 2)
        memory_pos = feats_pos.flatten(2).transpose(1, 2)
        if padding_mask is not None:
            padding_mask = padding_mask.flatten(1)
        if self.encoder is not None:
            memory = self.encoder(memory, memory_pos, key_padding_mask=padding_mask)
        query = memory.new_zeros(memory.shape[0], *query_pos.shape)
        return self.decoder(
            query,
            key=memory,
            query_pos=query_pos[None],
            key_pos=memory_pos,
            key_padding_mask=padding_mask,
            return_intermediate=return_intermediate,
        )


def _build(attention: type[nn.Module], cfg: dict) -> nn.Module:
    # mmdet adds the flag to the config; there is no other order here
    return attention(**{k: v for k, v in cfg.items() if k != 'batch_first'})


def _build_norms(norm_cfg: dict, embed_dims: int, num: int) -> ModuleList:
    return ModuleList(build_norm_layer(norm_cfg, embed_dims)[1] for _ in range(num))
