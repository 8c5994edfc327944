from .deploy_hook import ChannelsLastHook, DeployHook
from .epoch_seed_hook import EpochSeedHook
from .strict_load_hook import StrictLoadHook
from .visualization_hook import PRTRVisualizationHook

__all__ = [
    'ChannelsLastHook',
    'DeployHook',
    'EpochSeedHook',
    'PRTRVisualizationHook',
    'StrictLoadHook',
]
