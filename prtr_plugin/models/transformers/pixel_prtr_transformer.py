import math
from collections.abc import Sequence

import torch
from mmdet.models.layers import MLP
from mmpose.registry import MODELS
from mmpose.utils.typing import ConfigType
from torch import Tensor, nn

from ..layers import Decoder, FusedMultiheadAttention, PixelDecoder
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
    :class:`PRTRTransformer`. A light pixel decoder upsamples the encoded
    tokens to the resolution of the finest given map. After each decoder layer
    the state of a query becomes a kernel (`MaskFormer`_), whose product with
    the pixel map is a map of logits, which learn from the loss of the maps,
    :class:`KeypointMapLoss`. In training the coordinates of the query are the
    expected position under the softmax (integral regression, `Sun et al.`_)
    within a window around the peak, which far pixels cannot bias. In testing
    they are the point of the highest expected OKS, :func:`find_peaks`, unless
    ``peak_sigma`` is 0. The share of a window around it in the whole softmax
    tells sure queries from unsure ones.

    Args:
        in_channels (Sequence[int]): Channels of the feature maps, from fine
            to coarse. The last map becomes the tokens, and the pixel map has
            the size of the first
        num_queries (int): Number of keypoint queries Q. Defaults to 100
        embed_dims (int): Width D. Defaults to 256
        pixel_channels (int): Channels C of the pixel map. Defaults to 192
        num_encoder_layers (int): See :class:`PRTRTransformer`. Defaults to 1
        num_decoder_layers (int): See :class:`PRTRTransformer`. Defaults to 2
        window (int): Side of the window around the peak in pixels, an odd
            number. Defaults to 5
        peak_sigma (float): Standard deviation of the Gaussian of
            :func:`find_peaks` in pixels. With 0, testing finds coordinates as
            training does. Defaults to 1.5
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
        ValueError: If ``window`` is not odd and positive, or ``peak_sigma``
            negative or no finite number. Also see :class:`BaseTransformer`.

    .. _`MaskFormer`: https://arxiv.org/abs/2107.06278
    .. _`Sun et al.`: https://arxiv.org/abs/1711.08229
    """

    with_maps = True

    def __init__(
        self,
        in_channels: Sequence[int],
        num_queries: int = 100,
        embed_dims: int = 256,
        pixel_channels: int = 192,
        num_encoder_layers: int = 1,
        num_decoder_layers: int = 2,
        window: int = 5,
        peak_sigma: float = 1.5,
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
        if not (isinstance(peak_sigma, int | float) and 0 <= peak_sigma < math.inf):
            raise ValueError(
                'peak_sigma must be a positive, finite number of pixels, or 0 to find coordinates '
                f'as in training, but is {peak_sigma!r}.'
            )
        self.window = window
        self.peak_sigma = peak_sigma

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

    def init_weights(self) -> None:
        """Xavier initialisation of encoder and decoder. A query starts with
        its static kernel, if it has one.
        """
        init_matrices(self.encoder, self.decoder)
        if self.kernel_embedding is not None:
            nn.init.zeros_(self.kernel_branch.layers[-1].weight)
            nn.init.zeros_(self.kernel_branch.layers[-1].bias)
        # last, so that pretrained weights stay
        super().init_weights()

    def forward(
        self,
        feats: Sequence[Tensor],
        last_layer_only: bool = False,
        kpt_branches: Sequence[nn.Module] | None = None,
    ) -> TransformerOutput:
        """See :meth:`BaseTransformer.forward`."""
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
        return TransformerOutput(states, maps=maps * pixels.shape[1] ** -0.5)

    def locate(self, probs: Tensor, shared: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Coordinates and confidences of maps.

        Args:
            probs (Tensor): Probabilities of the pixels in shape (..., h, w)
            shared (Tensor, optional): Maps in which the peaks are sought, in
                the same shape. Defaults to ``probs``

        Returns:
            tuple:
            - points (Tensor): Coordinates (x, y), relative to the map, in
                shape (..., 2)
            - confidences (Tensor): Share of the window around the peak in
                ``probs``, in shape (...)
        """
        shared = probs if shared is None else shared
        if self.training or not self.peak_sigma:
            return locate_peaks(probs, self.window, shared.flatten(-2).argmax(dim=-1))
        points, peaks = find_peaks(shared, self.peak_sigma)
        return points, _mask_windows(probs, self.window, peaks).sum(dim=(-2, -1))


def softmax_maps(maps: Tensor) -> Tensor:
    """Probabilities of the pixels of maps of logits in shape (..., h, w)."""
    return maps.flatten(-2).softmax(dim=-1).view_as(maps)


def find_peaks(probs: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    """Find the points of the highest expected OKS.

    A joint is at pixel j with probability P(j), and the OKS of a point x falls
    off as a Gaussian, so that its expectation is the sum of
    P(j) exp(-(x - j)^2 / (2 sigma^2)). The best pixel is moved to the vertex
    of the parabolas through the logarithm at its neighbours, as in `DARK`_,
    by half a pixel at most. From a ``sigma`` of about 1 on, their error is
    small. The largest probability itself may be an isolated pixel beside a
    broad region with more of them.

    Args:
        probs (Tensor): Probabilities of the pixels in shape (..., h, w)
        sigma (float): Standard deviation in pixels

    Returns:
        tuple:
        - points (Tensor): Positions (x, y) relative to the map, in shape
            (..., 2). NaN where a map has a NaN
        - peaks (Tensor): Indices of the best pixels, row by row, in shape
            (...)

    .. _`DARK`: https://arxiv.org/abs/1910.06278
    """
    h, w = probs.shape[-2:]

    def kernel(size: int) -> Tensor:
        # with one more position on either side: every pixel has neighbours
        positions = torch.arange(-1, size + 1, device=probs.device)
        distances = (positions[1:-1, None] - positions) / sigma
        return (-0.5 * distances.square()).exp().to(probs)

    # autocast would round neighbours to the same value
    with torch.autocast(probs.device.type, enabled=False):
        rows = (probs.transpose(-1, -2) @ kernel(h)).transpose(-1, -2)
        gains = rows @ kernel(w)
    peaks = gains[..., 1:-1, 1:-1].flatten(-2).argmax(dim=-1)
    x, y = peaks % w, peaks // w
    gains, best = gains.flatten(-2), (y + 1) * (w + 2) + x + 1
    shifts = []
    for step in (1, w + 2):
        around = torch.stack((best - step, best, best + step), dim=-1)
        around = gains.gather(-1, around).clamp(min=torch.finfo(gains.dtype).tiny).log()
        before, here, after = around.unbind(-1)
        # no neighbour is better, but all may be equal
        bend = (2 * here - before - after).clamp(min=1e-6)
        shifts.append(0.5 * (after - before) / bend)
    points = torch.stack(((x + 0.5 + shifts[0]) / w, (y + 0.5 + shifts[1]) / h), dim=-1)
    return points, peaks


def locate_peaks(probs: Tensor, window: int, peaks: Tensor) -> tuple[Tensor, Tensor]:
    """Find the expected positions around the peaks of maps.

    Args:
        probs (Tensor): Probabilities of the pixels in shape (..., h, w)
        window (int): Side of the window around the peak outside of which
            pixels have no weight
        peaks (Tensor): Indices of the pixels, row by row, in the middle of
            the windows in shape (...)

    Returns:
        tuple:
        - points (Tensor): Expected positions (x, y) within the window,
            relative to the map, in shape (..., 2)
        - shares (Tensor): Share of the window in the whole map, from 0 to 1,
            in shape (...)
    """
    h, w = probs.shape[-2:]
    probs = _mask_windows(probs, window, peaks)
    shares = probs.sum(dim=(-2, -1))
    # a window around the peak of another map may be empty
    total = shares.clamp(min=torch.finfo(shares.dtype).tiny)
    rows, columns = (torch.arange(size, device=probs.device) + 0.5 for size in (h, w))
    x = (probs.sum(dim=-2) * columns / w).sum(dim=-1) / total
    y = (probs.sum(dim=-1) * rows / h).sum(dim=-1) / total
    return torch.stack((x, y), dim=-1), shares


def _mask_windows(probs: Tensor, window: int, peaks: Tensor) -> Tensor:
    """Set the probabilities outside of the windows to 0."""
    h, w = probs.shape[-2:]
    rows, columns = (torch.arange(size, device=probs.device) for size in (h, w))
    far_rows = (rows - peaks[..., None] // w).abs() > window // 2
    far_columns = (columns - peaks[..., None] % w).abs() > window // 2
    return probs.masked_fill(far_rows[..., None] | far_columns[..., None, :], 0)
