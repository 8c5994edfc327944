import torch
from mmdet.models.layers import SinePositionalEncoding
from mmpose.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class SineLearnedPositionalEncoding(SinePositionalEncoding):
    """DETR's sine encoding followed by a learned one.

    The sequential variant of `PRTR`_ (CVPR 2021, section 3.3) uses both for
    the tokens of a crop. Channels: sine y, sine x, learned y, learned x, each
    ``num_feats`` wide.

    Args:
        num_feats (int): Channels per axis and kind of encoding, a quarter of
            the width of the transformer
        size (tuple): Size of the feature map in [w, h]. Defaults to (10, 10)
        temperature (int): Temperature of the sine encoding. Defaults to 10000
        normalize (bool): Whether the sine encoding covers one period over the
            map, whatever its size. Defaults to ``True``

    .. _`PRTR`: https://arxiv.org/abs/2104.06976
    """

    def __init__(
        self,
        num_feats: int,
        size: tuple[int, int] = (10, 10),
        temperature: int = 10000,
        normalize: bool = True,
    ) -> None:
        super().__init__(num_feats, temperature, normalize)
        self.size = tuple(size)
        self.x_embed = nn.Parameter(torch.empty(num_feats, size[0]))
        self.y_embed = nn.Parameter(torch.empty(num_feats, size[1]))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Uniform in [0, 1), like DETR's learned encoding."""
        nn.init.uniform_(self.x_embed)
        nn.init.uniform_(self.y_embed)

    def forward(self, mask: Tensor) -> Tensor:
        """Forward function.

        Args:
            mask (Tensor): Non-zero for padded tokens, in shape (B, H, W). A
                map smaller than ``size`` gets the first embeddings

        Returns:
            Tensor: Positions in shape (B, 4 * num_feats, H, W).

        Raises:
            ValueError: If the map is larger than ``size``.
        """
        h, w = mask.shape[-2:]
        if w > self.size[0] or h > self.size[1]:
            raise ValueError(
                f'The feature map is {w}x{h} but the positional encoding has '
                f'embeddings for size={self.size}. Set its size to that of '
                'the map.'
            )
        x = self.x_embed[:, None, :w].expand(-1, h, -1)
        y = self.y_embed[:, :h, None].expand(-1, -1, w)
        learned = torch.cat((y, x)).expand(len(mask), -1, -1, -1)
        return torch.cat((super().forward(mask), learned), dim=1)
