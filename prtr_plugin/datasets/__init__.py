from . import transforms
from .checks import check_data_files
from .coco_person import CocoPersonDataset
from .coco_subset import write_coco_subset
from .pipelines import topdown_pipelines
from .synthetic import generate_people

__all__ = [
    'CocoPersonDataset',
    'check_data_files',
    'generate_people',
    'topdown_pipelines',
    'transforms',
    'write_coco_subset',
]
