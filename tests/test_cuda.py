"""The same numbers on a GPU as on the CPU; skipped without one (``python -m pytest -m cuda``)."""

import copy

import pytest
import torch
from mmpose.registry import MODELS

from helpers.catalog import load

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU'),
]
DEVICE = 'cuda'
NAMES = [
    'td-prtr-plus_res18_1xb16-8e_synthetic-128x96',
    'td-prtr_res18_1xb32-20e_synthetic-128x96',
    'td-prtr_res50_4xb32-200e_coco-384x288',
]


@pytest.fixture(autouse=True)
def exact_convolutions(monkeypatch):
    """Convolutions without TF32, which has 10 bits after the point."""
    monkeypatch.setattr(torch.backends.cudnn, 'allow_tf32', False)


@pytest.fixture(params=NAMES)
def pair(request, mmpose_scope):
    """A model and its data on the CPU, and both on the GPU."""
    cfg = copy.deepcopy(load(request.param).model)
    cfg.backbone.init_cfg = None
    torch.manual_seed(0)
    model = MODELS.build(cfg)
    model.init_weights()
    width, height = cfg.head.decoder.input_size
    data = torch.randn(2, 3, height, width), torch.rand(2, 17, 2), torch.ones(2, 17)
    return (model.eval(), data), (copy.deepcopy(model).to(DEVICE), [x.to(DEVICE) for x in data])


def loss(model, data):
    image, labels, weights = data
    losses = model.head.loss_by_targets(model.backbone(image), labels, weights)
    return sum(value for name, value in losses.items() if 'loss' in name)


def test_losses_and_gradients(pair):
    found = []
    for model, data in pair:
        total = loss(model, data)
        total.backward()
        grads = [p.grad.flatten().cpu() for p in model.parameters() if p.grad is not None]
        found.append((total.item(), torch.cat(grads)))
    (total, grads), (other, other_grads) = found
    assert other == pytest.approx(total, rel=1e-5)
    assert (grads - other_grads).norm() < 1e-4 * grads.norm()


@torch.no_grad()
def test_joints(pair):
    (logits, coords), (other_logits, other_coords) = (
        model.head(model.backbone(data[0])) for model, data in pair
    )
    torch.testing.assert_close(other_logits.cpu(), logits, rtol=1e-4, atol=1e-4)
    size = torch.tensor(pair[0][0].head.decoder.input_size)
    assert ((other_coords.cpu() - coords).abs() * size).max() < 1e-2


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
@torch.no_grad()
def test_half_precision(pair, dtype):
    (model, data), (other, other_data) = pair
    with torch.autocast(DEVICE, dtype):
        found = loss(other, other_data).item()
    assert found == pytest.approx(loss(model, data).item(), rel=1e-2)
