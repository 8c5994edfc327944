"""A state dict has to fit a model exactly."""

import pytest
import torch
from torch import nn

from helpers import small_cascade
from prtr_plugin.checkpoints import CheckpointError, check_state_dict


@pytest.fixture
def model():
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))


def test_message_names_the_keys(model):
    state = model.state_dict()
    check_state_dict(model, state)
    del state['1.running_mean']
    state['0.weight'] = torch.zeros(2, 4)
    state['2.bias'] = torch.zeros(2)
    with pytest.raises(CheckpointError) as error:
        check_state_dict(model, state, 'No.')
    assert str(error.value).splitlines() == [
        'No.',
        'missing (1):',
        '  1.running_mean',
        'unexpected (1):',
        '  2.bias',
        'of another shape (1):',
        '  0.weight (2, 4) instead of (2, 3)',
    ]


def test_counters_may_be_missing(model):
    """Old checkpoints lack them."""
    state = model.state_dict()
    del state['1.num_batches_tracked']
    check_state_dict(model, state)
    model.load_state_dict(dict(state))


def test_long_lists_are_cut(model):
    state = {**model.state_dict(), **{f'name.{i}': torch.ones(1) for i in range(99)}}
    with pytest.raises(CheckpointError, match=r'(?s)unexpected \(99\).*\n  name\.19\n  \.\.\.$'):
        check_state_dict(model, state)


def test_config():
    """Names and shapes are those of the built model."""
    state = small_cascade.build().state_dict()
    check_state_dict(small_cascade.CONFIG, state)
    del state['head.fc_cls.bias']
    with pytest.raises(CheckpointError, match=r'missing \(1\):\n  head.fc_cls.bias$'):
        check_state_dict(small_cascade.CONFIG, state)
