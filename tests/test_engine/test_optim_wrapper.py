import torch
from mmpose.registry import OPTIM_WRAPPERS
from torch import nn

import prtr_plugin  # noqa: F401


def test_forward_in_bfloat16_and_weights_in_float32():
    model = nn.Linear(4, 3)
    before = model.weight.detach().clone()
    wrapper = OPTIM_WRAPPERS.build(
        dict(type='BFloat16OptimWrapper', optimizer=torch.optim.SGD(model.parameters(), lr=0.1))
    )
    x = torch.randn(2, 4)
    with wrapper.optim_context(model):
        y = model(x)
    assert y.dtype == torch.bfloat16
    wrapper.update_params(y.float().sum())
    assert model.weight.dtype == torch.float32
    # the gradient of the sum is the sum of the inputs
    torch.testing.assert_close(
        model.weight.detach(), before - 0.1 * x.sum(0).expand(3, 4), atol=5e-3, rtol=0
    )
    assert model(x).dtype == torch.float32
