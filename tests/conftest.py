"""Shared set-up of the tests.

Fixtures:
    shared: the optional folder of real images and reference numbers.
    load_tool: loads a script of ``tools/`` as a module.
    mmpose_scope: makes ``mmpose`` the default scope during one test.
    data_dir: ``tests/data``.
"""
import importlib.util
import os
from pathlib import Path

import pytest
import torch
from mmengine.registry import DefaultScope

import prtr_plugin  # noqa: F401

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / 'tests' / 'data'

# Real images and full reference arrays are not part of the project.
SHARED = Path(os.environ.get('PRTR_SHARED', ROOT.parent / 'shared'))

# The tests are small: more threads only wait for each other.
torch.set_num_threads(1)


@pytest.fixture(scope='session')
def data_dir() -> Path:
    """The folder of small test data, ``tests/data``."""
    return DATA


@pytest.fixture(scope='session')
def shared() -> Path:
    """The optional shared folder; a test that asks for it skips without."""
    if not SHARED.is_dir():
        pytest.skip('no shared folder (set PRTR_SHARED to its path)')
    return SHARED


@pytest.fixture(scope='session')
def load_tool():
    """A function that loads ``tools/<path>`` as a module."""

    def load(path: str):
        file = ROOT / 'tools' / path
        spec = importlib.util.spec_from_file_location(file.stem, file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def mmpose_scope():
    """``mmpose`` as default scope, for registries without a config file."""
    with DefaultScope.overwrite_default_scope('mmpose'):
        yield
