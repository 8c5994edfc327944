"""Reading checkpoints, comparing them with models, and converting them."""

from .comparison import check_some_fit, check_state_dict
from .detr import convert_detr
from .efficientnet_lite import convert_efficientnet_lite
from .errors import CheckpointError
from .joint_mapping import joint_names, map_joints
from .reading import get_state_dict, read_checkpoint, read_weights, strip_module
from .resuming import find_resumable, numbered_checkpoints, training_state
from .safe_loader import load_safely, trust_checkpoint
from .sequential import convert_sequential
from .summary import summarize
from .two_stage import convert_two_stage, revert_two_stage

__all__ = [
    'CheckpointError',
    'check_some_fit',
    'check_state_dict',
    'convert_detr',
    'convert_efficientnet_lite',
    'convert_sequential',
    'convert_two_stage',
    'find_resumable',
    'get_state_dict',
    'joint_names',
    'load_safely',
    'map_joints',
    'numbered_checkpoints',
    'read_checkpoint',
    'read_weights',
    'revert_two_stage',
    'strip_module',
    'summarize',
    'training_state',
    'trust_checkpoint',
]
