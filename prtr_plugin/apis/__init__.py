from ..models.deploy import switch_to_deploy
from .config import load_config
from .inferencer import PRTRInferencer

__all__ = ['PRTRInferencer', 'load_config', 'switch_to_deploy']
