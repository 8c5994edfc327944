import os

import torch
from mmengine.config import Config
from mmengine.device import get_device


def setup_cpu_distributed(cfg: Config) -> None:
    """Let mmengine's launchers work on a machine without an accelerator.

    mmengine selects a CUDA device for a distributed job and passes it to the
    model wrapper, whatever the backend. On a machine without one, this function
    starts the process group with gloo and configures the wrapper for the CPU;
    elsewhere it does nothing.

    Args:
        cfg (:obj:`mmengine.Config`): A run's config with ``launcher``;
            changed in place.
    """
    if cfg.get('launcher', 'none') != 'pytorch' or get_device() != 'cpu':
        return
    cfg.merge_from_dict({'env_cfg.dist_cfg.backend': 'gloo'})
    if cfg.get('model_wrapper_cfg') is None:
        cfg.model_wrapper_cfg = dict(
            type='MMDistributedDataParallel',
            broadcast_buffers=False,
            find_unused_parameters=cfg.get('find_unused_parameters', False),
        )
    cfg.model_wrapper_cfg.device_ids = None
    if not torch.distributed.is_initialized():
        os.environ.setdefault('LOCAL_RANK', '0')
        torch.distributed.init_process_group(backend='gloo')
