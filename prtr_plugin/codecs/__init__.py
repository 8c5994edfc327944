from .assignment import batched_linear_assignment
from .hungarian_keypoint import HungarianKeypointCodec

__all__ = ['HungarianKeypointCodec', 'batched_linear_assignment']
