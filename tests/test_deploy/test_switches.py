import copy
from types import SimpleNamespace

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.utils import digit_version
from mmpose.registry import HOOKS, MODELS
from torch import nn

from prtr_plugin.apis import load_config
from prtr_plugin.deploy import switch_to_deploy


@pytest.fixture(params=['small_config', 'cascade_config'])
def model(request, mmpose_scope):
    """A model whose batch norms do something."""
    torch.manual_seed(0)
    cfg = load_config(request.getfixturevalue(request.param))
    model = MODELS.build(cfg.model).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.normal_(module.bias, std=0.1)
    return model


def batch_norms(model):
    return sum(isinstance(m, nn.BatchNorm2d) for m in model.modules())


def channels_last(model):
    """Whether all convolutions are; 1x1 ones always look as if they were."""
    weights = [
        m.weight for m in model.modules() if isinstance(m, nn.Conv2d) and m.kernel_size != (1, 1)
    ]
    assert weights
    return all(w.is_contiguous(memory_format=torch.channels_last) for w in weights)


def test_predictions_stay(model):
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        expected = model(images, None, mode='tensor')
        deployed = switch_to_deploy(copy.deepcopy(model))
        found = deployed(images, None, mode='tensor')
    for e, f in zip(expected, found):
        torch.testing.assert_close(f, e, atol=1e-4, rtol=1e-3)
    assert batch_norms(model) and not batch_norms(deployed)
    assert not any(p.requires_grad for p in deployed.parameters())


@pytest.mark.parametrize('fuse_conv_bn', [False, True])
@pytest.mark.parametrize('last', [False, True])
def test_switches(model, fuse_conv_bn, last):
    hook = HOOKS.build(dict(type='DeployHook', fuse_conv_bn=fuse_conv_bn, channels_last=last))
    before = batch_norms(model)
    hook.before_test(SimpleNamespace(model=model))
    assert batch_norms(model) == (0 if fuse_conv_bn else before)
    assert channels_last(model) == last
    assert not model.training


def test_training_in_channels_last(model):
    weights = [w.detach().clone() for w in model.parameters()]
    assert not channels_last(model)
    HOOKS.build(dict(type='ChannelsLastHook')).before_train(SimpleNamespace(model=model.train()))
    assert channels_last(model) and model.training
    for before, after in zip(weights, model.parameters()):
        assert after.requires_grad and torch.equal(before, after)


def test_cuda_graph_switch(model):
    hook = HOOKS.build(dict(type='DeployHook', cuda_graph=True))
    with pytest.raises(ValueError, match='cuda_graph=True needs'):
        hook.before_test(SimpleNamespace(model=model))


class NormWithActivation(nn.BatchNorm2d):
    """As in timm."""

    def forward(self, x):
        return super().forward(x).clamp(0, 6)


def test_activations_inside_of_norms_stay(mmpose_scope):
    class Network(nn.Sequential):
        def switch_to_deploy(self):
            pass

    torch.manual_seed(0)
    model = Network(
        nn.Conv2d(3, 4, 3), NormWithActivation(4), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)
    ).eval()
    image = torch.randn(1, 3, 8, 8)
    expected = model(image)
    assert (expected != model[3](model[2](model[0](image)))).any()
    torch.testing.assert_close(switch_to_deploy(model)(image), expected)
    assert isinstance(model[3], nn.Identity)


@pytest.mark.parametrize('cuda_graph', [False, True])
def test_name_of_a_model(cuda_graph):
    with pytest.raises(TypeError, match="model must be a model, but is 'td-prtr'.*load_model"):
        switch_to_deploy('td-prtr', cuda_graph=cuda_graph)


@pytest.mark.skipif(
    digit_version(torch.__version__) < digit_version('2.4'), reason='only on a GPU before'
)
def test_fused_optimizer():
    """mmengine hands the switch on, and the steps stay the same."""
    models = []
    for fused in (False, True):
        torch.manual_seed(0)
        model = nn.Linear(3, 2)
        cfg = dict(type='AdamW', lr=0.1, fused=fused)
        wrapper = build_optim_wrapper(model, dict(type='OptimWrapper', optimizer=cfg))
        assert wrapper.optimizer.defaults['fused'] == fused
        before = model.weight.clone()
        for _ in range(3):
            wrapper.update_params(model(torch.ones(4, 3)).square().sum())
        assert not torch.allclose(model.weight, before)
        models.append(model)
    torch.testing.assert_close(models[0].weight, models[1].weight)


@pytest.mark.parametrize('precision', ['high', 'highest'])
def test_matmul_precision(precision):
    before = torch.get_float32_matmul_precision()
    hook = HOOKS.build(dict(type='MatmulPrecisionHook', precision=precision))
    hook.before_run(None)
    assert torch.get_float32_matmul_precision() == precision
    hook.after_run(None)
    assert torch.get_float32_matmul_precision() == before
    with pytest.raises(ValueError, match="'high' or 'highest', but is 'tf32'"):
        HOOKS.build(dict(type='MatmulPrecisionHook', precision='tf32'))
