"""The bookkeeping of CUDA graphs, with a tape instead of a GPU; see also ``test_cuda.py``."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

from helpers.fake_cuda import fake_cuda
from helpers.networks import NETWORKS, build_network, inputs
from helpers.small_heads import samples
from prtr_plugin.deploy import cuda_graph, switch_to_deploy


class Tape(TorchDispatchMode):
    """Records operators on tensors at fixed places."""

    def __init__(self):
        super().__init__()
        self.steps = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.steps.append((func, args, kwargs or {}, out))
        return out


def leaves(*trees):
    return zip(*(tree_flatten(tree)[0] for tree in trees))


@pytest.fixture
def recorded(monkeypatch):
    """The devices of what was recorded on tapes."""
    devices = []

    def record(call, device):
        devices.append(device)
        with Tape() as tape:
            found = call()
        outputs = tree_map(lambda x: x.clone() if isinstance(x, torch.Tensor) else x, found)

        def replay():
            new = {}
            for func, args, kwargs, out in tape.steps:
                args, kwargs = tree_map(lambda x: new.get(id(x), x), (args, kwargs))
                again = func(*args, **kwargs)
                new.update((id(x), y) for x, y in leaves(out, again))
            for x, y in leaves(outputs, found):
                if isinstance(x, torch.Tensor):
                    x.copy_(new.get(id(y), y))

        return replay, outputs

    monkeypatch.setattr(cuda_graph, 'record', record)
    return devices


def results(model, images):
    """Raw outputs, and joints of a flip test."""
    outputs = model(images, None, mode='tensor')
    feats = [model.extract_feat(images), model.extract_feat(images.flip(-1))]
    data = samples(len(images), 17)
    for sample in data:
        sample.set_metainfo(dict(flip_indices=[0, *range(16, 0, -1)]))
    joints = model.head.predict(feats, data, dict(flip_test=True))
    return [*(x.numpy() for x in outputs), np.stack([x.keypoints for x in joints])]


@torch.no_grad()
@pytest.mark.parametrize('kind', NETWORKS)
def test_replays_compute_the_same(kind, recorded, mmpose_scope):
    model = switch_to_deploy(build_network(kind))
    one, _, _ = inputs(2)
    batches = [one, one.flip(0) + 1, one[:1]]
    expected = [results(model, x) for x in batches]
    cuda_graph.use_graphs(model)
    found = [results(model, x) for x in batches]
    # none was overwritten by a later one
    for a, b in zip(expected, found):
        for x, y in zip(a, b):
            np.testing.assert_allclose(y, x, rtol=1e-4, atol=1e-4)
    # backbone: 2 images or 1; transformer: 2 or 1, and twice as many to flip; points: 2 or 1
    maps = 2 * model.head.transformer.with_maps
    assert recorded == [torch.device('cpu')] * (2 + 3 + maps)


def double(x):
    return (x * 2,)


def test_inference_mode_and_others(recorded):
    call = cuda_graph.GraphedCall(double)
    with torch.inference_mode():
        assert call(torch.ones(2))[0].tolist() == [2, 2]
    (y,) = call(torch.full((2,), 3.0, requires_grad=True))
    assert y.tolist() == [6, 6] and not y.requires_grad
    with torch.inference_mode():
        assert call(torch.full((2,), 4.0))[0].tolist() == [8, 8]
    assert len(recorded) == 1


def test_number_of_graphs(recorded, monkeypatch):
    monkeypatch.setattr(cuda_graph, 'MAX_GRAPHS', 2)
    call = cuda_graph.GraphedCall(double)
    for n in (1, 2, 3, 4, 1):
        assert call(torch.ones(n))[0].tolist() == [2] * n
    call(torch.ones(1).double())
    assert len(recorded) == 2


def test_graphs_tell_types_and_arguments_apart(recorded):
    call = cuda_graph.GraphedCall(lambda xs, last: xs[-1] + 1 if last else xs[0])
    xs = (torch.zeros(2), torch.ones(2))
    assert call(xs, last=True).tolist() == [2, 2]
    assert call(xs, last=False).tolist() == [0, 0]
    assert call([x.double() for x in xs], True).dtype == torch.float64
    assert len(recorded) == 3


def test_graphs_tell_precisions_apart(recorded, monkeypatch):
    call, x = cuda_graph.GraphedCall(double), torch.ones(2)
    call(x)
    monkeypatch.setattr(torch.backends.cudnn, 'allow_tf32', not torch.backends.cudnn.allow_tf32)
    call(x)
    monkeypatch.setattr(torch, 'get_float32_matmul_precision', lambda: 'medium')
    call(x), call(x)
    assert len(recorded) == 3


def test_no_gpu(mmpose_scope):
    model = build_network('prtr').train()
    before = [type(m) for m in model.modules()]
    with pytest.raises(ValueError, match='needs a GPU, but the model is on device "cpu"'):
        switch_to_deploy(model, cuda_graph=True)
    assert [type(m) for m in model.modules()] == before and model.training


def test_which_models(mmpose_scope):
    model, other = build_network('prtr'), nn.Linear(1, 1)
    with fake_cuda(model, other):
        cuda_graph.check_graphs(model)
        with pytest.raises(ValueError, match='needs inputs of one shape, but Linear'):
            cuda_graph.check_graphs(other)
