"""mmengine's loader of checkpoints, made safe."""

import os.path as osp
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlparse

import mmengine.runner.checkpoint
import torch
from mmengine.logging import HistoryBuffer

from .reading import load_file, read_checkpoint

_trusted: set[str] = set()


def trust_checkpoint(path: str) -> None:
    """Let mmengine unpickle any Python object in a file, which can run code.

    Args:
        path (str): Path or URL, as mmengine is going to be given it
    """
    _trusted.add(path)


def load_safely() -> None:
    """Let mmengine read checkpoints as data, in this process.

    Everything that takes a checkpoint ends in one module of mmengine: runners,
    ``init_cfg``, inferencers, ``init_model`` and ``init_detector``, also those
    of other packages' tools that import this one (``mim test mmpose``). What
    that module cannot read as data it unpickles, whatever it holds; files from
    the network and, before PyTorch 2.6, all others it unpickles at once. There
    is no setting for it, and a loader registered with ``CheckpointLoader``
    would be by-passed by the schemes that load in two steps. So the two
    functions with which the module opens files are replaced, for it alone.
    """
    module = mmengine.runner.checkpoint
    module.load_url = _load_url
    module.torch = _Torch('torch')
    if hasattr(module, '_safe_torch_load'):  # in newer versions, around torch.load
        module._safe_torch_load = _Torch.load


class _Torch(ModuleType):
    """PyTorch, but for ``load``."""

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)

    @staticmethod
    def load(file: Any, map_location: Any = None, **kwargs: Any) -> Any:
        """See :func:`read_checkpoint`."""
        # mmengine's None means the device that the file was saved from
        read = partial(read_checkpoint, file)
        if hasattr(file, 'read'):
            read = partial(load_file, file, 'checkpoint')
        if str(file) in _trusted:
            return read(trust=True, map_location=map_location or 'cpu')
        return _for_mmengine(read(map_location=map_location or 'cpu'))


def _load_url(
    url: str,
    model_dir: str | None = None,
    map_location: Any = None,
    progress: bool = True,
    **kwargs: Any,
) -> Any:
    """:func:`torch.hub.load_state_dict_from_url`, which unpickles."""
    folder = Path(model_dir or osp.join(torch.hub.get_dir(), 'checkpoints'))
    path = folder / osp.basename(urlparse(url).path)
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), progress=progress)
    if url in _trusted:
        trust_checkpoint(str(path))
    return _Torch.load(str(path), map_location)


def _for_mmengine(checkpoint: Any) -> Any:
    """Give resuming what it needs, and take away what it would run."""
    if not isinstance(checkpoint, dict):
        return checkpoint
    if isinstance(checkpoint.get('meta'), dict):
        # text of a config, which is code, in checkpoints of old versions
        checkpoint['meta'].pop('config', None)
    if 'state_dict' not in checkpoint and isinstance(checkpoint.get('model'), dict):
        checkpoint['state_dict'] = checkpoint['model']  # as get_state_dict does
    hub = checkpoint.get('message_hub')
    scalars = hub.get('log_scalars') if isinstance(hub, dict) else None
    if not isinstance(scalars, dict):
        return checkpoint
    for name, value in scalars.items():
        if type(value).__name__ == 'HistoryBuffer':
            history = (getattr(value, f'_{key}_history', []) for key in ('log', 'count'))
            scalars[name] = HistoryBuffer(*history)
    return checkpoint
