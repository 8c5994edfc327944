from ..deploy import export, switch_to_deploy
from .annotations import check_annotations
from .config import load_config
from .conversion import convert_checkpoint
from .data_check import check_data
from .demo import run_demo
from .evaluation import Evaluation, evaluate
from .inferencer import PRTRInferencer
from .inputs import find_images
from .joint_init import JointChange, write_initial_weights
from .model_zoo import describe_models, list_models, load_model
from .page import make_page, serve_page
from .prediction import Person, draw, predict, to_coco
from .prediction_files import PredictedFiles, predict_files, read_boxes
from .preview import preview
from .report import write_report
from .runner import build_test_runner, build_train_runner, test
from .training import TrainingPlan, plan_training, train
from .work_folder import RunSummary, find_run, load_run, summarize_run

__all__ = [
    'Evaluation',
    'JointChange',
    'PRTRInferencer',
    'Person',
    'PredictedFiles',
    'RunSummary',
    'TrainingPlan',
    'build_test_runner',
    'build_train_runner',
    'check_annotations',
    'check_data',
    'convert_checkpoint',
    'describe_models',
    'draw',
    'evaluate',
    'export',
    'find_images',
    'find_run',
    'list_models',
    'load_config',
    'load_model',
    'load_run',
    'make_page',
    'plan_training',
    'predict',
    'predict_files',
    'preview',
    'read_boxes',
    'run_demo',
    'serve_page',
    'summarize_run',
    'switch_to_deploy',
    'test',
    'to_coco',
    'train',
    'write_initial_weights',
    'write_report',
]
