import torch
from mmpose.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class KeypointMapLoss(nn.Module):
    """Cross-entropy of maps with a small Gaussian at each joint.

    A map is one classification over its pixels, whose target is a Gaussian
    that sums to 1. Joints outside of the input image have none.

    Args:
        sigma (float): Standard deviation of the Gaussian in pixels of the
            map. Defaults to 1.0
        loss_weight (float): Weight of the loss. Defaults to 1.0

    Raises:
        ValueError: If ``sigma`` is not positive.
    """

    def __init__(self, sigma: float = 1.0, loss_weight: float = 1.0) -> None:
        super().__init__()
        if not sigma > 0:
            raise ValueError(f'sigma of KeypointMapLoss must be positive, but got {sigma}.')
        self.sigma = sigma
        self.loss_weight = loss_weight

    def forward(self, output: Tensor, target: Tensor, target_weight: Tensor) -> Tensor:
        """Forward function.

        Args:
            output (Tensor): Logits over the pixels in shape (B, K, h, w), or
                those of L layers in shape (L, B, K, h, w)
            target (Tensor): Coordinates relative to the input image in shape
                (B, K, 2)
            target_weight (Tensor): Joint weights in shape (B, K)

        Returns:
            Tensor: The mean over all joints, those of weight 0 included, in
            shape () or (L,).
        """
        inside = ((target >= 0) & (target <= 1)).all(dim=-1)
        # the others have no Gaussian, and may be no numbers
        target = torch.where(inside[..., None], target, 0)
        h, w = output.shape[-2:]
        x, y = self._gaussian(target[..., 0], w), self._gaussian(target[..., 1], h)
        log_probs = output.float().flatten(-2).log_softmax(-1).view_as(output)
        losses = -torch.einsum('...khw,...kh,...kw->...k', log_probs, y, x)
        return self.loss_weight * (losses * (target_weight * inside)).mean(dim=(-2, -1))

    def _gaussian(self, target: Tensor, size: int) -> Tensor:
        """The Gaussian along an axis of some pixels, in shape (B, K, size)."""
        centers = torch.arange(size, device=target.device) + 0.5
        distances = (centers - size * target[..., None]) / self.sigma
        return (-0.5 * distances.square()).softmax(dim=-1)
