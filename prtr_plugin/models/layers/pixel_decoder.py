from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmpose.utils.typing import ConfigType
from torch import Tensor, nn


class PixelDecoder(nn.Module):
    """A light top-down path from encoded tokens to a fine pixel map.

    The tokens are projected by a 1x1 convolution. From coarse to fine a
    deconvolution doubles the size of the map, as in the heads of
    `SimpleBaseline`_, and a projection of the next backbone map is added.

    Args:
        in_channels (Sequence[int]): Channels of the backbone maps that are
            added, from fine to coarse
        embed_dims (int): Channels D of the map of tokens
        out_channels (int): Number of channels C of all maps
        norm_cfg (dict): Config of the normalisation. Defaults to batch
            normalisation

    .. _`SimpleBaseline`: https://arxiv.org/abs/1804.06208
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        embed_dims: int,
        out_channels: int,
        norm_cfg: ConfigType = dict(type='BN'),
    ) -> None:
        super().__init__()
        self.token_proj = nn.Conv2d(embed_dims, out_channels, 1)
        self.lateral_convs = nn.ModuleList(
            ConvModule(c, out_channels, 1, norm_cfg=norm_cfg, act_cfg=None) for c in in_channels
        )
        self.deconvs = nn.ModuleList(
            ConvModule(
                out_channels,
                out_channels,
                4,
                stride=2,
                padding=1,
                conv_cfg=dict(type='deconv'),
                norm_cfg=norm_cfg,
                act_cfg=None,
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
        for feat, lateral, deconv in zip(
            reversed(feats), reversed(self.lateral_convs), reversed(self.deconvs)
        ):
            x = deconv(x)
            # maps whose sizes are not doubled, as of odd input sizes, which an exported model meets
            if torch.jit.is_tracing() or x.shape[-2:] != feat.shape[-2:]:
                x = F.interpolate(x, feat.shape[-2:], mode='bilinear', align_corners=False)
            x = F.relu(x + lateral(feat))
        return x
