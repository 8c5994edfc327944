"""Measure the speed and the memory of pose estimators.

Example:
    python projects/speed_benchmark/benchmark.py \
        configs/body_2d_keypoint/prtr/coco/td-prtr_res50_4xb32-200e_coco-384x288.py \
        --plain --fast --dtype float32 bfloat16

Images and weights are random. Modes of a model, which take turns:

    config   as the config says
    fast     inference after prtr_plugin.apis.switch_to_deploy; training with
             efficient_conv_bn_eval = ['backbone'], weights of the backbone in
             channels-last order and a fused optimizer. With --fast
    plain    the same PRTR written the obvious way (plain_prtr.py). With --plain
    N people, all queries
             a PRTRCascade that keeps N people of an image, or sends every query
             through the keypoint head, as the published scheme. With --cascade

Tasks:

    complexity  millions of parameters, and billions of multiply-adds per image
    inference   from image arrays to joints, without flip test
    train       a step of training from image arrays
    matching    matching and losses of 32 crops in all decoder layers
    read_out    of 256 crops
    memory      peak of inference and train, or of the one among --tasks

matching and read_out run alone, in float32, on outputs like those of a trained
model, where each joint has its own query; in a share of --conflicts of the
crops two joints compete for the same one. Ratios compare with plain or all
queries, in the same data type and in float32: larger than 1 is faster, or less
memory.
"""

import argparse
import json
import platform
import sys
from functools import partial
from itertools import product

import tasks
import torch
from mmengine.config import DictAction
from mmengine.device import get_device
from other_heads import HEADS
from torch.profiler import profile
from torch.utils.benchmark import Compare
from variants import BASELINES, Variant, make_variants

from prtr_plugin.apis import load_config
from prtr_plugin.fileio import check_output, write_file

TASKS = ['complexity', 'inference', 'train', 'matching', 'read_out', 'memory']
NUM_CROPS = dict(matching=32, read_out=256)


class Formatter(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    """Keeps the lines of the description and prints defaults."""


def positive(text: str) -> int:
    """A number of the command line that is at least 1."""
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f'must be at least 1, but is {text}')
    return int(text)


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=Formatter)
    add = parser.add_argument
    add('configs', nargs='+', help='config files')
    add('--tasks', nargs='+', choices=TASKS, default=TASKS, metavar='TASK', help='see above')
    add('--plain', action='store_true', help='also measure the plain version')
    add('--fast', action='store_true', help='also measure the fast mode')
    add('--heads', nargs='+', choices=HEADS, default=[], help="also measure mmpose's heads")
    add('--cascade', nargs='*', type=positive, metavar='N', help='1 5 20 100 if no N is given')
    add('--batch-size', type=positive, default=8, help='images per batch')
    add('--dtype', nargs='+', choices=['float32', 'bfloat16'], default=['float32'],
        help='bfloat16 is autocast')  # fmt: skip
    add('--threads', type=positive, default=torch.get_num_threads(), help='CPU threads')
    add('--device', default=get_device(), help='such as cpu or cuda:0')
    add('--turns', type=positive, default=5, help='turns, each of 0.2 s or more')
    add('--conflicts', type=float, default=0.1, metavar='SHARE', help='see above')
    add('--profile', type=positive, nargs='?', const=12, metavar='ROWS',
        help="print the profiler's table of the slowest operators, 12 without ROWS")  # fmt: skip
    add('--out', metavar='FILE', help='JSON file to write')
    add('--force', action='store_true', help='replace FILE if it exists')
    add('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE', help='for all configs')
    args = parser.parse_args()
    if args.cascade is not None:
        if args.plain or args.fast or args.heads:
            parser.error('--cascade cannot be combined with --plain, --fast or --heads')
        args.cascade = args.cascade or [1, 5, 20, 100]
        if args.tasks is TASKS:
            args.tasks = ['complexity', 'inference', 'memory']
    if not 0 <= args.conflicts <= 1:
        parser.error(f'--conflicts must be in [0, 1], but is {args.conflicts}')
    check_device(parser, args.device)
    return args


def check_device(parser: argparse.ArgumentParser, device: str) -> None:
    """End with a message if a device does not exist."""
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        parser.error(f'--device {device} does not work: {str(error).splitlines()[0]}')


def measure(args: argparse.Namespace) -> dict:
    """Measure as requested, and print tables.

    Raises:
        FileNotFoundError: If a config does not exist.
        ValueError: If a config does not fit the arguments.
    """
    variants = []
    for path in args.configs:
        cfg = load_config(path, args.cfg_options)
        variants += make_variants(cfg, args.heads, args.fast, args.plain, args.cascade)
    device = torch.device(args.device)
    name = torch.cuda.get_device_name(device) if device.type == 'cuda' else platform.machine()
    environment = dict(device=name, threads=args.threads, torch=torch.__version__)
    print(', '.join(f'{key}: {value}' for key, value in environment.items()))
    result = dict(environment=environment, complexity=[], memory=[], times=[])
    if 'complexity' in args.tasks:
        for v in variants:
            counts = tasks.complexity(v, args.batch_size, args.device)
            result['complexity'].append(dict(model=v.name, mode=v.mode, **counts))
    if 'memory' in args.tasks:
        steps = [x for x in TASKS[1:3] if x in args.tasks] or TASKS[1:3]
        for task, v, dtype in product(steps, variants, args.dtype):
            peak = tasks.peak_memory(v, getattr(tasks, task), args.batch_size, dtype, args.device)
            row = dict(model=v.name, mode=v.mode, task=task, dtype=dtype, MiB=peak)
            result['memory'].append(row)
        add_ratios(result['memory'], 'MiB')
    for task in TASKS[1:5]:
        if task in args.tasks:
            result['times'] += measure_times(args, task, variants)
    add_ratios(result['times'], 'seconds')
    for rows in (result['complexity'], result['memory'], result['times']):
        print_table(rows)
    return result


def measure_times(args: argparse.Namespace, task: str, variants: list[Variant]) -> list[dict]:
    """Time a task of all models in turns, and print it."""
    make, dtypes, num_images = getattr(tasks, task), args.dtype, args.batch_size
    if task in NUM_CROPS:
        make = partial(make, conflicts=args.conflicts)
        dtypes, num_images = ['float32'], NUM_CROPS[task]
        variants = [v for v in variants if v.has_prtr_head and v.mode in ('config', 'plain')]
    calls = {v: make(v, num_images, args.device) for v in variants}
    calls = {(v, dtype): partial(call, dtype) for v, call in calls.items() for dtype in dtypes}
    named = {(f'{v.name} [{v.mode}]', dtype): call for (v, dtype), call in calls.items()}
    measured = tasks.measure_in_turns(named, f'{task}, {num_images} images', args.turns)
    Compare(measured).print()
    for (label, dtype), call in named.items() if args.profile else ():
        print(f'{task}, {label}, {dtype}')
        with profile() as profiler:
            call()
        key = 'self_cpu_time_total' if args.device == 'cpu' else 'self_cuda_time_total'
        print(profiler.key_averages().table(sort_by=key, row_limit=args.profile))
    return [
        dict(model=v.name, mode=v.mode, task=task, dtype=dtype, seconds=m.median, iqr=m.iqr,
             runs=len(m.times), images_per_second=num_images / m.median)
        for (v, dtype), m in zip(calls, measured)
    ]  # fmt: skip


def add_ratios(rows: list[dict], value: str) -> None:
    """Add the baseline's value divided by a row's, for a baseline in the same
    data type and in float32, and of the same batch size where rows have one.
    """
    baselines = {
        (row['model'], row['task'], row.get('batch'), row['dtype']): row[value]
        for row in rows
        if row['mode'] in BASELINES
    }
    for row in rows:
        for key, dtype in (('ratio', row['dtype']), ('to_float32', 'float32')):
            baseline = baselines.get((row['model'], row['task'], row.get('batch'), dtype))
            row[key] = baseline / row[value] if baseline and row[value] else None


def print_table(rows: list[dict]) -> None:
    """Print rows with the same keys, numbers with four digits."""
    cells = [list(rows[0])] if rows else []
    for row in rows:
        cells.append([f'{x:.4g}' if isinstance(x, float) else str(x or '-') for x in row.values()])
    widths = [max(map(len, column)) for column in zip(*cells)]
    print('\n'.join(['', *('  '.join(map(str.ljust, row, widths)) for row in cells)]))


def main() -> None:
    """Run the script."""
    args = parse_args()
    tasks.set_up(args.threads)
    try:
        if args.out:
            check_output(args.out, args.force, ['.json'], args.configs)
        result = measure(args)
    except (OSError, ValueError) as error:
        sys.exit(f'Error: {error}')
    if args.out:
        with write_file(args.out) as file:
            file.write_text(json.dumps(result, indent=2) + '\n')
        print(f'Wrote {args.out}')


if __name__ == '__main__':
    main()
