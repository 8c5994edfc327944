import difflib
import fnmatch
import os.path as osp
import warnings

import mmengine
from mmengine.device import get_device
from mmengine.registry import DefaultScope
from mmengine.runner import load_checkpoint
from mmpose.apis import init_model
from torch import nn

from ..engine.hooks.strict_load_hook import CheckpointError, check_state_dict
from .config import load_config

# what `mim` reads too: links in the repository, files where it is installed
_MIM_DIR = osp.join(osp.dirname(osp.dirname(__file__)), '.mim')


def _config_paths() -> dict[str, str]:
    """Paths of the config files of the model index by name."""
    index = mmengine.load(osp.join(_MIM_DIR, 'model-index.yml'))
    metafiles = [mmengine.load(osp.join(_MIM_DIR, path)) for path in index['Import']]
    return {
        model['Name']: osp.join(_MIM_DIR, model['Config'])
        for metafile in metafiles
        for model in metafile['Models']
    }


def list_models(pattern: str = '*') -> list[str]:
    """List the names that :func:`load_model` takes.

    Args:
        pattern (str): Names to list, with the wildcards of a shell. Defaults
            to all

    Returns:
        List[str]: The names, sorted.

    Example:
        >>> from prtr_plugin.apis import list_models
        >>> list_models('*res50*mpii*')
        ['td-prtr_res50_4xb32-200e_mpii-256x256',
         'td-prtr_res50_4xb32-200e_mpii-384x384',
         'td-prtr_res50_4xb32-200e_mpii-512x512']
    """
    return sorted(fnmatch.filter(_config_paths(), pattern))


def load_model(
    name: str,
    weights: str | None = None,
    device: str | None = None,
    random_weights: bool = False,
    cfg_options: dict | None = None,
) -> nn.Module:
    """Build a pose estimator and load its weights.

    Nothing is downloaded, pretrained backbones neither.

    Args:
        name (str): One of :func:`list_models`, or the path of a config file
        weights (str, optional): Path of a checkpoint that fits the model
            exactly. It may only be left out with ``random_weights``
        device (str, optional): Such as ``'cpu'`` or ``'cuda:0'``. Defaults to
            None, for an accelerator if there is one
        random_weights (bool): Whether to go without a checkpoint, for looking
            at shapes or at speed. Defaults to ``False``
        cfg_options (dict, optional): Settings of the config to override

    Returns:
        nn.Module: The model in evaluation mode, for :func:`predict`, with its
        config as ``model.cfg`` and its joints in ``model.dataset_meta``.

    Raises:
        ValueError: If there is no such model (the message has the names), if
            it is not said which weights to take, or if they cannot be read.
        FileNotFoundError: If the config file or the checkpoint is missing.
        CheckpointError: If the checkpoint does not fit the model.

    Example:
        >>> from prtr_plugin.apis import load_model
        >>> name = 'td-prtr_res18_1xb32-20e_synthetic-128x96'
        >>> model = load_model(name, 'work_dirs/quickstart/epoch_20.pth')
    """
    config = _find_config(name)
    if (weights is None) != random_weights:
        raise ValueError(
            f'{name} needs either weights=<path of a checkpoint> or '
            f'random_weights=True, but got weights={weights!r} and '
            f'random_weights={random_weights}.'
        )
    if weights is not None and not osp.isfile(weights):
        raise FileNotFoundError(f'The weights "{weights}" do not exist.')

    cfg = load_config(config, cfg_options)
    with DefaultScope.overwrite_default_scope('mmpose'), warnings.catch_warnings():
        # that mmpose looks for its file of joints in another folder
        warnings.filterwarnings('ignore', 'The metainfo config file')
        # without options init_model looks for model.backbone, which some lack
        model = init_model(cfg, device=device or get_device(), cfg_options={})
    if weights is not None:
        _load_weights(model, weights)
    return model


def _find_config(name: str) -> str:
    """Path of the config file of a model.

    Raises:
        ValueError: If the model index has no such name.
        FileNotFoundError: If the name is the path of a missing file.
    """
    if name.endswith('.py'):
        if not osp.isfile(name):
            raise FileNotFoundError(f'The config file "{name}" does not exist.')
        return name
    paths = _config_paths()
    if name not in paths:
        close = difflib.get_close_matches(name, paths, n=3, cutoff=0.4)
        others = sorted(set(paths).difference(close))
        raise ValueError(
            f'There is no model "{name}". '
            + (f'Did you mean {" or ".join(close)}? ' if close else '')
            + f'There are also: {", ".join(others)}. A config file is given by '
            'its path, which ends with .py.'
        )
    return paths[name]


def _load_weights(model: nn.Module, path: str) -> None:
    """Load weights strictly, and the dataset's joints as mmpose does."""
    try:
        # what does not fit is reported below
        checkpoint = load_checkpoint(model, path, map_location='cpu', logger='silent')
    except Exception as error:  # of many kinds, by what the file holds
        raise ValueError(f'The weights "{path}" cannot be read as a checkpoint: {error}') from error
    try:
        check_state_dict(model, checkpoint.get('state_dict', checkpoint))
    except CheckpointError as error:
        raise CheckpointError(f'{path}: {error}') from None
    meta = checkpoint.get('meta', {})
    model.dataset_meta = meta.get('dataset_meta', model.dataset_meta)
