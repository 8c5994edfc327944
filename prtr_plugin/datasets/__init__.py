from . import transforms
from .checks import check_data_files
from .datasets import CocoPersonDataset
from .pipelines import topdown_pipelines

__all__ = ['CocoPersonDataset', 'check_data_files', 'topdown_pipelines', 'transforms']
