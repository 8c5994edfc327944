"""Train the heads one after the other, evaluate and compare them.

A head whose last checkpoint is there already is not trained again.

Example:
    python projects/head_benchmark/compare_heads.py \
        --cfg-options data_root=data/synthetic_people/
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import matplotlib
import numpy as np
import torch
from mmengine.config import Config, DictAction
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope
from mmpose.registry import DATASETS
from torch import nn

from prtr_plugin.apis import load_config, load_model

matplotlib.use('Agg')
import matplotlib.pyplot as plt  # noqa: E402

PROJECT = Path(__file__).resolve().parent
ROOT = PROJECT.parents[1]
HEADS = {'prtr': 'PRTR', 'heatmap': 'heatmap', 'simcc': 'SimCC', 'rle': 'RLE'}


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description="Compare PRTR with mmpose's heads under one budget"
    )
    parser.add_argument('--heads', nargs='+', choices=list(HEADS), default=list(HEADS))
    parser.add_argument(
        '--out',
        default='work_dirs/head_benchmark',
        help='folder to write to (default: %(default)s)',
    )
    parser.add_argument('--device', default='cpu', help='where the speed is measured')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        default={},
        metavar='KEY=VALUE',
        help='override settings of all configs',
    )
    return parser.parse_args()


def run_tool(name: str, *args: str, options: dict) -> None:
    """Run a script of ``tools/`` and stop if it fails."""
    pairs = [f'{key}={value}' for key, value in options.items()]
    subprocess.run([
        sys.executable,
        str(ROOT / 'tools' / name), *args,
        *(['--cfg-options', *pairs] if pairs else [])
    ], check=True)  # yapf: disable


def train_and_test(config: str, work_dir: Path, options: dict) -> dict:
    """Metrics of the last checkpoint of a config, by their names."""
    checkpoint = last_checkpoint(load_config(config, options), work_dir)
    if not checkpoint.is_file():
        run_tool('train.py', config, f'--work-dir={work_dir}', options=options)
    metrics = work_dir / 'metrics.json'
    run_tool(
        'test.py',
        config,
        str(checkpoint),
        f'--work-dir={work_dir}',
        f'--out={metrics}',
        options=options,
    )
    return json.loads(metrics.read_text())


def last_checkpoint(cfg: Config, work_dir: Path) -> Path:
    """Where the training of a config writes its last checkpoint."""
    return work_dir / f'epoch_{cfg.train_cfg.max_epochs}.pth'


def read_curve(work_dir: Path) -> dict[int, float]:
    """AP by epoch, as mmengine logged it."""
    curve = {}
    for file in sorted(work_dir.glob('*/vis_data/scalars.json')):
        for line in file.read_text().splitlines():
            record = json.loads(line)
            # the log of a test has no steps
            if 'coco/AP' in record and record['step'] > 0:
                curve[record['step']] = record['coco/AP']
    return curve


def measure_speed(models: list[nn.Module], num_rounds: int = 10) -> list:
    """People per second of network and read-out of each model.

    In batches of 32 and without flip test. The models run in turns and the
    fastest round counts, so that other work on the machine matters little.
    """
    num_people = 32
    batches = []
    for model in models:
        model.test_cfg['flip_test'] = False
        with DefaultScope.overwrite_default_scope('mmpose'):
            dataset = DATASETS.build(model.cfg.test_dataloader.dataset)
        batches.append([dataset[i % len(dataset)] for i in range(num_people)])
    times = np.zeros((num_rounds, len(models)))
    with torch.no_grad():
        for i, j in np.ndindex(*times.shape):
            data = pseudo_collate(batches[j])
            start = time.perf_counter()
            models[j].test_step(data)  # ends with the joints on the CPU
            times[i, j] = time.perf_counter() - start
    return (num_people / times.min(axis=0)).tolist()


def print_table(results: list[dict]) -> None:
    """Print the results in Markdown."""
    print('\n| head | AP | AP50 | parameters | people/s |')
    print('| --- | --- | --- | --- | --- |')
    for row in results:
        print(
            f'| {row["head"]} | {row["AP"]:.3f} | {row["AP50"]:.3f} | '
            f'{row["parameters"] / 1e6:.2f} M | '
            f'{row["people_per_second"]:.0f} |'
        )


def plot(results: list[dict], path: Path) -> None:
    """Draw AP by epoch, and parameters and speed as bars."""
    fig, (left, middle, right) = plt.subplots(
        1, 3, figsize=(10, 3.5), width_ratios=(2, 1, 1), layout='constrained'
    )
    names = [row['head'] for row in results]
    colors = [f'C{list(HEADS.values()).index(name)}' for name in names]
    for row, color in zip(results, colors):
        left.plot(
            *zip(*row['curve'].items()),
            marker='o',
            color=color,
            label=f'{row["head"]}: {row["AP"]:.3f} at the end',
        )
    left.xaxis.get_major_locator().set_params(integer=True)
    left.set(xlabel='epoch', ylabel='AP of held-out people')
    left.set_ylim(bottom=0)
    fig.legend(loc='outside lower center', ncols=len(results))
    for axis, title, values, form in (
        (middle, 'parameters (M)', [r['parameters'] / 1e6 for r in results],
         '%.1f'),
        (right, 'people per second', [r['people_per_second'] for r in results],
         '%.0f')):  # yapf: disable
        bars = axis.barh(names, values, color=colors)
        axis.bar_label(bars, fmt=form, padding=3)
        axis.set_title(title, fontsize=10)
        axis.set_xlim(right=1.25 * max(values))
        axis.invert_yaxis()
        axis.spines[['top', 'right']].set_visible(False)
    fig.savefig(path, dpi=120)


def main() -> None:
    """Run the script."""
    args = parse_args()
    # before anything computes: one core for each head alike
    torch.set_num_threads(1)
    os.environ['OMP_NUM_THREADS'] = '1'
    out = Path(args.out)
    results, models = [], []
    for head in args.heads:
        config, work_dir = str(PROJECT / f'configs/{head}.py'), out / head
        metrics = train_and_test(config, work_dir, args.cfg_options)
        checkpoint = last_checkpoint(load_config(config, args.cfg_options), work_dir)
        models.append(
            load_model(config, str(checkpoint), args.device, cfg_options=args.cfg_options)
        )
        results.append(
            dict(
                head=HEADS[head],
                AP=metrics['coco/AP'],
                AP50=metrics['coco/AP .5'],
                parameters=sum(p.numel() for p in models[-1].parameters()),
                curve=read_curve(work_dir),
            )
        )
    for row, speed in zip(results, measure_speed(models)):
        row['people_per_second'] = speed
    print_table(results)
    (out / 'results.json').write_text(json.dumps(results, indent=2))
    plot(results, out / 'results.png')
    print(f'\nWrote {out / "results.json"} and {out / "results.png"}')


if __name__ == '__main__':
    main()
