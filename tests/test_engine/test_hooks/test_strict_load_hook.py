"""A checkpoint has to fit the model exactly."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from prtr_plugin.engine.hooks import CheckpointError, StrictLoadHook


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
    state['0.weight'] = torch.zeros(2, 4)
    state['2.bias'] = torch.zeros(2)
    with pytest.raises(CheckpointError) as error:
        load(model, state)
    assert '1 missing: 1.running_mean;' in str(error.value)
    assert '1 unexpected: 2.bias;' in str(error.value)
    assert '0.weight (2, 4) instead of (2, 3)' in str(error.value)


def test_long_lists_are_cut(model):
    with pytest.raises(CheckpointError, match='^.{,300}$'):
        load(model, {f'some.long.name.{i}': torch.ones(1) for i in range(99)})
