"""A checkpoint has to fit the model exactly."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.optim import OptimWrapper
from torch import nn

from prtr_plugin.checkpoints import CheckpointError
from prtr_plugin.engine.hooks import PartialLoadHook, StrictLoadHook


@pytest.fixture
def model():
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))


def load(model, checkpoint, hook=StrictLoadHook):
    runner = SimpleNamespace(model=model, cfg=dict(load_from='a.pth'))
    hook().after_load_checkpoint(runner, checkpoint)


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
    with pytest.raises(CheckpointError, match=r'a.pth: (?s:.*)missing \(1\):\n  1.running_mean$'):
        load(model, state)


def test_what_mmengine_does_not_load(model):
    """It looks into ``state_dict`` only."""
    with pytest.raises(CheckpointError, match=r'unexpected \(1\):\n  model$'):
        load(model, dict(model=model.state_dict()))


def test_starting_from_a_part(model):
    state = model.state_dict()
    load(model, {'0.bias': state['0.bias']}, PartialLoadHook)
    load(model, {'0.bias': state['0.bias'], 'other.bias': torch.ones(1)}, PartialLoadHook)
    for nothing in ({'backbone.0.bias': state['0.bias']}, {'0.bias': torch.ones(3)}):
        with pytest.raises(CheckpointError, match=r'a.pth: .*fills nothing'):
            load(model, nothing, PartialLoadHook)


def test_groups_of_another_optimizer(model):
    """mmengine makes a group of each parameter."""
    optimizers = [
        torch.optim.SGD(model.parameters(), lr=0.1),
        torch.optim.SGD([dict(params=[p]) for p in model.parameters()], lr=0.1),
    ]
    now, before = (optimizer.state_dict() for optimizer in optimizers)
    runner = SimpleNamespace(
        model=model,
        cfg=dict(load_from='a.pth', resume=True),
        optim_wrapper=OptimWrapper(optimizers[0]),
    )
    state = model.state_dict()
    StrictLoadHook().after_load_checkpoint(runner, dict(state_dict=state, optimizer=now))
    with pytest.raises(
        CheckpointError, match='a.pth: its optimizer has 4 groups of 4 .*makes 1 of 4.*Resume'
    ):
        StrictLoadHook().after_load_checkpoint(runner, dict(state_dict=state, optimizer=before))
    # only the weights are taken
    runner.cfg['resume'] = False
    StrictLoadHook().after_load_checkpoint(runner, dict(state_dict=state, optimizer=before))
