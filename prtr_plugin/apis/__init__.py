from ..deploy import export, switch_to_deploy
from .config import load_config
from .conversion import convert_checkpoint
from .inferencer import PRTRInferencer
from .inputs import find_images
from .model_zoo import list_models, load_model
from .prediction import Person, predict
from .runner import build_test_runner, build_train_runner, test, train

__all__ = [
    'PRTRInferencer',
    'Person',
    'build_test_runner',
    'build_train_runner',
    'convert_checkpoint',
    'export',
    'find_images',
    'list_models',
    'load_config',
    'load_model',
    'predict',
    'switch_to_deploy',
    'test',
    'train',
]
