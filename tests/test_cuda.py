"""The same numbers on a GPU as on the CPU; skipped without one (``python -m pytest -m cuda``).

What can be seen without one is tested in ``test_models/test_waiting.py`` (waiting for a GPU),
``test_deploy/test_cuda_graph.py`` and ``test_assignment.py``.
"""

import copy
import os
import socket
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.structures import InstanceData
from mmpose.registry import MODELS

from helpers import small_cascade
from helpers.catalog import load
from helpers.networks import NETWORKS, build_network, inputs, losses
from helpers.small_heads import samples
from prtr_plugin.apis import export, load_model
from prtr_plugin.assignment import batched_linear_assignment
from prtr_plugin.deploy import switch_to_deploy

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU'),
]
DEVICE = 'cuda'
ROOT = Path(__file__).resolve().parents[1]
NAMES = [
    'td-prtr-plus_res18_1xb16-5e_synthetic-128x96',
    'td-prtr_res18_1xb32-20e_synthetic-128x96',
    'td-prtr_res50_4xb32-200e_coco-384x288',
    'td-deformable-prtr_res50_4xb16-100e_coco-384x288',
    'td-prtr_hrnet-w32_4xb16-200e_coco-384x288',
]


@pytest.fixture(autouse=True)
def exact_convolutions(monkeypatch):
    """Convolutions without TF32, which has 10 bits after the point."""
    monkeypatch.setattr(torch.backends.cudnn, 'allow_tf32', False)


def on_gpu(data):
    return [x.to(DEVICE) for x in data]


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
    return (model.eval(), data), (copy.deepcopy(model).to(DEVICE), on_gpu(data))


def loss(model, data):
    return sum(value for name, value in losses(model, data).items() if 'loss' in name)


def test_losses_and_gradients(pair, monkeypatch):
    """With the matches of the CPU on both. Some queries of an untrained head cost the same, and
    gradients change by 5e-3 of their norm where rounding decides.
    """
    matches: list[torch.Tensor] = []

    def assign(cost):
        if not matches:
            matches.append(batched_linear_assignment(cost))
        return matches[0].to(cost.device)

    monkeypatch.setattr('prtr_plugin.models.heads.prtr_head.batched_linear_assignment', assign)
    found = []
    for model, data in pair:
        total = loss(model, data)
        total.backward()
        grads = [p.grad.flatten().cpu() for p in model.parameters() if p.grad is not None]
        found.append((total.item(), torch.cat(grads)))
    (total, grads), (other, other_grads) = found
    assert other == pytest.approx(total, rel=1e-5)
    assert (grads - other_grads).norm() < 1e-3 * grads.norm()


@torch.no_grad()
def test_joints(pair):
    (logits, coords), (other_logits, other_coords) = (
        model.head(model.extract_feat(data[0])) for model, data in pair
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


@pytest.mark.parametrize('spread', [0.0, 5.0])
@pytest.mark.parametrize('maximize', [False, True])
def test_assignment(spread, maximize):
    """Without and with conflicts, which a spread over columns makes."""
    rng = torch.Generator().manual_seed(0)
    cost = torch.rand(30, 17, 100, generator=rng) + spread * torch.rand(30, 1, 100, generator=rng)
    found = batched_linear_assignment(cost.to(DEVICE), maximize)
    assert found.device.type == DEVICE
    assert torch.equal(found.cpu(), batched_linear_assignment(cost, maximize))


@pytest.fixture(params=NETWORKS)
def network(request, mmpose_scope):
    """A small model on the GPU."""
    return build_network(request.param).to(DEVICE)


def count_waits(call):
    """How often the host waits for the GPU."""
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode('warn')
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('always')
            call()
    finally:
        torch.cuda.set_sync_debug_mode('default')
    return sum('synchronizing CUDA operation' in str(w.message) for w in caught)


def test_waits_are_counted():
    assert count_waits(lambda: torch.ones(2, device=DEVICE) + 1) == 0
    assert count_waits(lambda: torch.ones(2, device=DEVICE).sum().item()) == 1


def test_waits_of_a_training_step(network):
    """For the matching: once, and once more for its conflicts. The optimizer does not clip
    gradients, whose norm mmengine would log.
    """
    data = inputs(4, DEVICE)
    optimizer = dict(type='AdamW', lr=1e-4, fused=True)
    wrapper = build_optim_wrapper(network.train(), dict(type='OptimWrapper', optimizer=optimizer))

    def step():
        wrapper.update_params(loss(network, data))

    step()
    assert count_waits(step) in (1, 2)
    assert all(x.device.type == DEVICE for x in losses(network, data).values())


@pytest.mark.parametrize(
    'name',
    [
        'td-prtr_res18_1xb32-20e_synthetic-128x96',
        'td-prtr_res50_4xb32-200e_coco-384x288',
        'prtr-cascade_res18_1xb8-24e_synthetic-144x192',
        'prtr-cascade_res50_8xb2-50e_coco-800x1333',
    ],
)
def test_waits_of_images_and_labels(name, mmpose_scope):
    """None, on the way to the GPU. There mmengine reorders the channels of each image by a list,
    which is a copy of its own.
    """
    cfg = load(name).model.data_preprocessor
    preprocessor = MODELS.build(cfg).to(DEVICE)
    batch = samples(4, 17)
    for sample in batch:
        sample.gt_instance_labels = InstanceData(
            keypoint_labels=torch.rand(1, 17, 2), keypoint_weights=torch.ones(1, 17)
        )
    data = dict(inputs=[torch.zeros(3, 64, 48, dtype=torch.uint8)] * 4, data_samples=batch)
    assert count_waits(lambda: preprocessor(data, training=True)) == (4 if cfg.bgr_to_rgb else 0)
    moved = preprocessor(data, training=True)['data_samples'][0].gt_instance_labels
    assert moved.keypoint_labels.device.type == DEVICE


@torch.no_grad()
def test_waits_of_forward(network):
    images = inputs(4, DEVICE)[0]
    network.eval()(images, None, mode='tensor')
    assert count_waits(lambda: network(images, None, mode='tensor')) == 0


def test_waits_of_the_read_out(network):
    """Once, and once more for conflicts."""
    codec = network.head.decoder
    logits = torch.zeros(4, 20, 18, device=DEVICE)
    logits[:, range(17), range(17)] = 9
    coords = torch.rand(4, 20, 2, device=DEVICE)
    assert count_waits(lambda: codec.batch_decode(logits, coords)) == 1
    logits[1, 0, 1], logits[1, 1, 1] = 9, 0
    assert count_waits(lambda: codec.batch_decode(logits, coords)) == 2
    for a, b in zip(
        codec.batch_decode(logits, coords), codec.batch_decode(logits.cpu(), coords.cpu())
    ):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
@torch.no_grad()
def test_cuda_graphs(network, dtype):
    """Raw outputs, and joints of a flip test; batches of two sizes, and others in between."""
    images = inputs(3, DEVICE)[0]
    batches = [images, images[:2], images.flip(0), images[:2] + 1]

    def run(model):
        found = []
        for x in batches:
            data = samples(len(x), 17)
            for sample in data:
                sample.set_metainfo(dict(flip_indices=[0, *range(16, 0, -1)]))
            with torch.autocast(DEVICE, dtype, enabled=dtype != torch.float32):
                found.append(model(x, None, mode='tensor'))
                feats = [model.extract_feat(x), model.extract_feat(x.flip(-1))]
                joints = model.head.predict(feats, data, dict(flip_test=True))
            found.append([torch.from_numpy(np.stack([x.keypoints for x in joints]))])
        return [x.float().cpu() for xs in found for x in xs]

    expected = run(switch_to_deploy(copy.deepcopy(network)))
    found = run(switch_to_deploy(network, cuda_graph=True))
    tolerance = 1e-3 if dtype == torch.float32 else 5e-2
    for a, b in zip(expected, found):
        torch.testing.assert_close(b, a, rtol=tolerance, atol=tolerance * max(1, a.abs().max()))


@pytest.mark.parametrize('wrapper', ['OptimWrapper', 'AmpOptimWrapper'])
def test_steps_that_learn(network, wrapper):
    """With the fused optimizer and channels last."""
    data = inputs(4, DEVICE)
    network.train().backbone.to(memory_format=torch.channels_last)
    optimizer = dict(type='AdamW', lr=1e-3, fused=True)
    wrapper = build_optim_wrapper(network, dict(type=wrapper, optimizer=optimizer))
    found = []
    for _ in range(20):
        with wrapper.optim_context(network):
            total = loss(network, data)
        wrapper.update_params(total)
        found.append(total.item())
    assert np.isfinite(found).all() and found[-1] < 0.9 * found[0]


def test_export(small_config, tmp_path):
    """A model on a GPU becomes a file."""
    model = load_model(small_config, device=DEVICE, random_weights=True)
    (check,) = export(model, tmp_path / 'model.pt', batch_sizes=[2], tolerance=1e-2, repeats=0)
    assert max(check.differences.values()) < 1e-2


def test_training_and_resuming(run_tool, each_config, quick_options, tmp_path):
    """mmengine takes the GPU by itself."""
    args = ('train.py', each_config, '--amp', '--work-dir', tmp_path)
    for more in ((), ('--resume',)):
        epochs = 2 if more else 1
        done = run_tool(*args, *more, options={**quick_options, 'train_cfg.max_epochs': epochs})
        assert (done.code, done.error) == (0, None)
        assert (tmp_path / f'epoch_{epochs}.pth').is_file()


def test_cascade(mmpose_scope):
    """Losses, gradients and people of small cascades, in a batch of two images."""
    shapes = [small_cascade.SIZE, (50, 60)]
    labels = small_cascade.people(2), small_cascade.people(1)
    models = [small_cascade.build() for _ in range(2)]
    models[1].to(DEVICE)
    found, predicted = [], []
    for model, device in zip(models, ('cpu', DEVICE)):
        images, samples = small_cascade.batch(*labels, shapes=shapes)
        losses = model.train().loss(images.to(device), [x.to(device) for x in samples])
        grads = small_cascade.gradients(model, losses).values()
        total = small_cascade.total(losses).item()
        found.append((total, torch.cat([grad.flatten().cpu() for grad in grads])))
        images, samples = small_cascade.batch(*labels, shapes=shapes)
        with torch.no_grad():
            people = model.eval().predict(images.to(device), [x.to(device) for x in samples])
        predicted.append([x.pred_instances for x in people])
    (total, grads), (other, other_grads) = found
    assert other == pytest.approx(total, rel=1e-4)
    assert (grads - other_grads).norm() < 1e-2 * grads.norm()
    for a, b in zip(*predicted):
        np.testing.assert_allclose(b.keypoints, a.keypoints, atol=1e-2)
        np.testing.assert_allclose(b.keypoint_scores, a.keypoint_scores, atol=1e-3)


def test_distributed(each_config, quick_options, as_arguments, tmp_path):
    """A process of ``tools/dist.sh``, with NCCL."""
    options = {**quick_options, 'train_cfg.max_epochs': 1}
    args = [ROOT / 'tools/dist.sh', 'train', each_config, '1', '--work-dir', tmp_path]
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = str(free.getsockname()[1])
    env = dict(os.environ, PYTHON=sys.executable, PORT=port)
    done = subprocess.run(
        [*args, *as_arguments(options)], env=env, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'Distributed training: True' in done.stdout + done.stderr
    assert (tmp_path / 'epoch_1.pth').is_file()
