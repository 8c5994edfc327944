from mmpose.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class TruncatedL1Loss(nn.Module):
    """L1 loss that leaves out points too far away to be led to the target.

    The coordinates of :class:`PixelPRTRTransformer` move within a window
    around the peak of a map. Where the peak is at the wrong place, L1 would
    only push the expectation to a border of the window; finding the place is
    the job of :class:`KeypointMapLoss`.

    Args:
        max_error (float): Largest error, along either axis and relative to
            the input image, that counts. Defaults to 0.1
        use_target_weight (bool): Whether joint weights apply. Defaults to
            ``True``
        loss_weight (float): Weight of the loss. Defaults to 1.0

    Raises:
        ValueError: If ``max_error`` is not positive.
    """

    def __init__(
        self, max_error: float = 0.1, use_target_weight: bool = True, loss_weight: float = 1.0
    ) -> None:
        super().__init__()
        if not max_error > 0:
            raise ValueError(f'max_error of TruncatedL1Loss must be positive, but got {max_error}.')
        self.max_error = max_error
        self.use_target_weight = use_target_weight
        self.loss_weight = loss_weight

    def forward(self, output: Tensor, target: Tensor, target_weight: Tensor) -> Tensor:
        """Forward function.

        Args:
            output (Tensor): Coordinates relative to the input image in shape
                (B, K, 2)
            target (Tensor): Target coordinates in shape (B, K, 2)
            target_weight (Tensor): Joint weights in shape (B, K)

        Returns:
            Tensor: The mean over all coordinates, those left out included.
        """
        errors = (output - target).abs()
        counts = (errors.amax(dim=-1, keepdim=True) <= self.max_error).to(errors)
        if self.use_target_weight:
            counts = counts * target_weight[..., None]
        return self.loss_weight * (errors * counts).mean()
