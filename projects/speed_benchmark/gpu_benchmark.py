"""Measure training, inference and latency on a GPU, in one run of less than 8 minutes.

Example:
    python projects/speed_benchmark/gpu_benchmark.py --out work_dirs/gpu.json

The first config is compared with its plain version, the last one, PRTR+ if none
are given, with mmpose's heads on the same backbone. The modes are those of
benchmark.py; fast inference also runs as CUDA graphs. Batches are on the device
before the time starts. Every run is timed on its own, after the GPU has
finished: median and 99th percentile. When --minutes are over, what is left is
left out, and the script says so.

Tasks:

    inference   preprocessing, network, read-out
    backbone    only the backbone, at batch 1: the latency that a head adds to
    train       forward pass, losses, backward pass, optimizer
"""

import argparse
import contextlib
import gc
import json
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import tasks
import torch
from benchmark import Formatter, add_ratios, check_device, positive, print_table
from other_heads import HEADS
from variants import Variant, make_variants

from prtr_plugin.apis import load_config
from prtr_plugin.fileio import check_output, write_file

FOLDER = Path(__file__).resolve().parents[2] / 'configs' / 'body_2d_keypoint'
CONFIGS = [
    FOLDER / 'prtr/coco/td-prtr_res50_4xb32-200e_coco-384x288.py',
    FOLDER / 'prtr_plus/coco/td-prtr-plus_res50_4xb32-210e_coco-384x288.py',
]
DTYPES = ['float32', 'tf32', 'bfloat16']


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=Formatter)
    add = parser.add_argument
    add('configs', nargs='*', default=CONFIGS, help='config files of two-stage models')
    add('--batch-sizes', nargs='+', type=positive, default=[1, 32, 128], metavar='N')
    add('--dtype', nargs='+', choices=DTYPES, default=DTYPES, help='tf32 only on a GPU')
    add('--heads', nargs='*', choices=HEADS, default=HEADS, help="mmpose's heads")
    add('--seconds', type=float, default=0.5, help='of runs for each number, three at least')
    add('--minutes', type=float, default=7.5, help='of the whole run')
    add('--device', default='cuda', help='cpu measures latencies there')
    add('--out', metavar='FILE', help='JSON file to write')
    add('--force', action='store_true', help='replace FILE if it exists')
    args = parser.parse_args()
    for name in ('seconds', 'minutes'):
        if not getattr(args, name) >= 0:
            parser.error(f'--{name} must be 0 or more, but is {getattr(args, name)}')
    if args.device.startswith('cuda') and not torch.cuda.is_available():
        parser.error(
            f'--device {args.device}: there is no GPU here. --device cpu measures latencies'
        )
    check_device(parser, args.device)
    if torch.device(args.device).type != 'cuda' and args.dtype == ['tf32']:
        parser.error(f'--dtype tf32 needs a GPU, but --device is {args.device}')
    return args


@contextlib.contextmanager
def precision(dtype: str) -> Iterator[None]:
    """Allow TF32 or not; bfloat16 is autocast over float32."""
    before = torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
    torch.backends.cudnn.allow_tf32 = dtype == 'tf32'
    torch.set_float32_matmul_precision('high' if dtype == 'tf32' else 'highest')
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before[0]
        torch.set_float32_matmul_precision(before[1])


def time_runs(call: Callable[[], object], device: torch.device, seconds: float) -> list[float]:
    """Seconds of each run, after three that do not count."""
    wait = torch.cuda.synchronize if device.type == 'cuda' else lambda: None
    times: list[float] = []
    while len(times) < 6 or sum(times[3:]) < seconds:
        wait()
        start = time.perf_counter()
        call()
        wait()
        times.append(time.perf_counter() - start)
    return times[3:]


def measure(args: argparse.Namespace) -> list[dict]:
    """Measure all models, one after the other, so that each has the memory alone.

    Raises:
        FileNotFoundError: If a config does not exist.
        ValueError: If a config does not fit.
    """
    end = time.monotonic() + 60 * args.minutes
    device = torch.device(args.device)
    dtypes = [d for d in args.dtype if d != 'tf32' or device.type == 'cuda']
    variants = []
    for i, path in enumerate(args.configs):
        heads = args.heads if i == len(args.configs) - 1 else []
        variants += make_variants(load_config(path), heads, True, i == 0, None)
    rows = []
    for variant, task in product(variants, ('inference', 'backbone', 'train')):
        if time.monotonic() > end:
            print(f'{variant.name} [{variant.mode}], {task}: left out, the time is over.')
            continue
        # the model before has references in circles
        gc.collect()
        sizes = [1] if task == 'backbone' else args.batch_sizes
        rows += measure_task(variant, task, sizes, dtypes, device, args.seconds)
    return rows


def measure_task(
    variant: Variant,
    task: str,
    batch_sizes: list[int],
    dtypes: list[str],
    device: torch.device,
    seconds: float,
) -> list[dict]:
    """Measure a task of a model; see :func:`measure`."""
    make = tasks.on_device(variant, task, str(device))
    rows = []
    for batch_size, dtype in product(batch_sizes, dtypes):
        row = dict(model=variant.name, mode=variant.mode, task=task, dtype=dtype)
        row.update(batch=batch_size, **numbers(make(batch_size), dtype, device, seconds))
        row['images_per_second'] = batch_size / row['seconds'] if row['seconds'] else None
        rows.append(row)
    return rows


def numbers(call: tasks.Call, dtype: str, device: torch.device, seconds: float) -> dict:
    """What is measured of a task, None where the memory of the GPU is too small."""
    on_gpu = device.type == 'cuda'
    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    run = partial(call, 'float32' if dtype == 'tf32' else dtype)
    try:
        with precision(dtype):
            times = time_runs(run, device, seconds)
    except torch.cuda.OutOfMemoryError:
        return dict(seconds=None, p99=None, runs=0, MiB=None)
    peak = torch.cuda.max_memory_allocated(device) / 2**20 if on_gpu else None
    median, p99 = (float(np.quantile(times, q)) for q in (0.5, 0.99))
    return dict(seconds=median, p99=p99, runs=len(times), MiB=peak)


def main() -> None:
    """Run the script."""
    args = parse_args()
    tasks.set_up(torch.get_num_threads())
    try:
        if args.out:
            check_output(args.out, args.force, ['.json'], args.configs)
        rows = measure(args)
    except (OSError, ValueError) as error:
        sys.exit(f'Error: {error}')
    add_ratios(rows, 'seconds')
    print_table(rows)
    if args.out:
        with write_file(args.out) as file:
            file.write_text(json.dumps(rows, indent=2) + '\n')
        print(f'Wrote {args.out}')


if __name__ == '__main__':
    main()
