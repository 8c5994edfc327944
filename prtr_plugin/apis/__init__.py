from ..deploy import export, switch_to_deploy
from .config import load_config
from .conversion import convert_checkpoint
from .inferencer import PRTRInferencer
from .model_zoo import list_models, load_model
from .prediction import Person, predict

__all__ = [
    'PRTRInferencer',
    'Person',
    'convert_checkpoint',
    'export',
    'list_models',
    'load_config',
    'load_model',
    'predict',
    'switch_to_deploy',
]
