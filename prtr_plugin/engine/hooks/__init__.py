from .checkpoint_hook import AtomicCheckpointHook
from .deploy_hook import ChannelsLastHook, DeployHook, MatmulPrecisionHook
from .early_stop_hook import EarlyStopHook
from .epoch_seed_hook import EpochSeedHook
from .progress_hook import Progress, ProgressHook
from .strict_load_hook import PartialLoadHook, StrictLoadHook
from .visualization_hook import PRTRVisualizationHook

__all__ = [
    'AtomicCheckpointHook',
    'ChannelsLastHook',
    'DeployHook',
    'EarlyStopHook',
    'EpochSeedHook',
    'MatmulPrecisionHook',
    'PRTRVisualizationHook',
    'PartialLoadHook',
    'Progress',
    'ProgressHook',
    'StrictLoadHook',
]
