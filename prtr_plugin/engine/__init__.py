from . import hooks
from .distributed import setup_cpu_distributed
from .optim_wrapper import BFloat16OptimWrapper

__all__ = ['BFloat16OptimWrapper', 'hooks', 'setup_cpu_distributed']
