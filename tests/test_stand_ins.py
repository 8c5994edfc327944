"""What replaces compiled modules that are not installed."""

import importlib
import importlib.machinery
import re
import sys
from pathlib import Path

import numpy as np
import pycocotools._mask
import pytest

from prtr_plugin import _mmcv_ext, _stand_ins

OPS = Path(importlib.import_module('mmcv').__file__).parent / 'ops'


@pytest.fixture
def find(monkeypatch):
    """Chooses what can be found, with nothing imported yet."""
    for name in ('mmcv._ext', 'xtcocotools._mask'):
        # put back afterwards, whatever is registered
        monkeypatch.setitem(sys.modules, name, None)
        monkeypatch.delitem(sys.modules, name)

    def choose(*found):
        def find_spec(name):
            return importlib.machinery.ModuleSpec(name, None) if name in found else None

        monkeypatch.setattr(_stand_ins.importlib.util, 'find_spec', find_spec)
        _stand_ins.register_stand_ins()

    return choose


def test_the_operators_of_mmcv(find):
    find()
    assert importlib.import_module('mmcv._ext') is _mmcv_ext


def test_compiled_operators_stay(find):
    find('mmcv._ext')
    assert 'mmcv._ext' not in sys.modules


@pytest.mark.parametrize(
    'version, found, replaced',
    [
        ('1.26.4', True, False),
        ('1.26.4', False, True),
        ('2.0.0', True, True),
        ('2.5.5', False, True),
    ],
)
def test_the_masks_of_xtcocotools(find, monkeypatch, version, found, replaced):
    monkeypatch.setattr(np, '__version__', version)
    find('mmcv._ext', 'pycocotools._mask', *['xtcocotools._mask'] * found)
    assert (sys.modules.get('xtcocotools._mask') is pycocotools._mask) == replaced


def test_without_the_package_itself(find, monkeypatch):
    """The version check says what is missing."""

    def find_spec(name):
        raise ModuleNotFoundError(name)

    find('mmcv._ext')
    monkeypatch.setattr(_stand_ins.importlib.util, 'find_spec', find_spec)
    _stand_ins.register_stand_ins()
    assert 'mmcv._ext' not in sys.modules


def test_every_operator_of_mmcv_can_be_imported_and_says_what_to_do():
    """Those that mmcv asks its compiled module for."""
    text = ''.join(path.read_text() for path in OPS.rglob('*.py'))
    calls = re.findall(r"load_ext\(\s*'_ext',\s*\[(.*?)\]", text, re.S)
    names = re.findall(r"'(\w+)'", ' '.join(calls))
    assert len(names) > 50 and {'nms', 'ms_deform_attn_forward'} <= set(names)
    for name in names:
        if name.startswith('get_compil'):
            assert getattr(_mmcv_ext, name)() == 'not available'
        else:
            with pytest.raises(
                RuntimeError, match=rf'{name} is one: compile .*MMCV_OPS=1'
            ) as error:
                getattr(_mmcv_ext, name)(1, two=2)
            assert '\n' not in str(error.value)


def test_it_has_no_other_attributes():
    """As Python and debuggers ask modules for."""
    assert not hasattr(_mmcv_ext, '__path__') and not hasattr(_mmcv_ext, '_private')
