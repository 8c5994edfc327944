"""Files that are no checkpoints of a model, and what people give by mistake."""

import io
import json
import pickle
import zipfile
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn


class Malicious:
    """Writes a file when it is unpickled, which is harmless."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return open, (str(self.marker), 'w')


def _saved(content, **kwargs) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, **kwargs)
    return file.getvalue()


def _zip(**files: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, 'w') as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def _picture() -> bytes:
    return cv2.imencode('.jpg', np.zeros((8, 8, 3), np.uint8))[1].tobytes()


def _script() -> bytes:
    file = io.BytesIO()
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), file)
    return file.getvalue()


def _safetensors() -> bytes:
    header = json.dumps({'a': dict(dtype='F32', shape=[1], data_offsets=[0, 4])}).encode()
    return len(header).to_bytes(8, 'little') + header + bytes(4)


def _arrays() -> bytes:
    file = io.BytesIO()
    np.savez(file, a=np.ones(2))
    return file.getvalue()


def _changed(good: dict, change: Callable[[torch.Tensor], object]) -> bytes:
    """A checkpoint with one changed tensor."""
    state = dict(good['state_dict'])
    name = next(key for key, value in state.items() if value.is_floating_point())
    state[name] = change(state[name])
    return _saved(dict(good, state_dict=state))


def _quantize(value: torch.Tensor) -> torch.Tensor:
    return torch.quantize_per_tensor(value, 0.1, 0, torch.qint8)


def _nan(value: torch.Tensor) -> torch.Tensor:
    return torch.full_like(value, float('nan'))


KINDS: dict[str, Callable[[dict, Path], bytes]] = {
    'empty': lambda good, _: b'',
    'one byte': lambda good, _: b'x',
    'text': lambda good, _: b'hello, I am a text\n',
    'json': lambda good, _: b'{"state_dict": {}}',
    'html': lambda good, _: b'<!DOCTYPE html><title>404</title>',
    'git lfs': lambda good, _: b'version https://git-lfs.github.com/spec/v1\noid sha256:1\n',
    'picture': lambda good, _: _picture(),
    'onnx': lambda good, _: b'\x08\x08\x12\x07pytorch\x1a\x052.1.0:\x90\x02',
    'safetensors': lambda good, _: _safetensors(),
    'numpy arrays': lambda good, _: _arrays(),
    'torchscript': lambda good, _: _script(),
    'start of a zip': lambda good, _: b'PK\x03\x04 cut off',
    'first half': lambda good, _: _saved(good)[: len(_saved(good)) // 2],
    'another zip': lambda good, _: _zip(hello=b'hello'),
    'plain pickle': lambda good, _: pickle.dumps(dict(a=1)),
    'no state dict': lambda good, _: _saved(dict(epoch=1, meta={})),
    'empty dict': lambda good, _: _saved({}),
    'empty state dict': lambda good, _: _saved(dict(state_dict={})),
    'state dict is None': lambda good, _: _saved(dict(state_dict=None)),
    'list': lambda good, _: _saved([torch.ones(1)]),
    'tensor': lambda good, _: _saved(torch.ones(1)),
    'number': lambda good, _: _saved(3),
    'no tensors': lambda good, _: _saved(dict(state_dict=dict(a=1, b='x'))),
    'numbers as names': lambda good, _: _saved(dict(state_dict={0: torch.ones(1)})),
    'a value that is no tensor': lambda good, _: _changed(good, lambda x: 1.0),
    'quantized': lambda good, _: _changed(good, _quantize),
    'sparse': lambda good, _: _changed(good, lambda x: x.to_sparse()),
    'complex': lambda good, _: _changed(good, lambda x: x.to(torch.complex64)),
    'nan': lambda good, _: _changed(good, _nan),
    'other model': lambda good, _: _saved(nn.Linear(3, 3).state_dict()),
    'pickled model': lambda good, _: _saved(nn.Linear(3, 3)),
    'options': lambda good, _: _saved(dict(good, args=Namespace(lr=1))),
    'malicious': lambda good, marker: _saved(dict(good, extra=Malicious(marker))),
    'malicious, old format': lambda good, marker: _saved(
        dict(good, extra=Malicious(marker)), _use_new_zipfile_serialization=False
    ),
    'malicious pickle': lambda good, marker: pickle.dumps(Malicious(marker)),
    'malicious state': lambda good, marker: _saved(dict(state_dict=Malicious(marker))),
}
MALICIOUS = [name for name in KINDS if name.startswith('malicious')]


def write_odd_checkpoint(folder: Path, kind: str, good: str | Path) -> tuple[Path, Path]:
    """Write one of ``KINDS``, or nothing or a folder for those names.

    Returns:
        tuple[Path, Path]: Its path, and that of the file which it writes if its code is run.
    """
    path, marker = folder / 'odd.pth', folder / 'marker'
    if kind == 'folder':
        path.mkdir()
    elif kind != 'missing':
        path.write_bytes(KINDS[kind](torch.load(good, weights_only=False), marker))
    return path, marker


ALL_KINDS = [*KINDS, 'folder', 'missing']
