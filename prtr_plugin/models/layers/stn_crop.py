from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

Points = TypeVar('Points', Tensor, np.ndarray)


class STNCrop(nn.Module):
    """Differentiable crops around boxes, from several feature levels.

    The spatial transformer of the sequential variant of `PRTR`_ (CVPR 2021,
    section 3.3): a regular grid over each box, enlarged by ``zoom``, is
    sampled bilinearly from all levels, whose channels are concatenated.
    Gradients reach the features and the boxes.

    Note:
        - batch size: B
        - people in image i: P_i, in all images: N
        - crop size: [x_res, y_res]

    Args:
        resolution (tuple): Crop size in [x_res, y_res]. Defaults to (10, 10)
        zoom (float): Size of the crop relative to the box. Defaults to 1.25
        levels (Sequence[int]): Indices of the feature levels to sample.
            Defaults to (0, 1, 2, 3)
        align_corners (bool): Whether the outermost samples lie on the border
            of the crop, as in the paper. With ``False`` each sample is in the
            middle of its share of the crop, which is where
            :class:`PixelPRTRTransformer` takes the pixels of a map to be.
            Defaults to ``True``

    Raises:
        ValueError: If an argument is empty or not positive.

    .. _`PRTR`: https://arxiv.org/abs/2104.06976
    """

    x_steps: Tensor
    y_steps: Tensor

    def __init__(
        self,
        resolution: tuple[int, int] = (10, 10),
        zoom: float = 1.25,
        levels: Sequence[int] = (0, 1, 2, 3),
        align_corners: bool = True,
    ) -> None:
        super().__init__()
        if len(resolution) != 2 or min(resolution) < 1:
            raise ValueError(
                f'resolution must be two positive numbers (width, height), but got {resolution}.'
            )
        if not zoom > 0:
            raise ValueError(f'zoom must be positive, but got {zoom}.')
        if not levels:
            raise ValueError(f'levels must name at least one feature level, but got {levels}.')
        self.resolution = tuple(resolution)
        self.zoom = zoom
        self.levels = tuple(levels)
        self.align_corners = align_corners
        for name, steps in zip('xy', resolution):
            end = zoom if align_corners else zoom * (1 - 1 / steps)
            self.register_buffer(
                f'{name}_steps', torch.linspace(-end, end, steps), persistent=False
            )

    def grids(self, boxes: Tensor, valid_hw: Tensor | None = None) -> Tensor:
        """Sampling locations of the crops.

        Args:
            boxes (Tensor): Boxes in [cx, cy, w, h], relative to the valid
                image, i.e. without the padding, in shape (B, P, 4)
            valid_hw (Tensor, optional): Height and width of the valid images,
                relative to the padded ones, in shape (B, 2). Defaults to no
                padding

        Returns:
            Tensor: Locations [x, y] in the padded images, which span [-1, 1],
            in shape (B, P, y_res, x_res, 2).
        """
        if valid_hw is not None:
            boxes = boxes * valid_hw.flip(-1).repeat(1, 2)[:, None]
        cx, cy, w, h = boxes[..., None].unbind(-2)
        x = w * self.x_steps + (2 * cx - 1)  # (B, P, x_res)
        y = h * self.y_steps + (2 * cy - 1)  # (B, P, y_res)
        x, y = torch.broadcast_tensors(x[:, :, None, :], y[..., None])
        return torch.stack((x, y), dim=-1)

    def forward(
        self,
        feats: Sequence[Tensor],
        boxes: Tensor | Sequence[Tensor],
        valid_hw: Tensor | None = None,
    ) -> Tensor:
        """Crop the people of a batch.

        All crops of an image are sampled as one tall grid, so that no feature
        map is copied for each person.

        Args:
            feats (Sequence[Tensor]): Feature levels, each in shape
                (B, C_l, H_l, W_l)
            boxes (Tensor | Sequence[Tensor]): For each image boxes in shape
                (P_i, 4), see :meth:`grids`. A tensor in shape (B, P, 4), for
                the same number of people in all images, is faster
            valid_hw (Tensor, optional): See :meth:`grids`

        Returns:
            Tensor: Crops in shape (N, sum of C_l, y_res, x_res), image by
            image.

        Raises:
            ValueError: If a level does not exist.
        """
        if not all(-len(feats) <= i < len(feats) for i in self.levels):
            raise ValueError(
                f'The crop has levels={self.levels}, but the backbone returns '
                f'{len(feats)} feature levels. Change its out_indices or levels.'
            )
        x_res, y_res = self.resolution
        nums = None
        if not isinstance(boxes, Tensor):
            nums = [len(b) for b in boxes]
            if max(nums) == 0:
                channels = sum(feats[i].shape[1] for i in self.levels)
                return feats[0].new_zeros(0, channels, y_res, x_res)
            boxes = pad_sequence(list(boxes), batch_first=True)

        # (B, P * y_res, x_res, 2)
        grids = self.grids(boxes, valid_hw).flatten(1, 2)
        samples = [
            F.grid_sample(feats[i], grids, padding_mode='border', align_corners=False)
            for i in self.levels
        ]
        # (B, C, P * y_res, x_res) -> (B, P, C, y_res, x_res)
        crops = torch.cat(samples, dim=1)
        crops = crops.view(*crops.shape[:2], -1, y_res, x_res)
        crops = crops.transpose(1, 2)
        if nums is None:
            return crops.flatten(0, 1)
        # the lengths are known on the host; a mask would need a device sync
        return torch.cat([crop[:n] for crop, n in zip(crops, nums)])

    def to_crop(self, points: Points, boxes: Points) -> Points:
        """Map points from the image to crops, the inverse of :meth:`to_image`.

        Args:
            points (Tensor | np.ndarray): Points relative to the valid image,
                in shape (N, K, 2)
            boxes (Tensor | np.ndarray): Boxes in shape (N, 4), see
                :meth:`grids`

        Returns:
            Tensor | np.ndarray: Points in shape (N, K, 2), in [0, 1] inside
            the crop.
        """
        center, size = boxes[:, None, :2], boxes[:, None, 2:]
        # an untrained detector may predict boxes of zero size
        return (points - center) / (size * self.zoom).clip(1e-6) + 0.5

    def to_image(self, points: Points, boxes: Points) -> Points:
        """Map points from crops to the image.

        Args:
            points (Tensor | np.ndarray): Points in shape (N, K, 2), in [0, 1]
                inside the crop
            boxes (Tensor | np.ndarray): Boxes in shape (N, 4), see
                :meth:`grids`

        Returns:
            Tensor | np.ndarray: Points relative to the valid image, clipped
            to it, in shape (N, K, 2).
        """
        center, size = boxes[:, None, :2], boxes[:, None, 2:]
        points = (points - 0.5) * (size * self.zoom) + center
        return points.clip(0, 1)

    def extra_repr(self) -> str:
        """Show the settings in the printed model."""
        return (
            f'resolution={self.resolution}, zoom={self.zoom}, levels={self.levels}, '
            f'align_corners={self.align_corners}'
        )
