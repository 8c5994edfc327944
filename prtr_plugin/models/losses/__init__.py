from .keypoint_map_loss import KeypointMapLoss

__all__ = ['KeypointMapLoss']
