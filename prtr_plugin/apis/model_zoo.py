import fnmatch
import warnings
from collections import OrderedDict
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpose.apis import init_model
from torch import nn

from ..checkpoints import CheckpointError, check_state_dict, get_state_dict, read_weights
from ..model_index import SHORT_NAMES, config_paths, model_entries
from .checks import check_config, explain_build_errors
from .config import load_config
from .device import find_device


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


def describe_models(pattern: str = '*') -> dict[str, str]:
    """Describe the models that :func:`load_model` has names for.

    Args:
        pattern (str): Part of a name, or a name with shell wildcards.
            Defaults to all

    Returns:
        Dict[str, str]: Dataset, parameters and the first figure that is
        known by name, short names first.
    """
    entries = model_entries()
    if not set('*?[') & set(pattern):
        pattern = f'*{pattern}*'
    rows = {f'{short}': f'= {name}' for short, name in SHORT_NAMES.items()}
    for name, entry in sorted(entries.items()):
        metadata, results = entry.get('Metadata', {}), entry.get('Results') or []
        data = metadata.get('Training Data') or ()
        facts = [data] if isinstance(data, str) else list(data)
        if 'Parameters' in metadata:
            facts.append(f'{metadata["Parameters"] / 1e6:.1f} M parameters')
        if results:
            metric, value = next(iter(results[0]['Metrics'].items()))
            facts.append(f'{metric} {value:g}')
        rows[name] = ', '.join(facts)
    return {name: text for name, text in rows.items() if fnmatch.fnmatch(name, pattern)}


def load_model(
    name: str | Path | Config,
    weights: str | Path | None = None,
    device: str | None = None,
    random_weights: bool = False,
    cfg_options: dict | None = None,
    trust: bool = False,
) -> nn.Module:
    """Build a pose estimator and load its weights.

    Nothing is downloaded, not even a pretrained backbone.

    Args:
        name (str | Path | Config): One of :func:`list_models`, the path of a
            config file, or a config
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
        >>> name = 'td-prtr-plus_res18_1xb16-5e_synthetic-128x96'
        >>> model = load_model(name, 'work_dirs/quickstart/epoch_5.pth')
    """
    cfg = load_config(name, cfg_options)
    if (weights is None) != random_weights:
        name = cfg.filename if isinstance(name, Config) else name
        raise ValueError(
            f'{name} needs either weights=<path of a checkpoint> or random_weights=True, but '
            f'got weights={weights!r} and random_weights={random_weights}.'
        )
    device = find_device(device)
    if weights is not None:
        state_dict, meta = read_weights(weights, trust)

    scope = DefaultScope.overwrite_default_scope('mmpose')
    with scope, explain_build_errors(cfg), warnings.catch_warnings():
        # mmpose warns that it looks for the metainfo file in another folder
        warnings.filterwarnings('ignore', 'The metainfo config file')
        check_config(cfg)
        # without options init_model needs model.backbone, which a cascade lacks
        model = init_model(cfg, device=device, cfg_options={})
    if weights is not None:
        load_weights(model, state_dict, weights)
        # the joints come from the checkpoint if it has them, as in mmpose
        if isinstance(meta.get('dataset_meta'), dict):
            model.dataset_meta = meta['dataset_meta']
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
