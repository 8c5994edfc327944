from collections.abc import Sequence

import torch.nn.functional as F
from mmcv.cnn import ConvModule, DepthwiseSeparableConvModule
from mmpose.utils.typing import ConfigType
from torch import Tensor, nn


class PixelDecoder(nn.Module):
    """A light top-down path from encoded tokens to a fine pixel map.

    The tokens are projected by a 1x1 convolution. From coarse to fine the map
    is enlarged, a projection of the next backbone map is added, and residual
    depthwise separable convolutions follow. Otherwise it is a feature pyramid
    (`MaskFormer`_, section 3.3).

    Args:
        in_channels (Sequence[int]): Channels of the backbone maps that are
            added, from fine to coarse
        embed_dims (int): Channels D of the map of tokens
        out_channels (int): Channels C of the pixel map
        num_blocks (int): Number of convolutions after each enlargement.
            Defaults to 2
        kernel_size (int): Side of the depthwise kernels. Defaults to 3
        norm_cfg (dict): Config of the normalisation of the convolutions.
            Defaults to batch normalisation

    Raises:
        ValueError: If ``kernel_size`` is even.

    .. _`MaskFormer`: https://arxiv.org/abs/2107.06278
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        embed_dims: int,
        out_channels: int,
        num_blocks: int = 2,
        kernel_size: int = 3,
        norm_cfg: ConfigType = dict(type='BN'),
    ) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(
                f'kernel_size of PixelDecoder must be odd, so that maps keep their size, but is '
                f'{kernel_size}.'
            )
        self.token_proj = nn.Conv2d(embed_dims, out_channels, 1)
        self.lateral_convs = nn.ModuleList(
            ConvModule(c, out_channels, 1, norm_cfg=norm_cfg, act_cfg=None) for c in in_channels
        )
        self.blocks = nn.ModuleList(
            nn.ModuleList(
                DepthwiseSeparableConvModule(
                    out_channels,
                    out_channels,
                    kernel_size,
                    padding=kernel_size // 2,
                    dw_act_cfg=None,
                    pw_norm_cfg=norm_cfg,
                    pw_act_cfg=None,
                )
                for _ in range(num_blocks)
            )
            for _ in in_channels
        )

    def forward(self, tokens: Tensor, feats: Sequence[Tensor]) -> Tensor:
        """Forward function.

        Args:
            tokens (Tensor): Encoded tokens as a map in shape (B, D, H, W)
            feats (Sequence[Tensor]): Finer backbone maps, from fine to
                coarse, in shapes (B, C_l, H_l, W_l)

        Returns:
            Tensor: Pixel map in shape (B, C, H_0, W_0), of the size of the
            finest map.
        """
        x = self.token_proj(tokens)
        levels = zip(reversed(feats), reversed(self.lateral_convs), reversed(self.blocks))
        for feat, lateral, blocks in levels:
            x = F.interpolate(x, feat.shape[-2:], mode='bilinear', align_corners=False)
            x = F.relu(x + lateral(feat))
            for block in blocks.children():
                x = F.relu(x + block(x))
        return x
