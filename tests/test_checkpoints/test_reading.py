"""Checkpoint files are read as data."""

import pickle
import zipfile
from argparse import Namespace
from collections import OrderedDict

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from prtr_plugin.checkpoints import CheckpointError, get_state_dict, read_checkpoint, strip_module

STATE = OrderedDict(a=torch.ones(2), b=torch.tensor(3))


@pytest.fixture(params=['with safe_globals', 'as before torch 2.5'], autouse=True)
def torch_version(request, monkeypatch):
    """Older versions cannot be told what is safe."""
    if request.param == 'as before torch 2.5':
        monkeypatch.delattr(torch.serialization, 'safe_globals', raising=False)


class Unsafe:
    """Unpickling it calls a function."""

    called = False

    def __reduce__(self):
        return setattr, (Unsafe, 'called', True)


@pytest.mark.parametrize('zipped', [True, False])
def test_tensors(tmp_path, zipped):
    path = tmp_path / 'a.pth'
    torch.save(STATE, path, _use_new_zipfile_serialization=zipped)
    for found in (read_checkpoint(path), read_checkpoint(str(path), trust=True)):
        assert list(found) == ['a', 'b']
        assert torch.equal(found['a'], STATE['a']) and found['b'] == 3


def test_what_training_saves(tmp_path):
    """NumPy's numbers and arrays, and the losses of mmengine."""
    history = HistoryBuffer([1.0, 2.0], [1, 1])
    arrays = [np.arange(n, dtype='float64') for n in (0, 3)]
    arrays += [np.arange(3, dtype=name) for name in ('uint8', 'float32', 'int32', 'int64')]
    torch.save(
        dict(state_dict=STATE, ap=np.float64(0.7), arrays=arrays, hub=dict(loss=history)),
        tmp_path / 'a.pth',
    )
    found = read_checkpoint(tmp_path / 'a.pth')
    assert found['ap'] == 0.7
    for array, expected in zip(found['arrays'], arrays):
        assert array.dtype == expected.dtype and (array == expected).all()
    assert found['hub']['loss']._log_history.tolist() == [1, 2]


@pytest.mark.parametrize('core', ['core', '_core'])
def test_what_another_numpy_saved(tmp_path, core):
    """NumPy 2 has renamed the module of the functions that rebuild arrays."""
    saved = dict(array=np.arange(3.0), number=np.float64(0.5))
    pickled = pickle.dumps(saved, protocol=2)
    mine = np.empty(0).__reduce__()[0].__module__.encode()
    assert pickled.count(mine) == 2
    content = pickled.replace(mine, f'numpy.{core}.multiarray'.encode())
    path = tmp_path / 'a.pth'
    torch.save({}, path)
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / 'b.pth', 'w') as new:
        for name in old.namelist():
            new.writestr(name, content if name.endswith('data.pkl') else old.read(name))
    found = read_checkpoint(tmp_path / 'b.pth')
    assert found['array'].tolist() == [0, 1, 2] and found['number'] == 0.5


@pytest.mark.skipif(not hasattr(torch.serialization, 'get_safe_globals'), reason='old PyTorch')
def test_what_is_safe_elsewhere(tmp_path):
    """It stays safe, but the names that are safe here mean what they mean here."""
    kept = set(torch.serialization.get_safe_globals())
    torch.serialization.add_safe_globals([getattr, HistoryBuffer])
    before = set(torch.serialization.get_safe_globals())
    torch.save(dict(loss=HistoryBuffer([1.0], [1])), tmp_path / 'a.pth')
    found = read_checkpoint(tmp_path / 'a.pth')
    assert not isinstance(found['loss'], HistoryBuffer)
    assert set(torch.serialization.get_safe_globals()) == before
    torch.serialization.clear_safe_globals()
    torch.serialization.add_safe_globals(list(kept))


def test_nothing_is_registered(tmp_path):
    """As unpickling the history would do, for all that come later."""
    history = HistoryBuffer()
    history._statistics_methods = dict(mean=HistoryBuffer.max)
    torch.save(dict(loss=history), tmp_path / 'a.pth')
    read_checkpoint(tmp_path / 'a.pth')
    assert HistoryBuffer([1.0, 3.0], [1, 1]).statistics('mean') == 2


def test_a_trained_checkpoint(checkpoint):
    found, expected = read_checkpoint(checkpoint), read_checkpoint(checkpoint, trust=True)
    assert found.keys() == expected.keys()
    assert found['meta']['cfg'] == expected['meta']['cfg']
    for key, value in expected['state_dict'].items():
        assert torch.equal(found['state_dict'][key], value)


@pytest.mark.parametrize('zipped', [True, False])
def test_code_is_not_run(tmp_path, zipped):
    path = tmp_path / 'a.pth'
    torch.save(dict(state_dict=STATE, extra=Unsafe()), path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match='setattr.*could run code.*trust=True'):
        read_checkpoint(path)
    assert not Unsafe.called
    read_checkpoint(path, trust=True)
    assert Unsafe.called
    Unsafe.called = False
    torch.save(dict(args=Namespace(lr=1)), path)
    with pytest.raises(CheckpointError, match='argparse.Namespace'):
        read_checkpoint(path)


@pytest.mark.parametrize('trust', [False, True])
@pytest.mark.parametrize('content', [b'', b'text', b'PK\x03\x04 cut off'])
def test_damaged(tmp_path, content, trust):
    path = tmp_path / 'damaged.pth'
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match='damaged.pth" cannot be read'):
        read_checkpoint(path, trust)


def test_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match='none.pth does not exist'):
        read_checkpoint(tmp_path / 'none.pth')


@pytest.mark.parametrize(
    ('value', 'message'),
    [
        (torch.tensor([1, float('nan')]), r'not finite \(1\):\n  c'),
        (torch.tensor([1, float('inf')], dtype=torch.float16), 'not finite'),
        (torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8), r'c \(quantized\)'),
        (torch.ones(2).to_sparse(), r'c \(sparse\)'),
        (torch.ones(2, dtype=torch.complex64), r'c \(complex\)'),
    ],
)
def test_no_plain_numbers(value, message):
    with pytest.raises(CheckpointError, match=message):
        get_state_dict(dict(STATE, c=value))


def test_wrapped():
    prefixed = {f'module.{key}': value for key, value in STATE.items()}
    for checkpoint in (
        STATE,
        prefixed,
        dict(state_dict=prefixed, epoch=3, optimizer={}),
        dict(model=STATE, epoch=3),
    ):
        found = get_state_dict(checkpoint)
        assert list(found) == ['a', 'b'] and torch.equal(found['a'], STATE['a'])
    # a module of that name is not a wrapper
    assert list(strip_module({'module.a': STATE['a'], 'b': STATE['b']})) == ['module.a', 'b']


@pytest.mark.parametrize(
    'checkpoint', [[], dict(), dict(state_dict=None), dict(epoch=1, model='hrnet')]
)
def test_no_state_dict(checkpoint):
    with pytest.raises(CheckpointError, match='state_dict'):
        get_state_dict(checkpoint)
    with pytest.raises(CheckpointError, match=r'(?s)not a tensor \(1\):\n  epoch'):
        get_state_dict(dict(STATE, epoch=3))
