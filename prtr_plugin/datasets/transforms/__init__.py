from .clip_bbox import ClipBBoxInclusive
from .random_bbox import RandomBBoxClippedNormal

__all__ = ['ClipBBoxInclusive', 'RandomBBoxClippedNormal']
