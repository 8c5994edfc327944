from .checkpoint_hook import AtomicCheckpointHook
from .deploy_hook import ChannelsLastHook, DeployHook
from .epoch_seed_hook import EpochSeedHook
from .strict_load_hook import PartialLoadHook, StrictLoadHook
from .visualization_hook import PRTRVisualizationHook

__all__ = [
    'AtomicCheckpointHook',
    'ChannelsLastHook',
    'DeployHook',
    'EpochSeedHook',
    'PRTRVisualizationHook',
    'PartialLoadHook',
    'StrictLoadHook',
]
