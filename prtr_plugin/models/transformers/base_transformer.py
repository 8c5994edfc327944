from abc import ABCMeta, abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from mmcv.cnn.bricks.transformer import FFN
from mmengine.model import BaseModule
from mmpose.registry import MODELS
from mmpose.utils.typing import ConfigType
from torch import Tensor, nn

from ..layers import DecoderLayer, Encoder, EncoderLayer

SINE_ENCODING = dict(type='mmdet.SinePositionalEncoding', num_feats=128, normalize=True)


class TransformerOutput(NamedTuple):
    """What a transformer returns for its L decoder layers.

    Attributes:
        hidden_states (Tensor): Query states in shape (L, B, Q, D)
        references (Tensor | None): Reference points (x, y) in [0, 1] that
            coordinates are relative to, in shape (L, B, Q, 2)
        maps (Tensor | None): Logits of each query over the pixels of a map,
            in shape (L, B, Q, h, w)
    """

    hidden_states: Tensor
    references: Tensor | None = None
    maps: Tensor | None = None


class BaseTransformer(BaseModule, metaclass=ABCMeta):
    """Base class of the transformers of :class:`PRTRHead`.

    A transformer takes the feature maps of the backbone or neck and returns,
    for each of its decoder layers, the states of the keypoint queries and, if
    it has any, reference points and maps. It owns layers, positions, queries
    and reference points. A new one derives from this class, implements
    :meth:`forward`, and is registered in mmpose's ``MODELS``; the head uses
    it with ``transformer=dict(type=...)``.

    Args:
        in_channels (Sequence[int]): Channels of the used feature maps, which
            are the last ones
        num_queries (int): Number of keypoint queries Q
        embed_dims (int): Width D
        num_encoder_layers (int): Number of encoder layers, 0 for none
        num_decoder_layers (int): Number of decoder layers L
        num_heads (int): Attention heads
        positional_encoding (dict): Config of the positional encoding of the
            feature maps with D channels
        init_cfg (dict, optional): Extra init config. Defaults to None

    Raises:
        ValueError: If ``embed_dims`` is not a multiple of ``num_heads``, there
            is no decoder layer, or the positional encoding does not have
            ``embed_dims`` channels.
    """

    # whether coordinates are relative to reference points
    with_references = False
    # whether coordinates come from maps by a method `locate`, so that the head predicts none
    with_maps = False

    def __init__(
        self,
        in_channels: Sequence[int],
        num_queries: int,
        embed_dims: int,
        num_encoder_layers: int,
        num_decoder_layers: int,
        num_heads: int,
        positional_encoding: ConfigType,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if embed_dims % num_heads:
            raise ValueError(
                f'embed_dims={embed_dims} is not a multiple of num_heads={num_heads}. '
                'Change one of them.'
            )
        if num_decoder_layers < 1 or num_encoder_layers < 0:
            raise ValueError(
                'num_decoder_layers must be at least 1 and num_encoder_layers at least 0, but '
                f'got {num_decoder_layers} and {num_encoder_layers}.'
            )
        self.in_channels = list(in_channels)
        self.num_queries = num_queries
        self.embed_dims = embed_dims
        self.num_decoder_layers = num_decoder_layers
        self.positional_encoding = MODELS.build(positional_encoding)
        # the batch axis of the mask is 1: all images share the positions
        pos_dims = self.positional_encoding(torch.zeros(1, 1, 1)).shape[1]
        if pos_dims != embed_dims:
            raise ValueError(
                f'positional_encoding has {pos_dims} channels but embed_dims={embed_dims}. Set '
                'its num_feats to half of embed_dims.'
            )

    def used_maps(self, feats: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The feature maps that the transformer uses.

        Args:
            feats (Sequence[Tensor]): Feature maps, from fine to coarse, each
                in shape (B, C_l, H_l, W_l)

        Returns:
            tuple[Tensor, ...]: The last ones, one for each of ``in_channels``.

        Raises:
            ValueError: If their channels are not ``in_channels``.
        """
        used = tuple(feats[-len(self.in_channels) :])
        if [x.shape[1] for x in used] != self.in_channels:
            raise ValueError(
                f'The head has in_channels={self.in_channels} but the feature maps have '
                f'{[x.shape[1] for x in feats]} channels. Set in_channels, or out_indices of the '
                'backbone.'
            )
        return used

    def positions(self, x: Tensor) -> Tensor:
        """Positions in shape (1, D, H, W) of a map in shape (B, D, H, W)."""
        return self.positional_encoding(x.new_zeros(1, *x.shape[-2:])).to(x)

    @abstractmethod
    def forward(
        self,
        feats: Sequence[Tensor],
        last_layer_only: bool = False,
        kpt_branches: Sequence[nn.Module] | None = None,
    ) -> TransformerOutput:
        """Forward function.

        Args:
            feats (Sequence[Tensor]): Feature maps, see :meth:`used_maps`
            last_layer_only (bool): Whether to return only the last decoder
                layer, as in testing. Defaults to ``False``
            kpt_branches (Sequence[nn.Module], optional): For each decoder
                layer, a module that predicts the offsets (before the sigmoid)
                from its reference points to those of the next layer. Only with
                ``with_references``. Defaults to None

        Returns:
            TransformerOutput: Of all decoder layers, or of the last one only.
        """


def build_encoder(
    num_layers: int,
    attention: Callable[[], nn.Module],
    embed_dims: int,
    feedforward_channels: int,
    dropout: float = 0.0,
    pre_norm: bool = False,
    with_cp: bool = False,
) -> Encoder | None:
    """Build an encoder over image tokens.

    Args:
        num_layers (int): Number of layers
        attention (Callable): Makes the attention among the tokens of a layer
        embed_dims (int): Width D
        feedforward_channels (int): Hidden width of the feed-forward networks
        dropout (float): Dropout of the feed-forward networks. Defaults to 0.0
        pre_norm (bool): See :class:`PRTRTransformer`. Defaults to ``False``
        with_cp (bool): See :class:`PRTRTransformer`. Defaults to ``False``

    Returns:
        :obj:`Encoder` | None: The encoder, None without layers.
    """
    layers = [
        EncoderLayer(
            attention(),
            _build_ffn(embed_dims, feedforward_channels, dropout),
            _build_norms(embed_dims, 2),
            pre_norm,
        )
        for _ in range(num_layers)
    ]
    if not layers:
        return None
    # the output of pre-norm layers is a plain sum
    post_norm = nn.LayerNorm(embed_dims) if pre_norm else None
    return Encoder(layers, post_norm, num_layers if with_cp else 0)


def build_decoder_layers(
    num_layers: int,
    self_attention: Callable[[], nn.Module],
    cross_attention: Callable[[], nn.Module],
    embed_dims: int,
    feedforward_channels: int,
    dropout: float = 0.0,
    pre_norm: bool = False,
) -> list[nn.Module]:
    """Build the layers of a decoder over queries.

    Args:
        num_layers (int): Number of layers
        self_attention (Callable): Makes the attention among the queries
        cross_attention (Callable): Makes the attention to the image tokens
        embed_dims (int): Width D
        feedforward_channels (int): Hidden width of the feed-forward networks
        dropout (float): Dropout of the feed-forward networks. Defaults to 0.0
        pre_norm (bool): See :class:`PRTRTransformer`. Defaults to ``False``

    Returns:
        List[:obj:`DecoderLayer`]: The layers.
    """
    return [
        DecoderLayer(
            self_attention(),
            cross_attention(),
            _build_ffn(embed_dims, feedforward_channels, dropout),
            _build_norms(embed_dims, 3),
            pre_norm,
        )
        for _ in range(num_layers)
    ]


def _build_ffn(embed_dims: int, feedforward_channels: int, dropout: float) -> nn.Module:
    act_cfg = dict(type='ReLU', inplace=True)
    return FFN(embed_dims, feedforward_channels, ffn_drop=dropout, act_cfg=act_cfg)


def _build_norms(embed_dims: int, num: int) -> list[nn.Module]:
    return [nn.LayerNorm(embed_dims) for _ in range(num)]


def init_matrices(*modules: nn.Module | None) -> None:
    """Xavier initialisation of all matrices, as in DETR."""
    for module in filter(None, modules):
        for p in module.parameters():
            if p.dim() > 1:
                nn.init.xavier_uniform_(p)
