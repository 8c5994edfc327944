from . import transforms
from .checks import check_data_files
from .coco_person import CocoPersonDataset
from .coco_subset import write_coco_subset
from .synthetic import generate_people

__all__ = [
    'CocoPersonDataset',
    'check_data_files',
    'generate_people',
    'transforms',
    'write_coco_subset',
]
