"""Layers of a DETR-style transformer, which take their modules as arguments.

The attention modules add their output to ``identity`` (mmcv's convention), as
does its feed-forward network. So one layer serves full and deformable
attention, with the normalisation after or before each sub-layer.
"""

from collections.abc import Sequence

import torch
from mmdet.models.layers import inverse_sigmoid
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class EncoderLayer(nn.Module):
    """Self-attention among image tokens and a feed-forward network.

    Args:
        self_attn (nn.Module): Attention among the tokens
        ffn (nn.Module): Feed-forward network
        norms (Sequence[nn.Module]): Normalisations of the two sub-layers
        pre_norm (bool): Whether to normalise before each sub-layer instead of
            after it. Defaults to ``False``
    """

    def __init__(
        self,
        self_attn: nn.Module,
        ffn: nn.Module,
        norms: Sequence[nn.Module],
        pre_norm: bool = False,
    ) -> None:
        super().__init__()
        self.self_attn = self_attn
        self.ffn = ffn
        self.norms = nn.ModuleList(norms)
        self.pre_norm = pre_norm

    def forward(self, query: Tensor, query_pos: Tensor, **kwargs) -> Tensor:
        """Forward function.

        Args:
            query (Tensor): Image tokens in shape (B, N, D)
            query_pos (Tensor): Their positions in shape (B or 1, N, D)
            **kwargs: Other arguments of the attention, such as
                ``key_padding_mask``.

        Returns:
            Tensor: Encoded tokens in shape (B, N, D).
        """
        attend = dict(query_pos=query_pos, **kwargs)
        if self.pre_norm:
            query = self.self_attn(self.norms[0](query), identity=query, **attend)
            return self.ffn(self.norms[1](query), identity=query)
        query = self.norms[0](self.self_attn(query, **attend))
        return self.norms[1](self.ffn(query))


class DecoderLayer(nn.Module):
    """Self-attention among queries, cross-attention and a feed-forward network.

    Args:
        self_attn (nn.Module): Attention among the queries
        cross_attn (nn.Module): Attention from the queries to the image tokens
        ffn (nn.Module): Feed-forward network
        norms (Sequence[nn.Module]): Normalisations of the three sub-layers
        pre_norm (bool): Whether to normalise before each sub-layer instead of
            after it. Defaults to ``False``
    """

    def __init__(
        self,
        self_attn: nn.Module,
        cross_attn: nn.Module,
        ffn: nn.Module,
        norms: Sequence[nn.Module],
        pre_norm: bool = False,
    ) -> None:
        super().__init__()
        self.self_attn = self_attn
        self.cross_attn = cross_attn
        self.ffn = ffn
        self.norms = nn.ModuleList(norms)
        self.pre_norm = pre_norm

    def forward(self, query: Tensor, key: Tensor, query_pos: Tensor, **kwargs) -> Tensor:
        """Forward function.

        Args:
            query (Tensor): Query states in shape (B, Q, D)
            key (Tensor): Encoded image tokens in shape (B, N, D)
            query_pos (Tensor): Query embeddings in shape (B or 1, Q, D)
            **kwargs: Other arguments of the cross-attention, such as
                ``key_pos`` and ``key_padding_mask``.

        Returns:
            Tensor: Query states in shape (B, Q, D).
        """
        cross = dict(key=key, query_pos=query_pos, **kwargs)
        if self.pre_norm:
            query = self.self_attn(self.norms[0](query), identity=query, query_pos=query_pos)
            query = self.cross_attn(self.norms[1](query), identity=query, **cross)
            return self.ffn(self.norms[2](query), identity=query)
        query = self.norms[0](self.self_attn(query, query_pos=query_pos))
        query = self.norms[1](self.cross_attn(query, **cross))
        return self.norms[2](self.ffn(query))


class Encoder(nn.Module):
    """Encoder layers, one after the other.

    Args:
        layers (Sequence[nn.Module]): Layers like :class:`EncoderLayer`
        post_norm (nn.Module, optional): Normalisation of the output. Defaults
            to none
        num_cp (int): Number of layers, counted from the first, that recompute
            their activations in the backward pass instead of keeping them,
            which takes less memory and more time. Defaults to 0
    """

    def __init__(
        self, layers: Sequence[nn.Module], post_norm: nn.Module | None = None, num_cp: int = 0
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.post_norm = nn.Identity() if post_norm is None else post_norm
        self.num_cp = num_cp

    def forward(self, query: Tensor, query_pos: Tensor, **kwargs) -> Tensor:
        """See :meth:`EncoderLayer.forward`."""
        for i, layer in enumerate(self.layers):
            if i < self.num_cp and torch.is_grad_enabled():
                query = checkpoint(layer, query, query_pos, use_reentrant=False, **kwargs)
            else:
                query = layer(query, query_pos, **kwargs)
        return self.post_norm(query)


class Decoder(nn.Module):
    """Decoder layers, one after the other, that returns the states of each.

    Args:
        layers (Sequence[nn.Module]): Layers like :class:`DecoderLayer`
        post_norm (nn.Module, optional): Normalisation of the returned states,
            the same for all layers. Defaults to none
    """

    def __init__(self, layers: Sequence[nn.Module], post_norm: nn.Module | None = None) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.post_norm = nn.Identity() if post_norm is None else post_norm

    def forward(self, query: Tensor, last_layer_only: bool = False, **kwargs) -> Tensor:
        """Forward function.

        Args:
            query (Tensor): Initial query states in shape (B, Q, D)
            last_layer_only (bool): Whether to return only the states of the
                last layer, as in testing. Defaults to ``False``
            **kwargs: Other arguments of :meth:`DecoderLayer.forward`.

        Returns:
            Tensor: Query states in shape (L, B, Q, D), where L is the number
            of layers, or 1 with ``last_layer_only``.
        """
        states: list[Tensor] = []
        for layer in self.layers:
            query = layer(query, **kwargs)
            states.append(query)
        return self.post_norm(torch.stack(states[-1:] if last_layer_only else states))


class ReferenceDecoder(Decoder):
    """:class:`Decoder` of layers that attend around reference points."""

    def forward(  # type: ignore[override]
        self,
        query: Tensor,
        reference_points: Tensor,
        last_layer_only: bool = False,
        kpt_branches: Sequence[nn.Module] | None = None,
        **kwargs,
    ) -> tuple[Tensor, Tensor]:
        """Forward function.

        Args:
            query (Tensor): Initial query states in shape (B, Q, D)
            reference_points (Tensor): Points (x, y) in [0, 1] in shape
                (B, Q, 2)
            last_layer_only (bool): See :meth:`Decoder.forward`
            kpt_branches (Sequence[nn.Module], optional): For each layer, a
                module that predicts from its states the offsets (before the
                sigmoid) from its reference points to those of the next layer.
                Defaults to None, for the same points in all layers
            **kwargs: Other arguments of :meth:`DecoderLayer.forward`.

        Returns:
            tuple:
            - states (Tensor): Query states in shape (L, B, Q, D)
            - references (Tensor): The reference points of these layers in
                shape (L, B, Q, 2)
        """
        states: list[Tensor] = []
        references: list[Tensor] = []
        for i, layer in enumerate(self.layers):
            if kpt_branches is not None and i > 0:
                moved = kpt_branches[i - 1](states[-1]) + inverse_sigmoid(reference_points)
                # each layer is trained only by its own offsets
                reference_points = moved.sigmoid().detach()
            query = layer(query, reference_points=reference_points[:, :, None], **kwargs)
            states.append(self.post_norm(query))
            references.append(reference_points)
        if last_layer_only:
            states, references = states[-1:], references[-1:]
        return torch.stack(states), torch.stack(references)
