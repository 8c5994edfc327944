from collections.abc import Sequence

import numpy as np
from mmengine.utils import is_seq_of
from mmpose.datasets.transforms import RandomBBoxTransform
from mmpose.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RandomBBoxClippedNormal(RandomBBoxTransform):
    r"""Resize and rotate boxes by clipped normal random numbers.

    The augmentation of `PRTR`_ (CVPR 2021), whose code took it from `HRNet`_
    (CVPR 2019)::

        scale *= clip(1 + s * randn(), 1 - s, 1 + s)
        rotation = clip(r * randn(), -2 * r, 2 * r) if rand() <= 0.6 else 0

    Draws beyond a limit are set to it, so that 32 % of the people get one of
    the two extreme scales and 5 % of the rotated ones the largest angle. The
    parent class draws again instead, and limits rotations, like scales, to one
    standard deviation, so that its augmentation is weaker.

    Required Keys:

        - bbox_center
        - bbox_scale

    Modified Keys:

        - bbox_center
        - bbox_scale

    Added Keys:

        - bbox_rotation

    Args:
        shift_factor (float): Standard deviation and limit of the shift, as
            a fraction of the box. Defaults to 0.16
        shift_prob (float): Probability of a shift. Defaults to 0, as in the
            paper
        scale_factor (Tuple[float, float]): Limits :math:`(1 - s, 1 + s)` of
            the scale, one standard deviation from their mean. Defaults to
            (0.7, 1.3), the paper's for COCO
        scale_prob (float): Probability of resizing. Defaults to 1
        rotate_factor (float): Standard deviation of the rotation in degrees;
            the limits are twice as large. Defaults to 40, the paper's for
            COCO
        rotate_prob (float): Probability of rotating. Defaults to 0.6

    Raises:
        ValueError: If ``scale_factor`` is not a pair of positive numbers in
            ascending order.

    .. _`PRTR`: https://arxiv.org/abs/2104.06976
    .. _`HRNet`: https://arxiv.org/abs/1902.09212
    """

    # in standard deviations: shift in x and in y, scale, rotation
    _LIMITS = np.array([1.0, 1.0, 1.0, 2.0])

    def __init__(
        self,
        shift_factor: float = 0.16,
        shift_prob: float = 0.0,
        scale_factor: tuple[float, float] = (0.7, 1.3),
        scale_prob: float = 1.0,
        rotate_factor: float = 40.0,
        rotate_prob: float = 0.6,
    ) -> None:
        if (
            not is_seq_of(scale_factor, (int, float))
            or len(scale_factor) != 2
            or not 0 < scale_factor[0] <= scale_factor[1]
        ):
            raise ValueError(
                f'scale_factor={scale_factor} must be the smallest and the '
                'largest scale, two numbers above 0: for a standard deviation '
                'of 0.3 give (0.7, 1.3).'
            )
        super().__init__(
            shift_factor=shift_factor,
            shift_prob=shift_prob,
            scale_factor=scale_factor,
            scale_prob=scale_prob,
            rotate_factor=rotate_factor,
            rotate_prob=rotate_prob,
        )

    @classmethod
    def _truncnorm(cls, size: Sequence[int]) -> np.ndarray:
        """Clipped normal numbers instead of the parent's truncated ones.

        The parent multiplies them by its factors.

        Args:
            size (Sequence[int]): (N, 4) for N boxes.

        Returns:
            np.ndarray: float32 in shape (N, 4).
        """
        draws = np.random.standard_normal(size)
        return draws.clip(-cls._LIMITS, cls._LIMITS).astype(np.float32)
