import pytest
import torch
from mmpose.registry import MODELS

import prtr_plugin  # noqa: F401


def build(**kwargs):
    return MODELS.build(dict(type='TruncatedL1Loss', **kwargs))


@pytest.mark.parametrize('max_error', [0.05, 0.3, 9.0])
@pytest.mark.parametrize('use_target_weight', [True, False])
def test_written_out(max_error, use_target_weight):
    g = torch.Generator().manual_seed(0)
    output, target = torch.rand(2, 5, 2, generator=g), torch.rand(2, 5, 2, generator=g)
    weight = (torch.rand(2, 5, generator=g) > 0.3).float()
    total = 0.0
    for b in range(2):
        for k in range(5):
            dx, dy = (output[b, k] - target[b, k]).abs().tolist()
            if max(dx, dy) <= max_error and (weight[b, k] or not use_target_weight):
                total += dx + dy
    loss = build(max_error=max_error, use_target_weight=use_target_weight, loss_weight=3.0)
    assert loss(output, target, weight).item() == pytest.approx(3 * total / 20)


def test_far_points_teach_nothing():
    output = torch.tensor([[[0.5, 0.5], [0.5, 0.5]]], requires_grad=True)
    target = torch.tensor([[[0.52, 0.5], [0.9, 0.5]]])
    build(max_error=0.1)(output, target, torch.ones(1, 2)).backward()
    assert output.grad[0, 0, 0] < 0 and not output.grad[0, 1].any()


def test_bad_arguments():
    with pytest.raises(ValueError, match='max_error of TruncatedL1Loss must be positive.* 0'):
        build(max_error=0)
