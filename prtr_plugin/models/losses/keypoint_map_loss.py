import torch
from mmpose.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class KeypointMapLoss(nn.Module):
    def __init__(self, sigma: float = 1.0, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.sigma = sigma
        self.loss_weight = loss_weight

    def forward(self, maps: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        """maps (B, K, h, w), targets (B, K, 2) in [0, 1], weights (B, K)"""
        h, w = maps.shape[-2:]
        inside = ((targets >= 0) & (targets <= 1)).all(-1)
        x = torch.arange(w, device=maps.device) + 0.5 - targets[..., :1] * w
        y = torch.arange(h, device=maps.device) + 0.5 - targets[..., 1:] * h
        gx = (-(x**2) / (2 * self.sigma**2)).softmax(-1)
        gy = (-(y**2) / (2 * self.sigma**2)).softmax(-1)
        log_p = maps.float().flatten(-2).log_softmax(-1).view_as(maps)
        loss = -torch.einsum('bkhw,bkh,bkw->bk', log_p, gy, gx)
        return self.loss_weight * (loss * weights * inside).mean()
