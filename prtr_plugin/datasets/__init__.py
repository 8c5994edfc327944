from . import transforms
from .checks import check_data_files
from .coco_person import CocoPersonDataset
from .coco_subset import write_coco_subset
from .layouts import find_splits
from .own_data import OwnData, prepare_data
from .pipelines import topdown_pipelines
from .synthetic import generate_people

__all__ = [
    'CocoPersonDataset',
    'OwnData',
    'check_data_files',
    'find_splits',
    'generate_people',
    'prepare_data',
    'topdown_pipelines',
    'transforms',
    'write_coco_subset',
]
