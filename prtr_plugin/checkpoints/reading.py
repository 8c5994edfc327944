import pickle
import re
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .errors import CheckpointError

# Types of the datasets' colours and joint weights, which mmpose saves.
_DTYPES: list[Any] = [type(np.dtype(name)) for name in ('uint8', 'float32')]


def _find_method(owner: type, name: str) -> str:
    """Stands in for ``getattr``, which could find anything."""
    return name


_find_method.__module__, _find_method.__name__ = 'builtins', 'getattr'
_find_method.__qualname__ = 'getattr'

# Training checkpoints also hold NumPy numbers and arrays, and mmengine's
# history of losses. A file can make that class register methods for all of its
# objects, so a plain class replaces it.
_SAFE: list[Any] = [
    *_DTYPES,
    *(type(np.dtype(name)) for name in ('bool', 'int32', 'int64', 'uint32', 'float64')),
    np.ndarray,
    np.dtype,
    *(getattr(np.core.multiarray, name) for name in ('_reconstruct', 'scalar')),
    bytes,  # empty arrays
    _find_method,
    type('HistoryBuffer', (), dict(__module__='mmengine.logging.history_buffer')),
]


def allow_safe_checkpoints() -> None:
    """Let PyTorch load mmpose's checkpoints as data, without running code.

    They hold arrays of the dataset's colours and joint weights, whose types
    mmengine does not list as safe: it would print a long warning and then load
    them unsafely.
    """
    if hasattr(torch.serialization, 'add_safe_globals'):  # torch >= 2.4
        torch.serialization.add_safe_globals(_DTYPES)


def read_checkpoint(path: str | Path, trust: bool = False) -> Any:
    """Read a checkpoint file to the CPU, without running code from it.

    Args:
        path (str | Path): File written by ``torch.save`` that holds tensors,
            plain values, NumPy arrays and mmengine's history of losses
        trust (bool): Whether to unpickle any other Python object in it, which
            can run arbitrary code. Defaults to ``False``

    Returns:
        Any: The content of the file, usually a dict.

    Raises:
        FileNotFoundError: If the file does not exist.
        CheckpointError: If the file is damaged or not a checkpoint, or holds
            other Python objects and ``trust`` is not set.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'There is no file "{path}".')
    try:
        if trust:
            return torch.load(path, map_location='cpu', weights_only=False)
        return _load_safely(path)
    except Exception as error:  # of many kinds, depending on the file
        refused = re.search(r'GLOBAL (\S+)', str(error))
        if refused and isinstance(error, pickle.UnpicklingError):
            raise CheckpointError(
                f'"{path}" holds a Python object ({refused[1]}), and reading it could run code. If '
                'you trust its source, give trust=True (--trust of the converters), or save only '
                'its weights to another file.'
            ) from error
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise CheckpointError(
            f'"{path}" cannot be read as a checkpoint. Download it again. ({reason:.100})'
        ) from error


def _load_safely(path: str | Path) -> Any:
    if hasattr(torch.serialization, 'safe_globals'):  # torch >= 2.5
        # its exit removes these types, even those that were known before
        known = torch.serialization.get_safe_globals()
        with torch.serialization.safe_globals([found for found in _SAFE if found not in known]):
            return torch.load(path, map_location='cpu', weights_only=True)
    # weights_only of older versions takes no further types
    module = SimpleNamespace(
        __name__='safe', Unpickler=_Unpickler, load=lambda file, **_: _Unpickler(file).load()
    )
    return torch.load(path, map_location='cpu', pickle_module=module, weights_only=False)


class _Unpickler(pickle.Unpickler):
    """Finds only what PyTorch before 2.5 and this module consider safe."""

    def find_class(self, module: str, name: str) -> Any:
        known = torch._weights_only_unpickler._get_allowed_globals()
        key = f'{module}.{name}'.replace('__builtin__', 'builtins')
        known = {**known, **{f'{found.__module__}.{found.__name__}': found for found in _SAFE}}
        if key == '_codecs.encode':  # bytes of arrays
            return super().find_class(module, name)
        if key not in known:
            raise pickle.UnpicklingError(f'GLOBAL {key} is not among the safe ones')
        return known[key]


def get_state_dict(checkpoint: Any) -> OrderedDict:
    """Get the state dict of a checkpoint.

    Args:
        checkpoint (Any): A state dict, or a dict that holds one under
            ``state_dict`` or ``model``, with or without the ``module.`` of a
            model that was wrapped for distributed training

    Returns:
        OrderedDict: Names without that prefix to tensors.

    Raises:
        CheckpointError: If there is no state dict, or a value is not a tensor.
    """
    state_dict = checkpoint
    if isinstance(checkpoint, Mapping):
        state_dict = checkpoint.get('state_dict', checkpoint.get('model', checkpoint))
    if not isinstance(state_dict, Mapping) or not state_dict:
        raise CheckpointError(
            'The file must hold a dict of tensors, or a checkpoint with such a dict under '
            f'"state_dict" or "model", but it has {state_dict!r:.80}.'
        )
    wrong = [str(key) for key, value in state_dict.items() if not torch.is_tensor(value)]
    if wrong:
        raise CheckpointError(
            'The file has no state dict. Give a file that holds only tensors, or has the key '
            '"state_dict" or "model".',
            {'not a tensor': wrong},
        )
    return strip_module({key: value.detach() for key, value in state_dict.items()})


def strip_module(state_dict: Mapping[str, Tensor]) -> OrderedDict:
    """Remove the ``module.`` of a wrapped model, if all keys start with it."""
    prefix = 'module.' if all(key.startswith('module.') for key in state_dict) else ''
    return OrderedDict((key.removeprefix(prefix), value) for key, value in state_dict.items())
