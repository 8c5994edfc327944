import fnmatch
import os.path as osp
import warnings
from collections import OrderedDict
from pathlib import Path
from typing import Any

from mmengine.registry import DefaultScope
from mmpose.apis import init_model
from torch import nn

from ..checkpoints import CheckpointError, check_state_dict, get_state_dict, read_checkpoint
from ..model_index import config_paths
from .checks import check_config, explain_build_errors, find_device
from .config import load_config


def list_models(pattern: str = '*') -> list[str]:
    """List the names that :func:`load_model` accepts.

    Args:
        pattern (str): Names to list, with shell wildcards. Defaults to all

    Returns:
        List[str]: The names, sorted.

    Example:
        >>> from prtr_plugin.apis import list_models
        >>> list_models('*res50*mpii*')
        ['td-prtr_res50_4xb32-200e_mpii-256x256',
         'td-prtr_res50_4xb32-200e_mpii-384x384',
         'td-prtr_res50_4xb32-200e_mpii-512x512']
    """
    return sorted(fnmatch.filter(config_paths(), pattern))


def load_model(
    name: str | Path,
    weights: str | Path | None = None,
    device: str | None = None,
    random_weights: bool = False,
    cfg_options: dict | None = None,
    trust: bool = False,
) -> nn.Module:
    """Build a pose estimator and load its weights.

    Nothing is downloaded, not even a pretrained backbone.

    Args:
        name (str | Path): One of :func:`list_models`, or the path of a config
            file
        weights (str | Path, optional): Path of a checkpoint that fits the model
            exactly. Required unless ``random_weights`` is set
        device (str, optional): Such as ``'cpu'`` or ``'cuda:0'``. Defaults to
            None, for an accelerator if there is one, else the CPU
        random_weights (bool): Whether to keep random weights instead of
            loading a checkpoint, to look at shapes or speed. Defaults to
            ``False``
        cfg_options (dict, optional): Settings of the config to override
        trust (bool): Whether to unpickle any Python object in the checkpoint,
            which can run arbitrary code. Checkpoints of training do not need
            it. Defaults to ``False``

    Returns:
        nn.Module: The model in evaluation mode, for :func:`predict`, with its
        config as ``model.cfg`` and its joints in ``model.dataset_meta``.

    Raises:
        ValueError: If the name is unknown (the message lists the known ones),
            not exactly one of ``weights`` and ``random_weights`` is given,
            there is no such device, or settings do not fit together.
        FileNotFoundError: If the config file or the checkpoint does not exist.
        CheckpointError: If the checkpoint cannot be read or does not fit the
            model.

    Example:
        >>> from prtr_plugin.apis import load_model
        >>> name = 'td-prtr_res18_1xb32-20e_synthetic-128x96'
        >>> model = load_model(name, 'work_dirs/quickstart/epoch_20.pth')
    """
    cfg = load_config(name, cfg_options)
    if (weights is None) != random_weights:
        raise ValueError(
            f'{name} needs either weights=<path of a checkpoint> or '
            f'random_weights=True, but got weights={weights!r} and '
            f'random_weights={random_weights}.'
        )
    if weights is not None and not osp.isfile(weights):
        raise FileNotFoundError(f'The weights "{weights}" do not exist.')
    device = find_device(device)
    checkpoint = read_checkpoint(weights, trust) if weights is not None else None

    check_config(cfg)
    scope = DefaultScope.overwrite_default_scope('mmpose')
    with scope, explain_build_errors(cfg), warnings.catch_warnings():
        # mmpose warns that it looks for the metainfo file in another folder
        warnings.filterwarnings('ignore', 'The metainfo config file')
        # without options init_model needs model.backbone, which a cascade lacks
        model = init_model(cfg, device=device, cfg_options={})
    if checkpoint is not None:
        load_weights(model, checkpoint, weights)
        # the joints come from the checkpoint if it has them, as in mmpose
        meta = checkpoint.get('meta', {})
        model.dataset_meta = meta.get('dataset_meta', model.dataset_meta)
    return model


def load_weights(
    model: nn.Module, checkpoint: Any, path: str | Path | None, spare: bool = False
) -> None:
    """Load a checkpoint that has been read, if it fits the model exactly.

    Args:
        model (nn.Module): Model
        checkpoint (Any): See :func:`read_checkpoint`
        path (str | Path): Its file, for the error
        spare (bool): Whether it may hold more than the model needs. Defaults
            to ``False``

    Raises:
        CheckpointError: If it does not fit. The message names the keys.
    """
    try:
        state_dict = get_state_dict(checkpoint)
        if spare:
            names = model.state_dict().keys()
            state_dict = OrderedDict((k, v) for k, v in state_dict.items() if k in names)
        check_state_dict(model, state_dict)
    except CheckpointError as error:
        raise CheckpointError(f'{path}: {error}') from None
    model.load_state_dict(state_dict, strict=False)
