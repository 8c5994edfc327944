from . import transforms
from .coco_person import CocoPersonDataset
from .coco_subset import write_coco_subset
from .contract import AnnotationError, FileUse, Finding, check_annotations, check_data_files, report
from .layouts import find_splits
from .own_data import OwnData, prepare_data
from .pipelines import topdown_pipelines
from .synthetic import generate_people

__all__ = [
    'AnnotationError',
    'CocoPersonDataset',
    'FileUse',
    'Finding',
    'OwnData',
    'check_annotations',
    'check_data_files',
    'find_splits',
    'generate_people',
    'prepare_data',
    'report',
    'topdown_pipelines',
    'transforms',
    'write_coco_subset',
]
