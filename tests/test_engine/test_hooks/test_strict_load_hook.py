"""A checkpoint has to fit the model exactly."""

from types import SimpleNamespace

import pytest
from torch import nn

from prtr_plugin.checkpoints import CheckpointError
from prtr_plugin.engine.hooks import StrictLoadHook


@pytest.fixture
def model():
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))


def load(model, checkpoint):
    StrictLoadHook().after_load_checkpoint(SimpleNamespace(model=model), checkpoint)


def test_fitting_checkpoints_pass(model):
    state = model.state_dict()
    load(model, dict(state_dict=state, meta=dict()))
    load(model, state)
    load(nn.DataParallel(model), state)
    load(model, {f'module.{key}': value for key, value in state.items()})
    del state['1.num_batches_tracked']  # old checkpoints lack it
    load(model, state)


def test_message_names_the_keys(model):
    state = model.state_dict()
    del state['1.running_mean']
    with pytest.raises(CheckpointError, match=r'missing \(1\):\n  1.running_mean$'):
        load(model, state)


def test_what_mmengine_does_not_load(model):
    """It looks into ``state_dict`` only."""
    with pytest.raises(CheckpointError, match=r'unexpected \(1\):\n  model$'):
        load(model, dict(model=model.state_dict()))
