from .hungarian_keypoint import HungarianKeypointCodec

__all__ = ['HungarianKeypointCodec']
