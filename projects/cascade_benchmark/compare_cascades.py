"""Train networks for whole pictures one after the other, and compare them.

One whose last checkpoint exists is not trained again, and one that was
interrupted is resumed.

Example:
    python projects/cascade_benchmark/compare_cascades.py \
        --cfg-options data_root=data/synthetic_people/
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import torch
from mmengine.config import DictAction
from mmengine.dataset import pseudo_collate
from mmengine.runner import Runner
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from prtr_plugin.apis import build_test_runner, build_train_runner, load_config
from prtr_plugin.fileio import check_output, write_file

CONFIGS = Path(__file__).resolve().parent / 'configs'
MODELS = {
    'prtr_cascade_plus': 'PRTR cascade, head of PRTR+',
    'prtr_cascade': "PRTR cascade, paper's head",
    'rtmo': 'RTMO-t',
}
COLUMNS = {
    'AP': ('keypoint AP', '.3f'),
    'AP50': ('AP50', '.3f'),
    'box_AP': ('box AP', '.3f'),
    'seconds': ('training, s', '.0f'),
    'Mparams': ('params, M', '.2f'),
    'GMACs': ('GMACs', '.2f'),
    'ms': ('ms a picture', '.1f'),
}


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Compare the cascade with RTMO under one budget',
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument('--models', nargs='+', choices=MODELS, default=list(MODELS), help='models')
    parser.add_argument('--out', default='work_dirs/cascade_benchmark', help='folder to write to')
    parser.add_argument('--force', action='store_true', help='replace results that exist')
    parser.add_argument('--threads', type=int, default=1, help='threads of PyTorch')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        default={},
        metavar='KEY=VALUE',
        help='override settings of all configs',
    )
    return parser.parse_args()


def train_and_test(name: str, work_dir: Path, options: dict) -> dict:
    """Train the config of a model, unless it is done, test and measure it.

    Returns:
        dict: ``model``, the columns of the table for the last checkpoint, and
        ``curve``, the keypoint AP by epoch.
    """
    config = str(CONFIGS / f'{name}.py')
    num_epochs = load_config(config, options).train_cfg.max_epochs
    checkpoint = work_dir / f'epoch_{num_epochs}.pth'
    if not checkpoint.is_file():
        build_train_runner(config, str(work_dir), resume=True, cfg_options=options).train()
    runner = build_test_runner(
        config, str(checkpoint), work_dir=str(work_dir / 'test'), cfg_options=options
    )
    metrics = runner.test()
    return dict(
        model=MODELS[name],
        AP=metrics['coco/AP'],
        AP50=metrics['coco/AP .5'],
        box_AP=metrics['coco/bbox_AP'],
        **read_log(work_dir),
        **measure(runner),
    )


def read_log(work_dir: Path) -> dict:
    """Seconds of the training steps without validation, and AP by epoch.

    Of a step that was repeated after an interruption the last time counts.
    """
    times, curve = {}, {}
    for file in sorted(work_dir.glob('*/vis_data/scalars.json')):
        for line in file.read_text().splitlines():
            record = json.loads(line)
            if 'coco/AP' in record:
                curve[record['step']] = record['coco/AP']
            elif 'loss' in record:
                # the mean of the steps since the record before
                times[record['step']] = record['time']
    seconds, before = 0.0, 0
    for step, mean in sorted(times.items()):
        seconds += mean * (step - before)
        before = step
    return dict(seconds=seconds, curve=curve)


@torch.no_grad()
def measure(runner: Runner, num_images: int = 20) -> dict:
    """Millions of parameters and, for one picture at a time, billions of
    multiply-adds of matrix products and convolutions, and milliseconds.
    """
    model, dataset = runner.model.eval(), runner.test_dataloader.dataset
    batches = [pseudo_collate([dataset[i % len(dataset)]]) for i in range(num_images)]

    def attention(query, key, value, *args, out_shape=None, **kwargs) -> int:
        return sdpa_flop_count(query, key, value)

    # PyTorch does not count its attention kernel of the CPU
    kernel = getattr(torch.ops.aten, '_scaled_dot_product_flash_attention_for_cpu', None)
    formulas = {kernel: attention} if kernel else {}
    with FlopCounterMode(display=False, custom_mapping=formulas) as counter:
        for batch in batches:
            model.test_step(batch)
    times = []
    for batch in batches:
        start = time.perf_counter()
        model.test_step(batch)
        times.append(time.perf_counter() - start)
    return dict(
        Mparams=sum(p.numel() for p in model.parameters()) / 1e6,
        GMACs=counter.get_total_flops() / 2e9 / num_images,
        ms=1000 * statistics.median(times),
    )


def print_table(results: list[dict]) -> None:
    """Print the results in Markdown."""
    titles = ['model', *(title for title, _ in COLUMNS.values())]
    print(f'\n| {" | ".join(titles)} |\n|{" --- |" * len(titles)}')
    for row in results:
        cells = [row['model'], *(f'{row[key]:{form}}' for key, (_, form) in COLUMNS.items())]
        print(f'| {" | ".join(cells)} |')


def main() -> None:
    """Run the script."""
    args = parse_args()
    out = Path(args.out)
    torch.set_num_threads(args.threads)
    try:
        check_output(out / 'results.json', args.force)
        results = [train_and_test(name, out / name, args.cfg_options) for name in args.models]
    except (OSError, ValueError, RuntimeError) as error:
        sys.exit(f'Error: {error}')
    print_table(results)
    with write_file(out / 'results.json') as file:
        file.write_text(json.dumps(results, indent=2) + '\n')
    print(f'\nWrote {out / "results.json"}')


if __name__ == '__main__':
    main()
