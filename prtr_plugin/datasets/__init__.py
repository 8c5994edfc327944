from . import transforms
from .checks import check_data_files
from .coco_person import CocoPersonDataset

__all__ = ['CocoPersonDataset', 'check_data_files', 'transforms']
