from ..deploy import export, switch_to_deploy
from .config import load_config
from .inferencer import PRTRInferencer
from .inputs import batch_of_dataset, batch_of_images, build_dataset, build_test_dataloader
from .model_zoo import list_models, load_model
from .prediction import Person, predict

__all__ = [
    'PRTRInferencer',
    'Person',
    'batch_of_dataset',
    'batch_of_images',
    'build_dataset',
    'build_test_dataloader',
    'export',
    'list_models',
    'load_config',
    'load_model',
    'predict',
    'switch_to_deploy',
]
