from . import hooks
from .distributed import setup_cpu_distributed
from .optim_wrapper import BFloat16OptimWrapper
from .optim_wrapper_constructor import GroupedOptimWrapperConstructor

__all__ = [
    'BFloat16OptimWrapper',
    'GroupedOptimWrapperConstructor',
    'hooks',
    'setup_cpu_distributed',
]
