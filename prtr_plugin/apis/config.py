import copy
import inspect
import os.path as osp
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.runner import Runner

from ..model_index import find_config
from .checks import did_you_mean

# what mmengine's runner and this package read from the top level of a config
_SETTINGS = {
    *inspect.signature(Runner).parameters,
    'activation_checkpointing',
    'check_pictures',
    'compile',
    'efficient_conv_bn_eval',
    'find_unused_parameters',
    'model_wrapper_cfg',
    'runner_type',
    'sync_bn',
}


def load_config(path: str | Path | Config, cfg_options: dict | None = None) -> Config:
    """Load a config file and override some of its settings.

    A config file builds paths from ``data_root``, so setting this variable
    afterwards would change nothing. Here an override of ``data_root`` replaces
    the old value at the start of every path.

    Args:
        path (str | Path | Config): Config file, the name of a model, see
            :func:`list_models`, or a config, which is copied
        cfg_options (dict, optional): Settings to override, such as
            ``{'data_root': 'my/folder/', 'train_cfg.max_epochs': 5}``

    Returns:
        Config: The config.

    Raises:
        FileNotFoundError: If the file, or one that it builds on, does not
            exist.
        ValueError: If there is no such model, the file is not a config, or
            an override would have no effect: of ``data_root`` if the config
            has none, of a name that nothing reads, or of another variable
            that the settings of the config were made from.
    """
    cfg = copy.deepcopy(path) if isinstance(path, Config) else _read_config(find_config(path))
    cfg_options = dict(cfg_options or {})
    data_root = cfg_options.pop('data_root', None)
    if data_root is not None:
        old = cfg.get('data_root')
        if not old:
            raise ValueError(
                f'The config {cfg.filename} has no variable data_root to override. '
                'Set train_dataloader.dataset.data_root and so on instead.'
            )
        cfg = Config(
            _replace_prefix(cfg._cfg_dict.to_dict(), old, data_root),
            cfg_text=cfg.text,
            filename=cfg.filename,
        )
    _check_options(cfg, cfg_options)
    cfg.merge_from_dict(cfg_options)
    return cfg


def _check_options(cfg: Config, options: dict) -> None:
    """Refuse overrides that would have no effect."""
    for key in options:
        name = key.partition('.')[0]
        if name in _SETTINGS or 'model' not in cfg:  # a config of something else
            continue
        if name not in cfg:
            raise ValueError(
                f'Nothing reads {name!r}, which is to be overridden in the config {cfg.filename}.'
                + did_you_mean(name, _SETTINGS)
            )
        made = [path for path in _copies(name, cfg) if path.partition('.')[0] in _SETTINGS][:3]
        raise ValueError(
            f'{name!r} in the config {cfg.filename} is a variable, from which settings were made '
            f'when it was read: overriding {key!r} would change nothing. Override these settings'
            + (f', such as {", ".join(made)}.' if made else '.')
        )


def _copies(name: str, cfg: Config) -> Iterator[str]:
    """Paths of what has the name of a variable, or is equal to it if it is a dict."""

    def search(value: Any, path: str) -> Iterator[str]:
        items: Iterable = ()
        if isinstance(value, dict):
            items = value.items()
        elif isinstance(value, list | tuple):
            items = enumerate(value)
        for key, child in items:
            place = f'{path}.{key}'
            if key == name or (isinstance(child, dict) and child == cfg[name]):
                yield place
            else:
                yield from search(child, place)

    for key, value in cfg.items():
        yield from search(value, key)


def _read_config(path: str) -> Config:
    try:
        return Config.fromfile(path)
    except FileNotFoundError:
        raise
    except Exception as error:  # whatever a Python file may raise
        kind = '' if isinstance(error, ValueError) else f'{type(error).__name__}: '
        raise ValueError(f'The config {path} cannot be read: {kind}{error}') from error


def _replace_prefix(value: Any, old: str, new: str) -> Any:
    if isinstance(value, dict):
        return ConfigDict({k: _replace_prefix(v, old, new) for k, v in value.items()})
    if isinstance(value, (list, tuple)):
        return type(value)(_replace_prefix(v, old, new) for v in value)
    # whole folder names only: data/coco is not a parent of data/coco_sample
    old = old.rstrip('/')
    if isinstance(value, str) and f'{value}/'.startswith(f'{old}/'):
        return osp.join(new, value[len(old) :].lstrip('/'))
    return value
