import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmpose.apis import init_model
from mmpose.registry import DATASETS

from prtr_plugin.apis import load_config


def build(config, options):
    torch.manual_seed(0)
    model = init_model(load_config(config, options), device='cpu', cfg_options={})
    model.init_weights()
    return model


@pytest.fixture(scope='module')
def model(small_config, quick_options):
    """A two-stage model with random weights and two decoder layers."""
    return build(small_config, quick_options)


@pytest.fixture(scope='module')
def plus(plus_config, quick_options):
    """A two-stage PRTR+ with random weights and two decoder layers."""
    model = build(plus_config, quick_options)
    for parameter in model.head.transformer.kernel_branch.parameters():
        # kernels that depend on the person, with clear peaks
        torch.nn.init.normal_(parameter, std=0.3)
    return model


@pytest.fixture(scope='module')
def cascade(cascade_config, quick_options):
    """A cascade with random weights."""
    return build(cascade_config, quick_options)


@pytest.fixture
def batch(model, mmpose_scope):
    """A batch of three people of the validation set."""
    dataset = DATASETS.build(model.cfg.val_dataloader.dataset)
    return pseudo_collate([dataset[i] for i in range(3)])
