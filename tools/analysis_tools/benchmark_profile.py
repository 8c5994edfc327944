"""Where the time goes, for ``benchmark.py --profile``."""

import time
from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode


def profile_call(
    call: Callable[[], dict[str, float]], dtype: torch.dtype, device: torch.device, rows: int
) -> dict:
    """Where the time of a call goes, and what its operations need at least.

    Args:
        call (Callable): What to profile. It returns the seconds of its parts
        dtype (torch.dtype): In which most of its operations are done
        device (torch.device): Device
        rows (int): Number of operators in the table

    Returns:
        dict: The profiler's ``table``, ``macs`` done, the machine's ``rates``
        in multiply-adds per second, the seconds that the operations would
        take at the best of them (``floor``), and the ``seconds`` of the call.
    """
    macs, rates = count_macs(call), matrix_rates(dtype, device)
    return dict(
        table=profiler_table(call, device, rows),
        macs=macs,
        rates=rates,
        floor=macs / max(rates.values()),
        seconds=min(sum(call().values()) for _ in range(3)),
    )


def profiler_table(call: Callable[[], object], device: torch.device, rows: int) -> str:
    """The profiler's table of the operators that take the most time.

    Args:
        call (Callable): What to profile. It runs once before
        device (torch.device): Device
        rows (int): Number of operators
    """
    call()
    activities = [ProfilerActivity.CPU]
    if device.type == 'cuda':
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities) as profiler:
        call()
    averages = profiler.key_averages()
    key = 'self_cpu_time_total'
    if device.type == 'cuda':
        # PyTorch has renamed it
        key = (
            'self_device_time_total'
            if hasattr(averages[0], 'self_device_time_total')
            else 'self_cuda_time_total'
        )
    return averages.table(sort_by=key, row_limit=rows, max_name_column_width=40)


@cache
def matrix_rates(dtype: torch.dtype, device: torch.device) -> dict[str, float]:
    """What the machine reaches, in multiply-adds per second.

    Returns:
        dict: ``product`` of two matrices of 2048x2048 and ``convolution`` of
        8 maps of 256x48x48 with 256 filters of 3x3. These may come from
        different libraries with different rates.
    """
    a, b = torch.randn(2, 2048, 2048, device=device, dtype=dtype)
    maps = torch.randn(8, 256, 48, 48, device=device, dtype=dtype)
    filters = torch.randn(256, 256, 3, 3, device=device, dtype=dtype)
    maps, filters = (x.to(memory_format=torch.channels_last) for x in (maps, filters))
    return dict(
        product=2048**3 / _fastest(lambda: a @ b, device),
        convolution=maps.numel()
        * 256
        * 9
        / _fastest(lambda: F.conv2d(maps, filters, padding=1), device),
    )


def _fastest(call: Callable[[], object], device: torch.device) -> float:
    seconds = []
    for _ in range(6):
        start = time.perf_counter()
        call()
        if device.type == 'cuda':
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def count_macs(call: Callable[[], object]) -> int:
    """Multiply-adds that a call really does, backward passes included.

    PyTorch counts matrix products and convolutions, but not all kinds of
    fused attention.
    """
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops() // 2
