import pickle
import re
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from .errors import CheckpointError


def _stand_in(module: str, name: str, value: Any) -> Any:
    """Lets a file call ``value`` by another name."""
    value.__module__, value.__name__, value.__qualname__ = module, name, name
    return value


# Training checkpoints also hold NumPy numbers and arrays, of which NumPy 1 and
# NumPy 2 name the functions differently, and mmengine's history of losses. A
# file can make that class register methods for all of its objects, so a plain
# class replaces it; getattr could find anything, so its name is taken instead.
_DTYPES = '? i1 i2 i4 i8 u1 u2 u4 u8 f2 f4 f8 U'.split()
_NUMPY: dict[str, Any] = dict(
    _reconstruct=np.empty(0).__reduce__()[0], scalar=np.float64(0).__reduce__()[0]
)
_SAFE: list[Any] = [
    *(type(np.dtype(name)) for name in _DTYPES),
    np.ndarray,
    np.dtype,
    *(
        _stand_in(f'numpy.{core}.multiarray', name, lambda *args, _call=call: _call(*args))
        for core in ('core', '_core')
        for name, call in _NUMPY.items()
    ),
    bytes,  # empty arrays
    _stand_in('builtins', 'getattr', lambda owner, name: name),
    _stand_in('mmengine.logging.history_buffer', 'HistoryBuffer', type('_History', (), {})),
]


def read_checkpoint(path: str | Path, trust: bool = False, map_location: Any = 'cpu') -> Any:
    """Read a checkpoint file, without running code from it.

    Args:
        path (str | Path): File written by ``torch.save`` that holds tensors,
            plain values, NumPy arrays and mmengine's history of losses
        trust (bool): Whether to unpickle any other Python object in it, which
            can run arbitrary code. Defaults to ``False``
        map_location (Any): See :func:`torch.load`. Defaults to ``'cpu'``

    Returns:
        Any: The content of the file, usually a dict.

    Raises:
        FileNotFoundError: If the file does not exist.
        CheckpointError: If the file is damaged or not a checkpoint, or holds
            other Python objects and ``trust`` is not set.
    """
    if Path(path).is_dir():
        raise CheckpointError(f'"{path}" is a folder. Give the path of a checkpoint file.')
    if not Path(path).is_file():
        raise FileNotFoundError(f'The checkpoint {path} does not exist.')
    with open(path, 'rb') as file:
        return load_file(file, path, trust, map_location)


def load_file(
    file: IO[bytes], name: str | Path, trust: bool = False, map_location: Any = 'cpu'
) -> Any:
    """See :func:`read_checkpoint`, for an open file with a name for errors."""
    try:
        if trust:
            return torch.load(file, map_location=map_location, weights_only=False)
        return _load_safely(file, map_location)
    except Exception as error:  # of many kinds, depending on the file
        reason = str(error)
        refused = re.search(r'GLOBAL (\S+)', reason)
        if refused and isinstance(error, pickle.UnpicklingError):
            raise CheckpointError(
                f'"{name}" holds a Python object ({refused[1]}), and reading it could run code. If '
                'you trust its source, give trust=True (--trust of the tools), or save only its '
                'weights to another file.'
            ) from error
        # torch's own advice is to run the code
        reason = re.sub(r'(?s)^Weights only load failed.*?WeightsUnpickler error: ', '', reason)
        reason = (reason.strip() or type(error).__name__).splitlines()[0]
        file.seek(0)
        empty = not file.read(1)
        raise CheckpointError(
            f'"{name}" cannot be read as a checkpoint: '
            + ('it is empty' if empty else 'it is damaged or a file of another kind')
            + '. Download or save it again.'
            + ('' if 'weights_only' in reason else f' ({reason:.100})')
        ) from error


def read_weights(path: str | Path, trust: bool = False) -> tuple[OrderedDict, dict]:
    """Read the state dict of a checkpoint file and what is known about it.

    Args:
        path (str | Path): See :func:`read_checkpoint`
        trust (bool): See :func:`read_checkpoint`

    Returns:
        tuple[OrderedDict, dict]: Names to tensors, see :func:`get_state_dict`;
        and ``meta`` of the checkpoint, empty if it has none.

    Raises:
        FileNotFoundError: If the file does not exist.
        CheckpointError: If the file is not a checkpoint with a state dict. The
            message names the file.
    """
    checkpoint = read_checkpoint(path, trust)
    try:
        state_dict = get_state_dict(checkpoint)
    except CheckpointError as error:
        raise CheckpointError(f'{path}: {error}') from None
    meta = checkpoint.get('meta')
    return state_dict, meta if isinstance(meta, dict) else {}


def _load_safely(file: IO[bytes], map_location: Any) -> Any:
    if hasattr(torch.serialization, 'safe_globals'):  # torch >= 2.5
        # what others consider safe stays so, but not under the names of this
        # module: mmengine lists getattr itself
        known = torch.serialization.get_safe_globals()
        names = set(map(_full_name, _SAFE))
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals([x for x in known if _full_name(x) not in names])
        torch.serialization.add_safe_globals(_SAFE)
        try:
            return torch.load(file, map_location=map_location, weights_only=True)
        finally:
            torch.serialization.clear_safe_globals()
            torch.serialization.add_safe_globals(known)
    # weights_only of older versions takes no further types
    module = SimpleNamespace(
        __name__='safe', Unpickler=_Unpickler, load=lambda file, **_: _Unpickler(file).load()
    )
    return torch.load(file, map_location=map_location, pickle_module=module, weights_only=False)


def _full_name(found: Any) -> str:
    """How a pickle calls an object, or a pair of an object and its name."""
    return found[1] if isinstance(found, tuple) else f'{found.__module__}.{found.__qualname__}'


class _Unpickler(pickle.Unpickler):
    """Finds only what PyTorch before 2.5 and this module consider safe."""

    def find_class(self, module: str, name: str) -> Any:
        known = torch._weights_only_unpickler._get_allowed_globals()
        key = f'{module}.{name}'.replace('__builtin__', 'builtins')
        known = {**known, **{_full_name(found): found for found in _SAFE}}
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
        CheckpointError: If there is no state dict, or a value is not a tensor
            of finite real numbers.
    """
    state_dict = checkpoint
    if isinstance(checkpoint, Mapping):
        state_dict = checkpoint.get('state_dict', checkpoint.get('model', checkpoint))
    if not isinstance(state_dict, Mapping) or not state_dict:
        raise CheckpointError(
            'The file must hold a dict of tensors, or a checkpoint with such a dict under '
            f'"state_dict" or "model", but it has {state_dict!r:.80}.'
        )
    wrong = {
        'not a tensor': [str(k) for k, v in state_dict.items() if not torch.is_tensor(v)],
        'of an unnamed parameter': [str(k) for k in state_dict if not isinstance(k, str)],
    }
    if any(wrong.values()):
        raise CheckpointError(
            'The file has no state dict. Give a file that holds only tensors, or has the key '
            '"state_dict" or "model".',
            wrong,
        )
    kinds = {key: _other_kind(value) for key, value in state_dict.items()}
    other = [f'{key} ({kind})' for key, kind in kinds.items() if kind]
    if other:
        raise CheckpointError(
            'The file holds tensors that are not plain numbers. Give the checkpoint that it was '
            'made from.',
            {'of another kind': other},
        )
    diverged = [key for key, value in state_dict.items() if not _is_finite(value)]
    if diverged:
        raise CheckpointError(
            'The file has values that are not finite: its training has diverged. Use an earlier '
            'one.',
            {'not finite': diverged},
        )
    return strip_module({key: value.detach() for key, value in state_dict.items()})


def _is_finite(value: Tensor) -> bool:
    if value.is_meta or not value.is_floating_point():
        return True
    # not all kernels know numbers of one byte
    return bool((value.float() if value.element_size() == 1 else value).isfinite().all())


def _other_kind(value: Tensor) -> str | None:
    """What keeps a tensor from being a weight, if anything."""
    if value.is_quantized:
        return 'quantized'
    if value.layout != torch.strided or value.is_nested:
        return 'sparse'
    return 'complex' if value.is_complex() else None


def strip_module(state_dict: Mapping[str, Tensor]) -> OrderedDict:
    """Remove the ``module.`` of a wrapped model, if all keys start with it."""
    prefix = 'module.' if all(key.startswith('module.') for key in state_dict) else ''
    return OrderedDict((key.removeprefix(prefix), value) for key, value in state_dict.items())
