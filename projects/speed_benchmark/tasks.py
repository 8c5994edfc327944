"""The tasks of ``benchmark.py``."""

import copy
import multiprocessing
import os
import re
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path

import torch
from mmengine.dataset import Compose, pseudo_collate
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS
from torch import Tensor
from torch.utils.benchmark import Measurement, Timer
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count
from variants import Variant

from prtr_plugin.apis import predict, switch_to_deploy

# runs a task once in the given data type
Call = Callable[[str], object]


def set_up(num_threads: int) -> None:
    """Prepare a process."""
    torch.set_num_threads(num_threads)
    init_default_scope('mmpose')
    MMLogger.get_instance('benchmark', log_level='ERROR')


def inference(variant: Variant, batch_size: int, device: str) -> Call:
    """From image arrays to joints."""
    model = variant.build(training=False).to(device)
    data = variant.images(batch_size)
    images = [x['img'] for x in data]
    boxes = [x['bbox'] for x in data] if variant.top_down else None

    def call(dtype: str) -> object:
        kind = torch.device(device).type
        with torch.autocast(kind, torch.bfloat16, enabled=dtype == 'bfloat16'):
            # a cascade keeps as many people as its config says, at any score
            return predict(model, images, boxes, batch_size, 0.0)

    return call


def train(variant: Variant, batch_size: int, device: str) -> Call:
    """A step of training from image arrays."""
    model = variant.build(training=True).to(device)
    images = variant.images(batch_size)
    pipeline = Compose(variant.cfg.train_dataloader.dataset.pipeline)
    wrappers = {d: variant.build_optim_wrapper(model, d) for d in ('float32', 'bfloat16')}

    def call(dtype: str) -> object:
        data = pseudo_collate([pipeline(copy.deepcopy(x)) for x in images])
        return model.train_step(data, wrappers[dtype])

    return call


def on_device(variant: Variant, task: str, device: str) -> Callable[[int], Call]:
    """``train``, ``inference`` or ``backbone`` without the pipeline: the batch is on the device
    already. The fast mode runs as CUDA graphs on a GPU.

    Returns:
        Callable: Takes a batch size and returns what runs the task once.
    """
    training = task == 'train'
    model = variant.build(training).to(device)
    if variant.mode == 'fast' and not training and torch.device(device).type == 'cuda':
        switch_to_deploy(model, cuda_graph=True)
    split = variant.cfg.train_dataloader if training else variant.cfg.test_dataloader
    pipeline = Compose(split.dataset.pipeline)
    samples = [pipeline(x) for x in variant.images(8)]
    dtypes = ('float32', 'bfloat16') if training else ()
    wrappers = {d: variant.build_optim_wrapper(model, d) for d in dtypes}

    def make(batch_size: int) -> Call:
        data = pseudo_collate(list(islice(cycle(samples), batch_size)))
        data['inputs'] = [x.to(device) for x in data['inputs']]

        def call(dtype: str) -> object:
            if training:
                return model.train_step(data, wrappers[dtype])
            kind, half = torch.device(device).type, dtype == 'bfloat16'
            with torch.no_grad(), torch.autocast(kind, torch.bfloat16, enabled=half):
                if task == 'backbone':
                    return model.extract_feat(model.data_preprocessor(data, False)['inputs'])
                return model.test_step(data)

        return call

    return make


def matching(variant: Variant, num_crops: int, device: str, conflicts: float) -> Call:
    """Only matching and losses of all decoder layers."""
    head = MODELS.build(variant.cfg.model.head).to(device)
    shape = (num_crops, head.num_queries, head.out_channels)
    outputs = trained_outputs(head.transformer.num_decoder_layers, *shape, conflicts)
    logits, coords, labels = (x.to(device) for x in outputs)
    inputs = logits.requires_grad_(), coords.requires_grad_(), labels
    return lambda dtype: head.loss_by_feat(*inputs, torch.ones_like(labels[..., 0]))


def read_out(variant: Variant, num_crops: int, device: str, conflicts: float) -> Call:
    """Only the read-out."""
    head = MODELS.build(variant.cfg.model.head)
    outputs = trained_outputs(1, num_crops, head.num_queries, head.out_channels, conflicts)
    logits, coords = (x[0].to(device) for x in outputs[:2])
    return lambda dtype: head.decoder.batch_decode(logits, coords)


def trained_outputs(
    num_layers: int, num_crops: int, num_queries: int, num_joints: int, conflicts: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Class logits (L, B, Q, K + 1), coordinates (L, B, Q, 2) and targets
    (B, K, 2) like those of a trained model: each joint has its own query, but
    in a share of the crops two joints at the same point have the same one.
    """
    rng = torch.Generator().manual_seed(0)
    shape = (num_layers, num_crops, num_queries)
    labels = torch.rand(num_crops, num_joints, 2, generator=rng)
    queries = torch.rand(shape, generator=rng).argsort(dim=-1)[..., :num_joints]
    num_conflicts = round(conflicts * num_crops)
    labels[:num_conflicts, 1:2] = labels[:num_conflicts, :1]
    queries[:, :num_conflicts, 1:2] = queries[:, :num_conflicts, :1]
    logits = 0.5 * torch.randn(*shape, num_joints + 1, generator=rng)
    logits.scatter_(2, queries[:, :, None], 8.0)
    coords = torch.rand(*shape, 2, generator=rng)
    index = queries[..., None].expand(-1, -1, -1, 2)
    coords.scatter_(2, index, labels.expand(num_layers, -1, -1, -1))
    coords += 0.01 * torch.randn(coords.shape, generator=rng)
    return logits, coords.clamp(0, 1), labels


def measure_in_turns(
    calls: dict[tuple[str, str], Callable[[], object]], title: str, turns: int
) -> list[Measurement]:
    """Time all calls, by (row, column) of a table, in turns, so that a change
    of the machine's load affects all of them. A call is repeated for 0.2 s or
    more in each turn, after a warm-up.
    """
    timers = [
        Timer('call()', globals=dict(call=call), label=title, sub_label=row, description=column,
              num_threads=torch.get_num_threads())
        for (row, column), call in calls.items()
    ]  # fmt: skip
    measured = []
    for _ in range(turns):
        measured += [timer.blocked_autorange(min_run_time=0.2) for timer in timers]
    return Measurement.merge(measured)


def complexity(variant: Variant, batch_size: int, device: str) -> dict[str, float]:
    """Millions of parameters, and billions of multiply-adds of matrix products
    and convolutions for each image of a batch.
    """

    def attention(query, key, value, *args, out_shape=None, **kwargs) -> int:
        return sdpa_flop_count(query, key, value)

    # PyTorch does not count its attention kernel of the CPU
    kernel = getattr(torch.ops.aten, '_scaled_dot_product_flash_attention_for_cpu', None)
    formulas = {kernel: attention} if kernel else {}
    call = inference(variant, batch_size, device)
    with FlopCounterMode(display=False, custom_mapping=formulas) as counter:
        call('float32')
    num_params = sum(p.numel() for p in variant.build(training=True).parameters())
    return dict(Mparams=num_params / 1e6, GMACs=counter.get_total_flops() / 2e9 / batch_size)


def peak_memory(
    variant: Variant, task: Callable[..., Call], batch_size: int, dtype: str, device: str
) -> float | None:
    """Peak memory in MiB of a model and two runs of a task, in a new process.

    On CUDA it is the memory that PyTorch allocates on the device. On the CPU it
    is the growth of the resident set of the process: weights, gradients, the
    state of the optimizer, activations, a batch of images, and the work space
    of libraries; None if the system does not report it (other than Linux).
    """
    # lets the C library of Linux return freed blocks to the system at once, so
    # that the resident set follows what is in use
    os.environ['MALLOC_MMAP_THRESHOLD_'] = str(2**16)
    try:
        with multiprocessing.get_context('spawn').Pool(1) as pool:
            pool.apply(set_up, (torch.get_num_threads(),))
            return pool.apply(added_memory, (variant, task, batch_size, dtype, device))
    finally:
        del os.environ['MALLOC_MMAP_THRESHOLD_']


def added_memory(
    variant: Variant, task: Callable[..., Call], batch_size: int, dtype: str, device: str
) -> float | None:
    """See :func:`peak_memory`, in this process."""
    before = resident_set('VmRSS')
    call = task(variant, batch_size, device)
    for _ in range(2):  # the optimizer gets its state in the first one
        call(dtype)
    if torch.device(device).type == 'cuda':
        return torch.cuda.max_memory_allocated(device) / 2**20
    return None if before is None else resident_set('VmHWM') - before


def resident_set(field: str) -> float | None:
    """``VmRSS`` or ``VmHWM`` of this process in MiB, None where unknown."""
    status = Path('/proc/self/status')
    found = re.search(rf'{field}:\s*(\d+) kB', status.read_text()) if status.is_file() else None
    return int(found[1]) / 2**10 if found else None
