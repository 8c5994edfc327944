"""Reading checkpoints, comparing them with models, and converting them."""

from .comparison import check_state_dict
from .detr import convert_detr
from .errors import CheckpointError
from .joint_mapping import joint_names, map_joints
from .reading import allow_safe_checkpoints, get_state_dict, read_checkpoint, strip_module
from .sequential import convert_sequential
from .summary import summarize
from .two_stage import convert_two_stage, revert_two_stage

__all__ = [
    'CheckpointError',
    'allow_safe_checkpoints',
    'check_state_dict',
    'convert_detr',
    'convert_sequential',
    'convert_two_stage',
    'get_state_dict',
    'joint_names',
    'map_joints',
    'read_checkpoint',
    'revert_two_stage',
    'strip_module',
    'summarize',
]
