from .clip_bbox import ClipBBoxInclusive
from .pack_person import PackPersonInputs
from .person_crop import PersonRandomCrop
from .random_bbox import RandomBBoxClippedNormal

__all__ = ['ClipBBoxInclusive', 'PackPersonInputs', 'PersonRandomCrop', 'RandomBBoxClippedNormal']
