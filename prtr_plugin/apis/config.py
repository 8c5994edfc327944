import copy
import os.path as osp
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from ..model_index import find_config
from .checks import check_overrides


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
        TypeError: If the config is of another type, such as a dict.
    """
    if not isinstance(path, str | Path | Config):
        raise TypeError(
            'A config is given as a file, the name of a model or an mmengine.Config, not as '
            f'{type(path).__name__}. Of a dict make one by mmengine.Config(...).'
        )
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
    check_overrides(cfg, cfg_options)
    cfg.merge_from_dict(cfg_options)
    return cfg


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
