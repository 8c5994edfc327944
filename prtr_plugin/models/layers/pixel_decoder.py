from collections.abc import Sequence

import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmpose.utils.typing import ConfigType
from torch import Tensor, nn


class PixelDecoder(nn.Module):
    """A light top-down path from encoded tokens to a fine pixel map.

    The tokens are narrowed by a 1x1 convolution. From coarse to fine the map
    is enlarged, a projection of the next backbone map is added, and a 3x3
    convolution follows, as in a feature pyramid (`MaskFormer`_, section 3.3).

    Args:
        in_channels (Sequence[int]): Channels of the backbone maps that are
            added, from fine to coarse
        embed_dims (int): Channels D of the map of tokens
        out_channels (int): Channels C of the pixel map
        norm_cfg (dict): Config of the normalisation of the convolutions

    .. _`MaskFormer`: https://arxiv.org/abs/2107.06278
    """

    def __init__(
        self, in_channels: Sequence[int], embed_dims: int, out_channels: int, norm_cfg: ConfigType
    ) -> None:
        super().__init__()
        self.token_proj = nn.Conv2d(embed_dims, out_channels, 1)
        self.lateral_convs = nn.ModuleList(
            ConvModule(c, out_channels, 1, norm_cfg=norm_cfg, act_cfg=None) for c in in_channels
        )
        self.output_convs = nn.ModuleList(
            ConvModule(out_channels, out_channels, 3, padding=1, norm_cfg=norm_cfg)
            for _ in in_channels
        )
        self.pixel_proj = nn.Conv2d(out_channels, out_channels, 1)

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
        layers = zip(reversed(feats), reversed(self.lateral_convs), reversed(self.output_convs))
        for feat, lateral, output in layers:
            x = F.interpolate(x, feat.shape[-2:], mode='bilinear', align_corners=False)
            x = output(x + lateral(feat))
        return self.pixel_proj(x)
