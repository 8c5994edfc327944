"""Shared set-up of the tests.

Fixtures:
    shared: the optional folder of real images and reference numbers.
    mmpose_scope: makes ``mmpose`` the default scope during one test.
    data_dir: ``tests/data``.
    manifests: keys and shapes of published checkpoints.
    synthetic_people: a tiny data set on disk.
    small_config: the small config of the paper's head.
    cascade_config: the small config of the cascade.
    plus_config: the small config of PRTR+.
    each_config: one after the other.
    quick_options: settings that make it train on those people in seconds.
    as_arguments: writes such settings for a command line.
    run_tool: runs a script of ``tools/`` in this process.
    run_prtr: runs the command ``prtr`` in this process.
    own_people: a tiny dataset of one's own, with five joints.
    own_run: the work folder of a training on it.
    train_an_epoch: trains a config with those settings.
    checkpoint: the model of ``small_config`` after that.
    odd_pictures: a folder of odd and damaged picture files.
    no_network: makes connections fail.
"""

import contextlib
import ctypes
import functools
import gc
import gzip
import json
import os
import runpy
import socket
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import mmengine.config.utils
import pytest
import torch
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope
from mmengine.visualization import Visualizer
from mmpose.visualization import PoseLocalVisualizer
from typer.testing import CliRunner, Result

from helpers.odd_pictures import write_odd_pictures
from helpers.own_people import write_people
from prtr_plugin.datasets import generate_people
from prtr_tool import app

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / 'tests' / 'data'

# Real images and full reference arrays are not part of the project.
SHARED = Path(os.environ.get('PRTR_SHARED', ROOT.parent / 'shared'))

# The tests are small: more threads only wait for each other.
torch.set_num_threads(1)
cv2.setNumThreads(1)

# Freed tensors go back to the system: glibc would keep those of up to 32 MB, which
# are gigabytes after the models of real size. -3 is M_MMAP_THRESHOLD.
with contextlib.suppress(AttributeError, OSError):
    ctypes.CDLL(None).mallopt(-3, 2**20)


@contextlib.contextmanager
def fresh_globals():
    """Put mmengine's global objects aside.

    They belong to one run: the next one would log into the folder of this
    one, draw on its canvas and look names up in its scope.
    """
    managers = (MMLogger, MessageHub, Visualizer, PoseLocalVisualizer, DefaultScope)
    before = [dict(manager._instance_dict) for manager in managers]
    for manager in managers:
        manager._instance_dict.clear()
    yield
    for manager, instances in zip(managers, before):
        manager._instance_dict.clear()
        manager._instance_dict.update(instances)


@pytest.fixture(scope='module', autouse=True)
def independent_modules():
    """No test file sees what another one has left behind.

    Nor does it add to its memory: models that were traced refer to themselves.
    """
    with fresh_globals():
        yield
    gc.collect()


def pytest_collection_finish():
    """What is imported stays: garbage collections, which datasets ask for, need not look at it."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish(session):
    """With xdist, what imports have printed would follow pytest's last line."""
    session.config.pluginmanager.getplugin('capturemanager').read_global_capture()


@pytest.fixture(scope='session', autouse=True)
def quick_mmengine():
    """Without two things that take most of the time of a small run.

    Every run logs and saves its config, which yapf formats in seconds, and
    every config with a ``mmpose::`` base reads all metafiles of mmpose again.
    """

    def unformatted(text, **kwargs):
        return text, True

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('yapf.yapflib.yapf_api.FormatCode', unformatted)
        # where other versions of mmengine have imported it
        patch.setattr('mmengine.config.config.FormatCode', unformatted, raising=False)
        read = functools.cache(mmengine.config.utils._get_cfg_metainfo)
        patch.setattr(mmengine.config.utils, '_get_cfg_metainfo', read)
        yield


@pytest.fixture(scope='session')
def data_dir() -> Path:
    """The folder of small test data, ``tests/data``."""
    return DATA


@pytest.fixture(scope='session')
def manifests(data_dir) -> dict[str, dict[str, tuple]]:
    """Keys and shapes of published checkpoints by their names."""
    with gzip.open(data_dir / 'manifests.json.gz', 'rt') as file:
        content = json.load(file)
    manifests = {
        name: {key: tuple(shape) for key, shape in params} for name, params in content.items()
    }
    # the backbones are the same, and listed once
    backbone = {
        key: shape
        for key, shape in manifests['prtr_res50_384x288_coco'].items()
        if key.startswith('backbone')
    }
    manifests['prtr_sequential_res50'].update(backbone)
    return manifests


@pytest.fixture(scope='session')
def shared() -> Path:
    """The optional shared folder; a test that asks for it skips without."""
    if not SHARED.is_dir():
        pytest.skip('no shared folder (set PRTR_SHARED to its path)')
    return SHARED


@pytest.fixture
def mmpose_scope():
    """``mmpose`` as default scope, for registries without a config file."""
    with DefaultScope.overwrite_default_scope('mmpose'):
        yield


@pytest.fixture(scope='session')
def synthetic_people(tmp_path_factory) -> Path:
    """A folder with 8 training and 4 validation images of 160x120 pixels."""
    out = tmp_path_factory.mktemp('synthetic') / 'people'
    generate_people(out, num_train=8, num_val=4, max_people=2, image_size=(160, 120))
    return out


@pytest.fixture(scope='session')
def small_config() -> str:
    """Path of the small config of the paper's head."""
    return str(
        ROOT / 'configs/body_2d_keypoint/prtr/synthetic/td-prtr_res18_1xb32-20e_synthetic-128x96.py'
    )


@pytest.fixture(scope='session')
def cascade_config() -> str:
    """Path of the small config of the cascade."""
    folder = ROOT / 'configs/body_2d_keypoint/prtr_cascade/synthetic'
    (path,) = folder.glob('prtr-cascade_*.py')
    return str(path)


@pytest.fixture(scope='session')
def plus_config() -> str:
    """Path of the small config of PRTR+."""
    folder = ROOT / 'configs/body_2d_keypoint/prtr_plus/synthetic'
    return str(folder / 'td-prtr-plus_res18_1xb16-5e_synthetic-128x96.py')


@pytest.fixture(scope='session', params=['small_config', 'cascade_config'])
def each_config(request) -> str:
    """Path of the small config of the two-stage model and the cascade."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope='session')
def quick_options(synthetic_people) -> dict:
    """Config options for two epochs of three steps; the losses are logged
    for every step, not as means over the last ones."""
    options = {
        'data_root': f'{synthetic_people}/',
        'train_cfg.max_epochs': 2,
        'train_cfg.val_interval': 2,
        # a learning rate that shows in so few steps
        'param_scheduler.0.end': 4,
        'train_dataloader.batch_size': 4,
        'model.head.transformer.num_encoder_layers': 1,
        'model.head.transformer.num_decoder_layers': 2,
        'default_hooks.logger.interval': 1,
        'default_hooks.checkpoint.interval': 1,
        'default_hooks.checkpoint.max_keep_ckpts': 2,
        'log_processor.window_size': 1,
    }
    for split in ('train', 'val', 'test'):
        options[f'{split}_dataloader.num_workers'] = 0
        options[f'{split}_dataloader.persistent_workers'] = False
    return options


@pytest.fixture(scope='session')
def as_arguments():
    """A function that turns config options into command line arguments."""

    def convert(options: dict) -> list:
        pairs = [f'{key}={value}' for key, value in options.items()]
        return ['--cfg-options', *pairs] if pairs else []

    return convert


@pytest.fixture(scope='session')
def run_tool(as_arguments):
    """A function that runs ``tools/<path>`` with arguments.

    It returns the exit code, or the message that the script exited with, and
    what the script raised if it did. In this process, as importing everything
    takes longer than most tests.
    """

    def run(path: str, *args, options: dict = {}) -> SimpleNamespace:
        file = ROOT / 'tools' / path
        argv = [str(file), *map(str, args), *as_arguments(options)]
        code, error = 0, None
        with pytest.MonkeyPatch.context() as patch, fresh_globals():
            patch.setattr(sys, 'argv', argv)
            patch.setenv('LOCAL_RANK', '0')
            # as Python does for a script: files beside it can be imported
            patch.syspath_prepend(str(file.parent))
            try:
                runpy.run_path(str(file), run_name='__main__')
            except SystemExit as exit:
                code = exit.code or 0
            except Exception as exception:
                code, error = 1, exception
        return SimpleNamespace(code=code, error=error)

    return run


@pytest.fixture(scope='session')
def run_prtr():
    """A function that runs ``prtr`` with arguments and returns click's result."""

    def run(*args) -> Result:
        with fresh_globals():
            return CliRunner().invoke(app, list(map(str, args)))

    return run


@pytest.fixture(scope='session')
def own_people(tmp_path_factory) -> Path:
    """Ten pictures of people with five joints, without a split."""
    return write_people(tmp_path_factory.mktemp('own') / 'people5', num_images=10)


@pytest.fixture(scope='session')
def own_run(own_people, run_prtr) -> Path:
    """Work folder of ``prtr train data=...`` with a small model, for an epoch."""
    folder = own_people.parent / 'run'
    layers = [f'model.head.transformer.num_{kind}_layers=1' for kind in ('encoder', 'decoder')]
    done = run_prtr(
        'train', f'data={own_people}', 'epochs=1', 'device=cpu', f'out={folder}', *layers
    )
    assert done.exit_code == 0, done.output
    (folder / 'screen.txt').write_text(done.output)
    return folder


@pytest.fixture(scope='session')
def train_an_epoch(tmp_path_factory, run_tool, quick_options):
    """A function that trains a config with ``quick_options``, once.

    It returns the path of the checkpoint.
    """

    @functools.cache
    def train(config: str) -> str:
        work_dir = tmp_path_factory.mktemp('checkpoint')
        done = run_tool(
            'train.py',
            config,
            '--no-validate',
            '--work-dir',
            work_dir,
            options={**quick_options, 'train_cfg.max_epochs': 1},
        )
        if done.code:
            raise done.error or RuntimeError(done.code)
        return str(work_dir / 'epoch_1.pth')

    return train


@pytest.fixture(scope='session')
def checkpoint(train_an_epoch, small_config) -> str:
    """Path of a checkpoint of ``small_config`` with ``quick_options``."""
    return train_an_epoch(small_config)


@pytest.fixture(scope='session')
def odd_pictures(tmp_path_factory) -> Path:
    """A folder of odd and damaged picture files."""
    folder = tmp_path_factory.mktemp('odd_pictures')
    write_odd_pictures(folder)
    return folder


@pytest.fixture
def no_network(monkeypatch):
    """A connection is an error: nothing may be downloaded."""

    def refuse(*args, **kwargs):
        raise AssertionError('an attempt to use the network')

    monkeypatch.setattr(socket, 'getaddrinfo', refuse)
    monkeypatch.setattr(socket.socket, 'connect', refuse)
