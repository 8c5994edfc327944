from .annotations import FileUse, check_annotations
from .findings import AnnotationError, Finding, raise_errors, report
from .run_files import check_data_files, find_data_problems

__all__ = [
    'AnnotationError',
    'FileUse',
    'Finding',
    'check_annotations',
    'check_data_files',
    'find_data_problems',
    'raise_errors',
    'report',
]
