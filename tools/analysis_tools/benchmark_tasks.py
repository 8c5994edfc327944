"""What ``benchmark.py`` measures."""

import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from benchmark_cases import Variant
from memory_utils import added_memory, cuda_memory
from mmengine.analysis import FlopAnalyzer
from mmengine.analysis.jit_handles import get_shape
from mmengine.dataset import pseudo_collate
from mmpose.models.heads.base_head import BaseHead
from torch import Tensor, nn

# seconds of the parts of a run
Times = dict[str, float]


class Stopwatch:
    """Adds up the seconds that are spent in named sections.

    What runs inside of a section that is inside of another one counts for the
    inner one only. On CUDA every change of section waits for the device.

    Args:
        device (torch.device): Device
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds = defaultdict(float)
        self._sections = []
        self._since = 0.0

    @contextmanager
    def section(self, name: str) -> Iterator[None]:
        """Count what follows for this section."""
        self._count()
        self._sections.append(name)
        try:
            yield
        finally:
            self._count()
            self._sections.pop()

    def watch(self, owner: Any, method: str, name: str) -> None:
        """Count all calls of a method of an object for a section."""
        function = getattr(owner, method)

        def watched(*args, **kwargs):
            with self.section(name):
                return function(*args, **kwargs)

        setattr(owner, method, watched)

    def pop(self) -> Times:
        """The seconds since the last call."""
        seconds, self.seconds = dict(self.seconds), defaultdict(float)
        return seconds

    def _count(self) -> None:
        if self.device.type == 'cuda':
            torch.cuda.synchronize(self.device)
        now = time.perf_counter()
        if self._sections:
            self.seconds[self._sections[-1]] += now - self._since
        self._since = now


class Inference:
    """From image arrays to joints.

    Parts: ``pipeline`` (from image arrays to a batch), ``forward`` (backbone,
    neck and head), ``read_out`` (from outputs to joints in input pixels) and
    ``other`` (normalisation, joints in image pixels).

    Args:
        variant (Variant): The model
        batch_size (int): Batch size
        device (torch.device): Device
    """

    def __init__(self, variant: Variant, batch_size: int, device: torch.device) -> None:
        self.model = variant.build(training=False).to(device)
        self.people = variant.people(batch_size)
        self.pipeline = variant.pipeline(training=False)
        self.stopwatch = Stopwatch(device)
        self.stopwatch.watch(self.model, 'predict', 'forward')
        if hasattr(self.model, 'add_pred_to_datasample'):
            self.stopwatch.watch(self.model, 'add_pred_to_datasample', 'other')
        # batch by batch or crop by crop, with or without the transfers
        self.stopwatch.watch(self.model.head, 'decode', 'read_out')
        self.stopwatch.watch(self.model.head.decoder, 'batch_decode', 'read_out')

    @torch.no_grad()
    def __call__(self, dtype: torch.dtype = torch.float32) -> Times:
        """Run once and return the seconds of the parts."""
        section = self.stopwatch.section
        with section('pipeline'):
            data = pseudo_collate([self.pipeline(person()) for person in self.people])
        with section('other'), autocast(self.stopwatch.device, dtype):
            self.model.test_step(data)
        return self.stopwatch.pop()

    @torch.no_grad()
    def outputs(self, dtype: torch.dtype = torch.float32) -> Any:
        """What the network puts out before the read-out."""
        with autocast(self.stopwatch.device, dtype):
            return self.model(**self.batch(), mode='tensor')

    def batch(self) -> dict:
        """Normalised images and data samples."""
        data = pseudo_collate([self.pipeline(person()) for person in self.people])
        return self.model.data_preprocessor(data)

    def complexity(self) -> dict[str, float | None]:
        """Parameters, and multiply-adds for each image of a batch.

        Counted by mmengine, and fused attention besides; deformable sampling
        is not.
        """

        class Forward(nn.Module):
            def __init__(self, model: nn.Module) -> None:
                super().__init__()
                self.model = model

            def forward(self, inputs: Tensor) -> Any:
                return self.model(inputs, samples, mode='tensor')

        def fused_attention(inputs: list, outputs: list) -> int:
            (*heads, queries, dims), keys = map(get_shape, inputs[:2])
            return 2 * int(np.prod(heads)) * queries * keys[-2] * dims

        data = self.batch()
        samples = data['data_samples']
        counter = FlopAnalyzer(Forward(self.model), (data['inputs'],))
        counter.set_op_handle('aten::scaled_dot_product_attention', fused_attention)
        counter.unsupported_ops_warnings(False).tracer_warnings('none')
        try:
            with warnings.catch_warnings(), torch.no_grad():
                warnings.simplefilter('ignore')
                macs = counter.total() / len(samples)
        except RuntimeError:
            # what crops people cannot be traced by all versions of PyTorch
            macs = None
        return dict(params=sum(p.numel() for p in self.model.parameters()), macs=macs)


class Training:
    """Steps of training from image arrays.

    Parts: ``data`` (from image arrays to a normalised batch), ``forward``,
    ``matching``, ``loss``, ``backward`` and ``optimizer`` (clipping of
    gradients included). ``loss`` is that of the last step.

    Args:
        variant (Variant): The model
        batch_size (int): Batch size
        device (torch.device): Device
    """

    def __init__(self, variant: Variant, batch_size: int, device: torch.device) -> None:
        self.model = variant.build(training=True).to(device)
        self.optim_wrapper = variant.build_optim_wrapper(self.model)
        self.people = variant.people(batch_size)
        self.pipeline = variant.pipeline(training=True)
        self.stopwatch = Stopwatch(device)
        watch_losses(self.stopwatch, self.model)
        self.stopwatch.watch(self.model, 'parse_losses', 'loss')

    def __call__(self, dtype: torch.dtype = torch.float32) -> Times:
        """Run one step and return the seconds of the parts."""
        section = self.stopwatch.section
        with section('data'):
            data = pseudo_collate([self.pipeline(person()) for person in self.people])
            data = self.model.data_preprocessor(data, training=True)
        with section('forward'), autocast(self.stopwatch.device, dtype):
            losses = self.model(**data, mode='loss')
            loss, _ = self.model.parse_losses(losses)
        with section('backward'):
            self.optim_wrapper.backward(loss)
        self.loss = loss.detach()
        with section('optimizer'):
            self.optim_wrapper.step()
            self.optim_wrapper.zero_grad()
        return self.stopwatch.pop()


def watch_losses(stopwatch: Stopwatch, model: nn.Module) -> None:
    """Tell forward pass, matching and loss of all heads of a model apart."""
    for module in model.modules():
        if hasattr(module, 'loss_by_feat'):
            stopwatch.watch(module, 'loss_by_feat', 'loss')
        elif isinstance(module, BaseHead):
            # mmpose's heads also run the network in there
            stopwatch.watch(module, 'loss', 'loss')
            stopwatch.watch(module, 'forward', 'forward')
        if hasattr(module, 'match'):
            stopwatch.watch(module, 'match', 'matching')
        if hasattr(module, 'assigner'):
            stopwatch.watch(module.assigner, 'assign', 'matching')


class ReadOut:
    """Read-out of crops alone.

    Args:
        variant (Variant): A model with a :class:`PRTRHead`
        num_crops (int): Number of crops
        device (torch.device): Device
        conflicts (float): See :func:`trained_outputs`.
    """

    def __init__(
        self, variant: Variant, num_crops: int, device: torch.device, conflicts: float
    ) -> None:
        head = variant.build(training=False).head
        self.codec = head.decoder
        self.outputs = trained_outputs(1, num_crops, head.num_queries, head.out_channels, conflicts)
        self.outputs = [x[-1].to(device) for x in self.outputs[:2]]
        self.stopwatch = Stopwatch(device)

    def __call__(self, dtype: torch.dtype = torch.float32) -> Times:
        """Run once and return the seconds of the parts."""
        with self.stopwatch.section('read_out'):
            self.codec.batch_decode(*self.outputs)
        return self.stopwatch.pop()


class MatchingLoss:
    """Matching and losses of decoder levels times crops alone.

    Args:
        variant (Variant): A model with a :class:`PRTRHead`
        num_crops (int): Number of crops
        device (torch.device): Device
        conflicts (float): See :func:`trained_outputs`
        num_levels (int, optional): Number of decoder levels. Defaults to
            those of the model
    """

    def __init__(
        self,
        variant: Variant,
        num_crops: int,
        device: torch.device,
        conflicts: float,
        num_levels: int | None = None,
    ) -> None:
        self.head = variant.build(training=True).head.to(device)
        if num_levels is None:
            num_levels = self.head.transformer.decoder.num_layers
        outputs = trained_outputs(
            num_levels, num_crops, self.head.num_queries, self.head.out_channels, conflicts
        )
        cls_logits, coords, labels = (x.to(device) for x in outputs)
        self.inputs = (
            cls_logits.requires_grad_(),
            coords.requires_grad_(),
            labels,
            torch.ones_like(labels[..., 0]),
        )
        self.stopwatch = Stopwatch(device)
        watch_losses(self.stopwatch, self.head)

    def __call__(self, dtype: torch.dtype = torch.float32) -> Times:
        """Run once and return the seconds of the parts."""
        self.head.loss_by_feat(*self.inputs)
        return self.stopwatch.pop()


def trained_outputs(
    num_levels: int, num_crops: int, num_queries: int, num_joints: int, conflicts: float = 0.1
) -> tuple:
    """Outputs as those of a trained model: each joint has its own query.

    Args:
        num_levels (int): Number of decoder levels L
        num_crops (int): Number of crops B
        num_queries (int): Number of queries Q
        num_joints (int): Number of joints K
        conflicts (float): Share of the crops in which two joints want the
            same query, so that the solver is needed

    Returns:
        tuple[Tensor, Tensor, Tensor]: Class logits (L, B, Q, K + 1),
        coordinates (L, B, Q, 2) and target coordinates (B, K, 2).
    """
    rng = np.random.RandomState(0)
    shape = (num_levels, num_crops, num_queries)
    logits = rng.standard_normal((*shape, num_joints + 1))
    coords = rng.uniform(0, 1, (*shape, 2))
    labels = rng.uniform(0, 1, (num_crops, num_joints, 2))
    num_conflicts = round(conflicts * num_crops)
    for level in range(num_levels):
        # other crops at every level
        conflicting = rng.permutation(num_crops)[:num_conflicts]
        for crop in range(num_crops):
            queries = rng.permutation(num_queries)[:num_joints]
            if crop in conflicting and num_joints > 1:
                queries[1] = queries[0]
                labels[crop, 1] = labels[crop, 0]
            logits[level, crop, queries, np.arange(num_joints)] = 8
            coords[level, crop, queries] = labels[crop]
    coords += rng.normal(0, 0.01, coords.shape)
    return tuple(torch.from_numpy(x).float() for x in (logits, coords.clip(0, 1), labels))


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """Autocast, or nothing for float32."""
    if dtype == torch.float32:
        return torch.autocast(device.type, enabled=False)
    return torch.autocast(device.type, dtype=dtype)


def interleave(
    calls: dict[Any, Callable[[], Times]], repeats: int
) -> dict[Any, dict[str, list[float]]]:
    """Run all calls in turns, so that a change of the machine's load meets
    all of them. The first turn does not count.

    Args:
        calls (dict): What to run. Each returns the seconds of its parts
        repeats (int): Number of turns

    Returns:
        dict: For each call the seconds of each part in all turns.
    """
    times = {key: defaultdict(list) for key in calls}
    for turn in range(repeats + 1):
        for key, call in calls.items():
            for part, seconds in call().items():
                if turn:
                    times[key][part].append(seconds)
    return {key: dict(parts) for key, parts in times.items()}


def summarize(seconds: list[float]) -> dict[str, float]:
    """Median, quartiles and extremes."""
    low, q1, median, q3, high = np.percentile(seconds, (0, 25, 50, 75, 100))
    return dict(median=float(median), q1=float(q1), q3=float(q3), min=float(low), max=float(high))


def peak_memory(
    variant: Variant, task: str, batch_size: int, dtype: torch.dtype, device: torch.device
) -> int | None:
    """Bytes that a model and two runs of it need at the peak.

    On CUDA it is what PyTorch allocates on the device. On the CPU it is what
    is added to the resident set of this process, which should be a new one:
    weights, gradients, the state of the optimizer, activations, a batch of
    images, and the work space of libraries.
    """
    runs = []

    def work() -> None:
        case = (Training if task == 'train' else Inference)(variant, batch_size, device)
        for _ in range(2):  # the optimizer gets its state in the first one
            case(dtype)
        runs.append(case)

    if device.type == 'cuda':
        return cuda_memory(work, device)
    return added_memory(work)
