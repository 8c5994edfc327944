import json
import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from .style import new_figure

DEFAULT_METRICS = ('coco/AP', 'coco/bbox_AP')
OTHER_METRICS = ('AP', 'PCK', 'AUC')


def read_scalars(work_dir: str | Path) -> tuple[list[dict], list[dict]]:
    """Read mmengine's log of a run, including resumed runs.

    Args:
        work_dir (str | Path): Folder of the run

    Returns:
        Tuple[List[dict], List[dict]]: Records of training and of validation
        in the order of their steps. If a resumed run repeats a step, its
        record replaces the earlier one.

    Raises:
        FileNotFoundError: If there is no log.
    """
    files = sorted(Path(work_dir).glob('*/vis_data/scalars.json'))
    if not files:
        raise FileNotFoundError(
            f'No */vis_data/scalars.json in "{work_dir}": give the work_dir of a training run.'
        )
    train: dict[int, dict] = {}
    val: dict[int, dict] = {}
    for file in files:
        for line in file.read_text().splitlines():
            record = json.loads(line)
            target = train if 'loss' in record else val
            target[record['step']] = record
    return [train[k] for k in sorted(train)], [val[k] for k in sorted(val)]


def metric_steps(train: Sequence[dict], val: Sequence[dict]) -> dict[int, int]:
    """Map validation steps to training steps.

    Epoch-based runs count epochs in validation and iterations in training.

    Args:
        train (Sequence[dict]): See :func:`read_scalars`
        val (Sequence[dict]): See :func:`read_scalars`

    Returns:
        Dict[int, int]: Training step of each validation step.
    """
    last_step: dict[int, int] = {}
    for record in train:
        if 'epoch' in record:
            last_step[record['epoch']] = record['step']
    if not last_step:  # iteration-based
        return {r['step']: r['step'] for r in val}
    return {
        r['step']: max((s for e, s in last_step.items() if e <= r['step']), default=0) for r in val
    }


def draw_training(
    train: Sequence[dict], val: Sequence[dict], metrics: Sequence[str] | None = None
) -> Figure:
    """Draw the loss and the metrics of a training run.

    Args:
        train (Sequence[dict]): Records of training, see :func:`read_scalars`
        val (Sequence[dict]): Records of validation
        metrics (Sequence[str], optional): Metrics to draw beside the loss, on
            an axis from 0 to 1, or as far as they go. Defaults to ``coco/AP``
            and ``coco/bbox_AP``, or else the other ``AP``, ``PCK`` and
            ``AUC``, if they were recorded

    Returns:
        Figure: The figure.

    Raises:
        ValueError: If a metric was not recorded.
    """
    known = sorted({name for record in val for name in record} - {'step'})
    metrics = metrics or [name for name in DEFAULT_METRICS if name in known]
    metrics = metrics or [name for name in known if name.rpartition('/')[2] in OTHER_METRICS]
    unknown = [name for name in metrics if name not in known]
    if unknown or not metrics:
        raise ValueError(
            f'The metrics {unknown or list(DEFAULT_METRICS)} were not recorded. '
            f'The log has {known}.'
        )
    steps = metric_steps(train, val)
    figure = new_figure(7, 4)
    left = figure.add_subplot()
    lines = left.plot(
        [record['step'] for record in train],
        [record['loss'] for record in train],
        color='tab:gray',
        label='training loss',
    )
    left.set(xlabel='iteration', ylabel='training loss')
    left.set_ylim(bottom=0)
    right = left.twinx()
    values = [record[name] for record in val for name in metrics if name in record]
    largest = max(filter(math.isfinite, values), default=1)
    # some are in percent, or in pixels
    top = 1 if largest <= 1 else max(100, 1.05 * largest)
    right.set(ylabel=', '.join(metrics), ylim=(0, top))
    for metric in metrics:
        points = [(steps[record['step']], record[metric]) for record in val if metric in record]
        lines += right.plot(*zip(*points), marker='o', label=f'{metric} of held-out data')
        right.annotate(
            f'{points[-1][1]:.3f}',
            points[-1],
            xytext=(-4, 6),
            textcoords='offset points',
            ha='right',
        )
    figure.legend(handles=lines, loc='outside lower center', ncols=len(lines))
    return figure
