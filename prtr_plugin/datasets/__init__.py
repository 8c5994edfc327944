from . import transforms
from .checks import check_data_files
from .coco_person import CocoPersonDataset
from .synthetic import generate_people

__all__ = ['CocoPersonDataset', 'check_data_files', 'generate_people', 'transforms']
