from .deploy_hook import DeployHook
from .epoch_seed_hook import EpochSeedHook
from .strict_load_hook import CheckpointError, StrictLoadHook

__all__ = ['CheckpointError', 'DeployHook', 'EpochSeedHook', 'StrictLoadHook']
