r"""Measure the speed and the memory of pose estimators.

Example:
    python tools/analysis_tools/benchmark.py \
        configs/body_2d_keypoint/prtr/coco/td-prtr_res50_4xb32-200e_coco-384x288.py \
        --plain --heads all --dtype float32 bfloat16 --out work_dirs/benchmark

All models are measured side by side: they take turns in every repeat, so that
a change of the machine's load meets all of them; the first turn of each does
not count. The tables give medians and quartiles, the JSON file extremes, too.
Images are random, and so are weights unless there is a --checkpoint. Modes of
a model:

    config    as the config says
    fast      inference after prtr_plugin.apis.switch_to_deploy; training with
              efficient_conv_bn_eval = ['backbone'], weights in channels-last
              order and a fused optimizer. With --fast and --plain
    compiled  the fast mode with torch.compile. With --compile
    plain     the same PRTR written the obvious way (benchmark_plain.py)

Tasks:

    complexity     parameters, and multiply-adds for each image of a batch
    inference      from image arrays through the config's pipeline to joints:
                   pipeline, forward (the network), read_out, other
    train          a step of training: data (the pipeline), forward, matching,
                   loss, backward, optimizer
    read_out       of 256 crops alone
    matching_loss  of 32 crops and all decoder levels alone
    memory         peak of inference and of training: weights, gradients,
                   state of the optimizer, activations. On CUDA what PyTorch
                   allocates; on the CPU what a fresh process of each model
                   adds to its resident set (Linux only), which includes the
                   work space of libraries

read_out and matching_loss take outputs as those of a trained model, where each
joint has a query of its own; two joints want the same one in --conflicts of
the crops.
"""  # noqa: E501

import argparse
import json
import platform
from functools import partial
from pathlib import Path

import torch
from benchmark_accuracy import differences, measure_losses
from benchmark_cases import FAST_MODES, HEADS, Variant, make_variants
from benchmark_profile import profile_call
from benchmark_report import draw_losses, draw_scaling, draw_times, print_tables, ratios
from benchmark_scaling import measure_scaling
from benchmark_tasks import (
    Inference,
    MatchingLoss,
    ReadOut,
    Training,
    interleave,
    peak_memory,
    summarize,
)
from memory_utils import memory_in_new_process
from mmengine.config import DictAction
from mmengine.logging import MMLogger

import prtr_plugin  # noqa: F401
from prtr_plugin.apis import load_config

TASKS = ('complexity', 'inference', 'train', 'read_out', 'matching_loss', 'memory')
DTYPES = dict(float32=torch.float32, bfloat16=torch.bfloat16)
NUM_CROPS = dict(read_out=256, matching_loss=32)


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('configs', nargs='+', help='config files')
    parser.add_argument(
        '--tasks',
        type=lambda text: text.split(','),
        default=['complexity', 'inference', 'train', 'memory'],
        metavar='TASK,...',
        help=f'of {",".join(TASKS)} (default: complexity,inference,train,memory; with --plain all)',
    )
    parser.add_argument(
        '--heads',
        nargs='+',
        default=[],
        choices=[*HEADS, 'all'],
        help="also measure mmpose's heads on the same backbone and input",
    )
    parser.add_argument('--fast', action='store_true', help='also measure the fast mode')
    parser.add_argument(
        '--compile',
        action='store_true',
        help='also measure the compiled mode; compilation takes up to minutes '
        'and needs a C++ compiler on the CPU',
    )
    parser.add_argument(
        '--plain',
        action='store_true',
        help='also measure the fast mode and the plain version, and print '
        'their ratios and how far outputs differ',
    )
    parser.add_argument(
        '--scaling',
        action='store_true',
        help='also measure time by batch size, levels, crops, joints and queries',
    )
    parser.add_argument(
        '--loss-curve',
        type=int,
        metavar='STEPS',
        help='also train that many steps in every --dtype, from the same '
        'weights on the same batches, and compare the losses',
    )
    parser.add_argument(
        '--profile',
        type=int,
        nargs='?',
        const=12,
        default=0,
        metavar='ROWS',
        help="also print the profiler's table of the slowest operators "
        '(default: 12), and the least time that the operations would take at '
        "the machine's rate of matrix products",
    )
    parser.add_argument('--batch-size', type=int, default=8, help='(default: 8)')
    parser.add_argument('--repeats', type=int, default=7, help='turns (default: 7)')
    parser.add_argument('--threads', type=int, help="of the CPU (default: PyTorch's choice)")
    parser.add_argument('--device', default='cpu', help='(default: cpu)')
    parser.add_argument(
        '--dtype',
        nargs='+',
        default=['float32'],
        choices=DTYPES,
        help='bfloat16 is autocast; several are measured side by side (default: float32)',
    )
    parser.add_argument(
        '--flip-test', action='store_true', help='with the flip test, if the config has one'
    )
    parser.add_argument(
        '--checkpoint',
        metavar='FILE',
        help='weights of the config (default: random ones). Speed does not '
        'depend on them, but how far outputs in bfloat16 are from those in '
        'float32 does',
    )
    parser.add_argument(
        '--conflicts', type=float, default=0.1, metavar='SHARE', help='see above (default: 0.1)'
    )
    parser.add_argument(
        '--out', metavar='DIR', help='folder for benchmark.json and pictures of the times'
    )
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE')
    # what the processes for the memory are told: print that of this case
    parser.add_argument('--memory-of', nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    check_args(parser, args)
    return args


def check_args(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse what cannot be measured, and fill in what follows."""
    for path in args.configs:
        if not Path(path).is_file():
            parser.error(f'there is no config file {path}')
    if args.checkpoint and not Path(args.checkpoint).is_file():
        parser.error(f'there is no checkpoint {args.checkpoint}')
    if args.checkpoint and len(args.configs) > 1:
        parser.error(f'--checkpoint is for one config, but there are {len(args.configs)}')
    names = [Path(path).stem for path in args.configs]
    if len(set(names)) < len(names):
        parser.error(f'two configs have the same name: {names}')
    unknown = [task for task in args.tasks if task not in TASKS]
    if unknown:
        parser.error(f'--tasks has {unknown}, but there are {list(TASKS)}')
    for name in ('batch_size', 'repeats', 'threads', 'loss_curve'):
        value = getattr(args, name)
        if value is not None and value < 1:
            parser.error(f'--{name.replace("_", "-")} must be at least 1, but is {value}')
    if not 0 <= args.conflicts <= 1:
        parser.error(f'--conflicts is {args.conflicts}, but a share is in [0, 1]')
    try:
        torch.empty(1, device=args.device)
    except (RuntimeError, AssertionError) as error:
        parser.error(f'--device {args.device} does not work: {str(error).splitlines()[0]}')
    if 'all' in args.heads:
        args.heads = list(HEADS)
    args.fast = args.fast or args.plain
    if args.plain and args.tasks == parser.get_default('tasks'):
        args.tasks = list(TASKS)


def measure(args: argparse.Namespace, variants: list[Variant]) -> dict:
    """Measure everything that the arguments ask for.

    Returns:
        dict: ``environment``, and lists of rows: ``models``, ``times``,
        ``memory``, ``ratios``, ``differences`` and ``profiles``; ``scaling``
        and ``losses`` by model. Times are in seconds, memory in bytes.
    """
    device = torch.device(args.device)
    result = dict(
        environment=environment(args, device),
        models=[],
        times=[],
        memory=[],
        ratios=[],
        differences=[],
        profiles=[],
        scaling={},
        losses={},
    )
    if 'complexity' in args.tasks:
        for variant in variants:
            case = Inference(variant, args.batch_size, device)
            result['models'].append(dict(**names(variant), **case.complexity()))
    if 'memory' in args.tasks:
        result['memory'] = measure_memory(args, variants, device)
    for task in ('inference', 'train', 'read_out', 'matching_loss'):
        if task in args.tasks:
            measure_times(args, task, variants, device, result)
    if args.plain:
        result['ratios'] = ratios(result)
    for variant in variants:
        if variant.mode != ('fast' if args.fast else 'config'):
            continue
        if args.scaling and variant.top_down_prtr:
            result['scaling'][variant.label] = measure_scaling(
                variant, DTYPES[args.dtype[0]], device, args.repeats, args.conflicts
            )
        if args.loss_curve:
            result['losses'][variant.label] = measure_losses(
                variant,
                {name: DTYPES[name] for name in args.dtype},
                args.loss_curve,
                args.batch_size,
                device,
            )
    return result


def environment(args: argparse.Namespace, device: torch.device) -> dict:
    """What the figures depend on."""
    return dict(
        device=torch.cuda.get_device_name(device) if device.type == 'cuda' else platform.machine(),
        threads=torch.get_num_threads(),
        torch=torch.__version__,
        batch_size=args.batch_size,
        repeats=args.repeats,
        flip_test=args.flip_test,
        conflicts=args.conflicts,
    )


def names(variant: Variant, dtype: str | None = None) -> dict:
    """The columns that tell rows apart."""
    columns = dict(name=variant.name, mode=variant.mode)
    return dict(columns, dtype=dtype) if dtype else columns


def measure_memory(
    args: argparse.Namespace, variants: list[Variant], device: torch.device
) -> list[dict]:
    """Peak memory of all variants in all types, each on its own."""
    rows = []
    for variant in variants:
        for dtype in args.dtype:
            for task in ('inference', 'train'):
                if device.type == 'cuda':
                    peak = peak_memory(variant, task, args.batch_size, DTYPES[dtype], device)
                else:
                    peak = memory_in_new_process('--memory-of', variant.label, task, dtype)
                rows.append(dict(names(variant, dtype), task=task, bytes=peak))
    return rows


def measure_times(
    args: argparse.Namespace, task: str, variants: list[Variant], device: torch.device, result: dict
) -> None:
    """Measure a task of all variants in turns, and add it to the result."""
    dtypes, images = args.dtype, args.batch_size
    if task in NUM_CROPS:
        # always in full precision, and 'fast' changes nothing there
        dtypes, images = ['float32'], NUM_CROPS[task]
        variants = [v for v in variants if v.has_prtr_head and v.mode not in FAST_MODES]
    cases = {v.label: make_case(args, task, v, device) for v in variants}
    calls = {
        (v, dtype): partial(cases[v.label], DTYPES[dtype]) for v in variants for dtype in dtypes
    }
    for (variant, dtype), parts in interleave(calls, args.repeats).items():
        total = summarize([sum(turn) for turn in zip(*parts.values())])
        result['times'].append(
            dict(
                names(variant, dtype),
                task=task,
                images=images,
                images_per_second=images / total['median'],
                total=total,
                parts={k: summarize(v) for k, v in parts.items()},
            )
        )
    if task == 'inference':
        result['differences'] = differences(
            variants, cases, {name: DTYPES[name] for name in dtypes}
        )
    if args.profile and task not in NUM_CROPS:
        result['profiles'] += [
            dict(
                names(variant, dtype),
                task=task,
                **profile_call(call, DTYPES[dtype], device, args.profile),
            )
            for (variant, dtype), call in calls.items()
        ]


def make_case(args: argparse.Namespace, task: str, variant: Variant, device: torch.device):
    """What runs a task."""
    if task == 'inference':
        return Inference(variant, args.batch_size, device)
    if task == 'train':
        return Training(variant, args.batch_size, device)
    if task == 'read_out':
        return ReadOut(variant, NUM_CROPS[task], device, args.conflicts)
    return MatchingLoss(variant, NUM_CROPS[task], device, args.conflicts)


def main() -> None:
    """Run the script."""
    args = parse_args()
    MMLogger.get_instance('benchmark', log_level='ERROR')
    if args.threads:
        torch.set_num_threads(args.threads)
    configs = {Path(path).stem: load_config(path, args.cfg_options) for path in args.configs}
    modes = ['config'] + [
        mode
        for mode, wanted in (('fast', args.fast), ('compiled', args.compile), ('plain', args.plain))
        if wanted
    ]
    variants = make_variants(configs, args.heads, modes, args.flip_test, args.checkpoint)
    if args.scaling and not any(v.top_down_prtr for v in variants):
        raise ValueError('--scaling needs a top-down config with a PRTRHead.')
    if args.memory_of:
        label, task, dtype = args.memory_of
        (variant,) = (v for v in variants if v.label == label)
        print(
            json.dumps(
                peak_memory(
                    variant, task, args.batch_size, DTYPES[dtype], torch.device(args.device)
                )
            )
        )
        return
    result = measure(args, variants)
    print_tables(result)
    if args.out:
        out = Path(args.out)
        out.mkdir(parents=True, exist_ok=True)
        (out / 'benchmark.json').write_text(json.dumps(result, indent=2))
        if result['times']:
            draw_times(result, out / 'benchmark.png')
        if result['scaling']:
            draw_scaling(result, out / 'scaling.png')
        if result['losses']:
            draw_losses(result, out / 'losses.png')
        print(f'Wrote {", ".join(map(str, sorted(out.iterdir())))}')


if __name__ == '__main__':
    main()
