"""Plot the loss and the metrics of a training run.

Example:
    python tools/analysis_tools/plot_training.py work_dirs/quickstart \
        curve.png --metrics coco/AP
"""

import argparse
import json
from pathlib import Path

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt  # noqa: E402

DEFAULT_METRICS = ('coco/AP', 'coco/bbox_AP')


def read_scalars(work_dir: str) -> tuple[list[dict], list[dict]]:
    """Read what mmengine logged, resumed runs included.

    Args:
        work_dir (str): Folder of the run.

    Returns:
        tuple[list[dict], list[dict]]: Records of training and of validation
        in the order of their steps. Where a resumed run repeats a step, its
        record counts.

    Raises:
        FileNotFoundError: If there is no log.
    """
    files = sorted(Path(work_dir).glob('*/vis_data/scalars.json'))
    if not files:
        raise FileNotFoundError(
            f'No */vis_data/scalars.json in "{work_dir}": give the work_dir of a training run.'
        )
    train, val = {}, {}
    for file in files:
        for line in file.read_text().splitlines():
            record = json.loads(line)
            target = train if 'loss' in record else val
            target[record['step']] = record
    return ([train[k] for k in sorted(train)], [val[k] for k in sorted(val)])


def metric_steps(train: list[dict], val: list[dict]) -> dict[int, int]:
    """Map the steps of validation to those of training.

    Epoch-based runs count epochs in validation and iterations in training.
    """
    last_step = {}
    for record in train:
        if 'epoch' in record:
            last_step[record['epoch']] = record['step']
    if not last_step:  # iteration-based
        return {r['step']: r['step'] for r in val}
    return {
        r['step']: max((s for e, s in last_step.items() if e <= r['step']), default=0) for r in val
    }


def main() -> None:
    """Run the script."""
    parser = argparse.ArgumentParser(description='Plot the loss and the metrics of a training run')
    parser.add_argument('work_dir', help='folder of the run')
    parser.add_argument('out', help='picture to write')
    parser.add_argument(
        '--metrics',
        nargs='+',
        help='what to plot beside the loss (default: those of '
        f'{", ".join(DEFAULT_METRICS)} that were recorded)',
    )
    args = parser.parse_args()

    train, val = read_scalars(args.work_dir)
    steps = metric_steps(train, val)
    known = sorted({k for r in val for k in r})
    metrics = args.metrics or [m for m in DEFAULT_METRICS if m in known]
    unknown = [m for m in metrics if m not in known]
    if unknown or not metrics:
        parser.error(f'--metrics: no record of {unknown or DEFAULT_METRICS}; there are {known}')
    fig, left = plt.subplots(figsize=(7, 4), layout='constrained')
    (line,) = left.plot(
        [r['step'] for r in train],
        [r['loss'] for r in train],
        color='tab:gray',
        label='training loss',
    )
    left.set(xlabel='iteration', ylabel='training loss')
    left.set_ylim(bottom=0)
    right = left.twinx()
    right.set(ylabel=', '.join(metrics), ylim=(0, 1))
    lines = [line]
    for metric in metrics:
        points = [(steps[r['step']], r[metric]) for r in val if metric in r]
        lines += right.plot(*zip(*points), marker='o', label=f'{metric} of held-out data')
        right.annotate(
            f'{points[-1][1]:.3f}',
            points[-1],
            xytext=(-4, 6),
            textcoords='offset points',
            ha='right',
        )
    fig.legend(handles=lines, loc='outside lower center', ncols=len(lines))
    fig.savefig(args.out, dpi=120)
    print(f'Wrote {args.out}')


if __name__ == '__main__':
    main()
