from .keypoint_map_loss import KeypointMapLoss
from .truncated_l1_loss import TruncatedL1Loss

__all__ = ['KeypointMapLoss', 'TruncatedL1Loss']
