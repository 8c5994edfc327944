from .clip_bbox import ClipBBoxInclusive

__all__ = ['ClipBBoxInclusive']
