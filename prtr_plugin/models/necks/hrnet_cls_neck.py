from collections.abc import Sequence
from itertools import pairwise

from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule, ModuleList
from mmpose.models.backbones.resnet import Bottleneck, ResLayer
from mmpose.registry import MODELS
from mmpose.utils.typing import OptMultiConfig
from torch import Tensor, nn


@MODELS.register_module()
class HRNetClsNeck(BaseModule):
    """Fuse the branches of HRNet into one map, like its classification head.

    Each branch is widened by a bottleneck block. Starting from the finest
    branch, the sum so far goes through a stride-2 convolution and is added to
    the next branch; a 1x1 convolution follows (`HRNet`_, appendix on
    classification). PRTR feeds this map to its transformer.

    Args:
        in_channels (Sequence[int]): Channels of the branches, fine to coarse.
            Defaults to those of HRNet-W32
        mid_channels (Sequence[int]): Channels of the widened branches.
            Defaults to (128, 256, 512, 1024)
        out_channels (int): Channels of the output. Defaults to 2048
        norm_cfg (dict): Config of the normalisation layers. Defaults to BN
        init_cfg (dict | list, optional): Initialisation config. Defaults to
            Kaiming for convolutions and 1 for normalisations

    Raises:
        ValueError: If ``in_channels`` is empty or not as long as
            ``mid_channels``.

    .. _`HRNet`: https://arxiv.org/abs/1908.07919
    """

    def __init__(
        self,
        in_channels: Sequence[int] = (32, 64, 128, 256),
        mid_channels: Sequence[int] = (128, 256, 512, 1024),
        out_channels: int = 2048,
        norm_cfg: dict = dict(type='BN'),
        init_cfg: OptMultiConfig = [
            dict(type='Kaiming', layer='Conv2d'),
            dict(type='Constant', val=1, layer=['_BatchNorm', 'GroupNorm']),
        ],
    ) -> None:
        super().__init__(init_cfg)
        if len(in_channels) != len(mid_channels) or not in_channels:
            raise ValueError(
                'in_channels and mid_channels need one number per branch, but '
                f'got {in_channels} and {mid_channels}.'
            )
        self.in_channels = in_channels
        self.incre_modules = ModuleList(
            ResLayer(Bottleneck, 1, in_c, mid_c, norm_cfg=norm_cfg)
            for in_c, mid_c in zip(in_channels, mid_channels)
        )
        self.downsamp_modules = ModuleList(
            self._conv_norm_relu(fine, coarse, 3, norm_cfg)
            for fine, coarse in pairwise(mid_channels)
        )
        self.final_layer = self._conv_norm_relu(mid_channels[-1], out_channels, 1, norm_cfg)

    @staticmethod
    def _conv_norm_relu(
        in_channels: int, out_channels: int, kernel_size: int, norm_cfg: dict
    ) -> nn.Sequential:
        # the convolution has a bias, as in the published checkpoints
        return nn.Sequential(
            nn.Conv2d(
                in_channels,
                out_channels,
                kernel_size,
                stride=2 if kernel_size == 3 else 1,
                padding=kernel_size // 2,
            ),
            build_norm_layer(norm_cfg, out_channels)[1],
            nn.ReLU(inplace=True),
        )

    def forward(self, feats: Sequence[Tensor]) -> tuple[Tensor]:
        """Forward function.

        Args:
            feats (Sequence[Tensor]): One map per branch, fine to coarse, in
                shapes (B, C_i, H / 2^i, W / 2^i)

        Returns:
            tuple[Tensor]: One map in shape (B, out_channels, H', W') with the
            size of the coarsest branch.

        Raises:
            ValueError: If the number of maps is not the number of branches.
        """
        if len(feats) != len(self.in_channels):
            raise ValueError(
                f'HRNetClsNeck was built for {len(self.in_channels)} branches '
                f'but got {len(feats)} feature maps. Let the backbone return '
                'all branches (multiscale_output=True in the last stage).'
            )
        x = self.incre_modules[0](feats[0])
        for i, downsamp in enumerate(self.downsamp_modules, start=1):
            x = self.incre_modules[i](feats[i]) + downsamp(x)
        return (self.final_layer(x),)
