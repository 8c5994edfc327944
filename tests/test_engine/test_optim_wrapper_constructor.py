import copy

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from torch import nn

import prtr_plugin  # noqa: F401

OPTIONS = {
    'one': {},
    'norms': dict(norm_decay_mult=0.0),
    'part': dict(custom_keys={'2.0': dict(lr_mult=0.1)}, norm_decay_mult=0.0, bias_lr_mult=2.0),
}


def build(model, constructor, paramwise_cfg):
    return build_optim_wrapper(
        model,
        dict(
            type='OptimWrapper',
            constructor=constructor,
            optimizer=dict(type='AdamW', lr=0.1, weight_decay=0.5),
            paramwise_cfg=paramwise_cfg,
        ),
    )


def options_by_parameter(model, wrapper):
    names = {id(p): name for name, p in model.named_parameters()}
    return {
        names[id(p)]: {key: value for key, value in group.items() if key != 'params'}
        for group in wrapper.optimizer.param_groups
        for p in group['params']
    }


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Sequential(nn.Linear(4, 2)))


@pytest.mark.parametrize(('name', 'num_groups'), [('one', 1), ('norms', 2), ('part', 4)])
def test_same_steps_in_fewer_groups(model, name, num_groups):
    """Those of mmengine's groups of one parameter each."""
    paramwise_cfg = OPTIONS[name]
    other = copy.deepcopy(model)
    grouped = build(model, 'GroupedOptimWrapperConstructor', paramwise_cfg)
    default = build(other, 'DefaultOptimWrapperConstructor', paramwise_cfg)
    assert len(grouped.optimizer.param_groups) == num_groups
    assert len(default.optimizer.param_groups) == (6 if paramwise_cfg else 1)
    assert options_by_parameter(model, grouped) == options_by_parameter(other, default)
    # the one whose learning rate mmengine logs
    assert grouped.get_lr()['lr'][0] == default.get_lr()['lr'][0]
    x = torch.randn(5, 3)
    for _ in range(3):
        for network, wrapper in ((model, grouped), (other, default)):
            wrapper.update_params(network(x).square().mean())
    for a, b in zip(model.parameters(), other.parameters()):
        assert torch.equal(a, b)


def test_shared_parameters(model):
    model.append(nn.Linear(4, 2))
    model[3].weight = model[2][0].weight
    with pytest.raises(ValueError, match='parameter twice.*bypass_duplicate=True'):
        build(model, 'GroupedOptimWrapperConstructor', OPTIONS['norms'])
    options = dict(OPTIONS['norms'], bypass_duplicate=True)
    wrapper = build(model, 'GroupedOptimWrapperConstructor', options)
    params = [p for group in wrapper.optimizer.param_groups for p in group['params']]
    assert len(params) == len(set(params)) == 7


def test_frozen_parameters_are_left_out(model):
    model[0].requires_grad_(False)
    wrapper = build(model, 'GroupedOptimWrapperConstructor', OPTIONS['norms'])
    assert set(options_by_parameter(model, wrapper)) == {
        '1.weight',
        '1.bias',
        '2.0.weight',
        '2.0.bias',
    }
