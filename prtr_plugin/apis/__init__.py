from ..deploy import export, switch_to_deploy
from .config import load_config
from .conversion import convert_checkpoint
from .inferencer import PRTRInferencer
from .joint_init import JointChange, write_initial_weights
from .model_zoo import list_models, load_model
from .prediction import Person, predict
from .runner import build_test_runner, build_train_runner, test
from .training import TrainingPlan, plan_training, train

__all__ = [
    'JointChange',
    'PRTRInferencer',
    'Person',
    'TrainingPlan',
    'build_test_runner',
    'build_train_runner',
    'convert_checkpoint',
    'export',
    'list_models',
    'load_config',
    'load_model',
    'plan_training',
    'predict',
    'switch_to_deploy',
    'test',
    'train',
    'write_initial_weights',
]
