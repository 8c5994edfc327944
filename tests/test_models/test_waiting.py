"""Network and losses wait for no GPU, but the matching does; see also ``test_cuda.py``."""

import pytest
import torch

from helpers.fake_cuda import fake_cuda
from helpers.networks import NETWORKS, build_network
from helpers.small_heads import feats

pytestmark = pytest.mark.skipif(
    not torch.backends.cuda.is_built(),
    reason='convolutions of PyTorch without CUDA end the process when they meet its tensors',
)


@pytest.mark.parametrize('kind', NETWORKS)
def test_head(kind, mmpose_scope, monkeypatch):
    """The matching itself needs values, which a GPU that is none does not have."""
    costs = []

    def assign(cost):
        costs.append(cost)
        return torch.zeros(cost.shape[:2], dtype=torch.long, device=cost.device)

    monkeypatch.setattr('prtr_plugin.models.heads.prtr_head.batched_linear_assignment', assign)
    head = build_network(kind).head.train()
    with fake_cuda(head) as waits:
        maps = feats(2, channels=head.transformer.in_channels)
        maps = [torch.empty(x.shape, device='cuda') for x in maps]
        targets = torch.empty(2, 17, 2, device='cuda'), torch.empty(2, 17, device='cuda')
        losses = head.loss_by_targets(maps, *targets)
        outputs = head.eval()(maps)
        assert waits == []
    assert len(costs) == 1
    assert {x.device.type for x in (*costs, *losses.values(), *outputs)} == {'cuda'}


@pytest.mark.parametrize(
    'wait',
    [
        lambda x: x.cpu(),
        lambda x: x[0].item(),
        lambda x: x[x > 0],
        lambda x: x.nonzero(),
        lambda x: x.new_tensor([1.0, 2.0]),
        lambda x: x + torch.zeros(2).to('cuda'),
        lambda x: x.copy_(torch.zeros(2)),
    ],
)
def test_waiting_is_seen(wait):
    with fake_cuda() as waits:
        x = torch.empty(2, device='cuda')
        x + 1, x.clone(), x.double(), torch.zeros(2).to('cuda', non_blocking=True)
        assert waits == []
        try:
            wait(x)
        except Exception as error:
            # no values to read
            assert 'Dynamic' in type(error).__name__ or 'DataDependent' in type(error).__name__
        assert len(waits) == 1
