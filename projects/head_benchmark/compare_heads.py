"""Train the heads one after the other, evaluate and compare them.

A head whose last checkpoint exists is not trained again, and one that was
interrupted is resumed.

Example:
    python projects/head_benchmark/compare_heads.py \
        --cfg-options data_root=data/synthetic_people/
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import matplotlib
from mmengine.config import DictAction

from prtr_plugin.apis import load_config, load_model
from prtr_plugin.fileio import check_output, write_file

matplotlib.use('Agg')
import matplotlib.pyplot as plt

PROJECT = Path(__file__).resolve().parent
TOOLS = PROJECT.parents[1] / 'tools'
HEADS = {'prtr': 'PRTR', 'prtr_plus': 'PRTR+', 'heatmap': 'heatmap', 'simcc': 'SimCC', 'rle': 'RLE'}


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description="Compare PRTR with mmpose's heads under one budget",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument('--heads', nargs='+', choices=HEADS, default=list(HEADS), help='heads')
    parser.add_argument('--out', default='work_dirs/head_benchmark', help='folder to write to')
    parser.add_argument('--force', action='store_true', help='replace results that exist')
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
    """Run a script of ``tools/`` on one core.

    Raises:
        subprocess.CalledProcessError: If it fails.
    """
    if options:
        args += ('--cfg-options', *(f'{key}={value}' for key, value in options.items()))
    env = dict(os.environ, OMP_NUM_THREADS='1')
    subprocess.run([sys.executable, str(TOOLS / name), *args], check=True, env=env)


def train_and_test(head: str, work_dir: Path, options: dict) -> dict:
    """Train the config of a head, unless it is done, and test it.

    Returns:
        dict: ``head``, ``AP`` and ``AP50`` of the last checkpoint,
        ``parameters`` and ``curve``, the AP by epoch.
    """
    config = str(PROJECT / f'configs/{head}.py')
    num_epochs = load_config(config, options).train_cfg.max_epochs
    checkpoint = work_dir / f'epoch_{num_epochs}.pth'
    if not checkpoint.is_file():
        run_tool('train.py', config, f'--work-dir={work_dir}', '--resume', options=options)
    metrics_file = work_dir / 'metrics.json'
    run_tool(
        'test.py',
        config,
        str(checkpoint),
        f'--work-dir={work_dir}',
        f'--out={metrics_file}',
        '--force',
        options=options,
    )
    metrics = json.loads(metrics_file.read_text())
    model = load_model(config, str(checkpoint), 'cpu', cfg_options=options)
    return dict(
        head=HEADS[head],
        AP=metrics['coco/AP'],
        AP50=metrics['coco/AP .5'],
        parameters=sum(p.numel() for p in model.parameters()),
        curve=read_curve(work_dir),
    )


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


def print_table(results: list[dict]) -> None:
    """Print the results in Markdown."""
    print('\n| head | AP | AP50 | parameters |\n| --- | --- | --- | --- |')
    for row in results:
        parameters = f'{row["parameters"] / 1e6:.2f} M'
        print(f'| {row["head"]} | {row["AP"]:.3f} | {row["AP50"]:.3f} | {parameters} |')


def plot(results: list[dict], path: Path) -> None:
    """Draw AP by epoch, and parameters as bars."""
    fig, (left, right) = plt.subplots(
        1, 2, figsize=(8, 3.5), width_ratios=(2, 1), layout='constrained'
    )
    names = [row['head'] for row in results]
    colors = [f'C{list(HEADS.values()).index(name)}' for name in names]
    for row, color in zip(results, colors):
        label = f'{row["head"]}: {row["AP"]:.3f} at the end'
        left.plot(*zip(*row['curve'].items()), marker='o', color=color, label=label)
    left.xaxis.get_major_locator().set_params(integer=True)
    left.set(xlabel='epoch', ylabel='AP of held-out people')
    left.set_ylim(bottom=0)
    fig.legend(loc='outside lower center', ncols=2)
    parameters = [row['parameters'] / 1e6 for row in results]
    right.bar_label(right.barh(names, parameters, color=colors), fmt='%.1f', padding=3)
    right.set_title('parameters (M)', fontsize=10)
    right.set_xlim(right=1.25 * max(parameters))
    right.invert_yaxis()
    right.spines[['top', 'right']].set_visible(False)
    fig.savefig(path, dpi=120)
    plt.close(fig)


def main() -> None:
    """Run the script."""
    args = parse_args()
    out = Path(args.out)
    try:
        for name in ('results.json', 'results.png'):
            check_output(out / name, args.force)
        results = [train_and_test(head, out / head, args.cfg_options) for head in args.heads]
    except subprocess.CalledProcessError as error:
        sys.exit(f'Error: {" ".join(error.cmd[1:])} failed.')
    except (OSError, ValueError) as error:
        sys.exit(f'Error: {error}')
    print_table(results)
    with write_file(out / 'results.json') as file:
        file.write_text(json.dumps(results, indent=2) + '\n')
    with write_file(out / 'results.png') as file:
        plot(results, file)
    print(f'\nWrote {out / "results.json"} and {out / "results.png"}')


if __name__ == '__main__':
    main()
