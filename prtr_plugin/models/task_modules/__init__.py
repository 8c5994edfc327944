from .keypoint_assigner import KeypointHungarianAssigner
from .match_costs import KeypointClassificationCost, KeypointL1Cost

__all__ = ['KeypointClassificationCost', 'KeypointHungarianAssigner', 'KeypointL1Cost']
