import math

import pytest
import torch
from mmpose.registry import MODELS

import prtr_plugin  # noqa: F401

SIZE = (5, 4)  # h, w


def build(**kwargs):
    return MODELS.build(dict(type='KeypointMapLoss', **kwargs))


def case():
    g = torch.Generator().manual_seed(0)
    maps = torch.randn(2, 3, *SIZE, generator=g)
    targets = torch.rand(2, 3, 2, generator=g)
    weights = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]])
    targets[1, 2] = torch.tensor([0.5, 1.2])  # below the image
    return maps, targets, weights


@pytest.mark.parametrize('sigma', [0.6, 1.5])
def test_written_out(sigma):
    """Minus the sum of target times log-probability, pixel by pixel."""
    maps, targets, weights = case()
    h, w = SIZE
    total = 0.0
    for b in range(2):
        for k in range(3):
            tx, ty = targets[b, k].tolist()
            if not weights[b, k] or not (0 <= tx <= 1 and 0 <= ty <= 1):
                continue
            target = {}
            for i in range(h):
                for j in range(w):
                    distance = (j + 0.5 - tx * w) ** 2 + (i + 0.5 - ty * h) ** 2
                    target[i, j] = math.exp(-distance / (2 * sigma**2))
            norm = sum(math.exp(x) for x in maps[b, k].flatten().tolist())
            for (i, j), value in target.items():
                log_prob = maps[b, k, i, j].item() - math.log(norm)
                total -= value / sum(target.values()) * log_prob
    loss = build(sigma=sigma, loss_weight=0.5)(maps, targets, weights)
    assert loss.item() == pytest.approx(0.5 * total / 6, rel=1e-5)


def test_layers_at_once():
    maps, targets, weights = case()
    layers, loss = torch.stack((maps, -maps, maps.sin())), build()
    expected = [loss(layer, targets, weights) for layer in layers]
    torch.testing.assert_close(loss(layers, targets, weights), torch.stack(expected))


def test_least_where_the_joint_is():
    """A step along the gradient moves the peak to the joint."""
    maps = torch.zeros(1, 1, 8, 6, requires_grad=True)
    build()(maps, torch.tensor([[[2.5 / 6, 6.5 / 8]]]), torch.ones(1, 1)).backward()
    assert maps.grad.argmin() == 6 * 6 + 2


def test_joints_without_weight_have_no_gradient():
    maps, targets, weights = case()
    maps.requires_grad_()
    build()(maps, targets, weights).backward()
    used = maps.grad.abs().amax((-2, -1)) > 0
    assert used.tolist() == [[True, True, False], [True, True, False]]


@pytest.mark.parametrize('value', [float('nan'), float('inf'), 1e30])
def test_joints_that_are_no_numbers(value):
    maps, targets, weights = case()
    expected = build()(maps, targets, weights)
    targets[0, 2] = targets[1, 2] = value
    found = build()(maps.requires_grad_(), targets, weights)
    found.backward()
    assert found == expected and maps.grad.isfinite().all()


def test_bad_sigma():
    with pytest.raises(ValueError, match='sigma .* must be positive, but got 0'):
        build(sigma=0)
