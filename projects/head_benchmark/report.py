"""The results as a table in Markdown and as a picture.

Example:
    python projects/head_benchmark/report.py work_dirs/head_benchmark/track_a/results.json
"""

import argparse
import json
from pathlib import Path
from statistics import mean, stdev

import matplotlib
from matplotlib.axes import Axes
from runs import epochs_to

matplotlib.use('Agg')
import matplotlib.pyplot as plt

HEADS = {'prtr': 'PRTR', 'prtr_plus': 'PRTR+', 'heatmap': 'heatmap', 'simcc': 'SimCC', 'rle': 'RLE'}
GOALS = (0.5, 0.8)


def summarize(head: str, runs: list[dict], costs: dict[str, float]) -> dict:
    """Put together what is known of a head.

    Args:
        head (str): Its config
        runs (List[dict]): Its runs with different seeds, see :func:`runs.train`
        costs (dict): See :func:`costs.measure_costs`

    Returns:
        dict: ``head``, ``learning_rate``, the costs, ``mean`` and ``spread``
        (standard deviation, None for one seed) of the metrics,
        ``epochs_to`` and ``seconds_to``, the training until the first metric
        reaches a goal (mean of the seeds, None unless all do), and ``runs``.
        ``seconds_to`` are those of ``seconds_per_epoch``, measured on one
        core; each curve in ``runs`` has those of the log, too.
    """
    names = list(runs[0]['metrics'])
    values = {name: [run['metrics'][name] for run in runs] for name in names}
    epochs = {}
    for goal in GOALS:
        reached = [epochs_to(run['curve'], names[0], goal) for run in runs]
        epochs[str(goal)] = None if None in reached else mean(reached)
    per_epoch = costs['seconds_per_epoch']
    return dict(
        head=HEADS[head],
        learning_rate=runs[0]['learning_rate'],
        **costs,
        mean={name: mean(numbers) for name, numbers in values.items()},
        spread={
            name: stdev(numbers) if len(numbers) > 1 else None for name, numbers in values.items()
        },
        epochs_to=epochs,
        seconds_to={goal: value and value * per_epoch for goal, value in epochs.items()},
        runs=runs,
    )


def table(rows: list[dict]) -> str:
    """The results in Markdown, the best head first."""
    names = list(rows[0]['mean'])
    goals = [f's to {names[0]} {goal}' for goal in GOALS]
    head = ['head', *names, *goals, 's/epoch', 'ms/crop', 'parameters']
    head += ['multiply-adds', 'of the head', 'learning rate']
    lines = [head, ['---'] * len(head)]
    for row in sorted(rows, key=lambda row: -row['mean'][names[0]]):
        cells = [row['head']]
        for name in names:
            spread = row['spread'][name]
            cells.append(f'{row["mean"][name]:.3f}' + (f' ± {spread:.3f}' if spread else ''))
        cells += ['-' if value is None else f'{value:.0f}' for value in row['seconds_to'].values()]
        cells += [f'{row["seconds_per_epoch"]:.1f}', f'{1000 * row["seconds_per_crop"]:.2f}']
        cells.append(f'{row["parameters"] / 1e6:.2f} M')
        cells += [f'{row[key] / 1e6:.0f} M' for key in ('multiply_adds', 'head_multiply_adds')]
        lines.append([*cells, f'{row["learning_rate"]:g}'])
    return '\n'.join(f'| {" | ".join(cells)} |' for cells in lines)


def rates_table(rates: dict[str, dict[str, float]], metric: str, epochs: int) -> str:
    """The search for learning rates in Markdown; the best one of each head is bold."""
    columns = sorted({rate for found in rates.values() for rate in found}, key=float)
    lines = [[f'{metric} after {epochs} epochs', *columns], ['---'] * (1 + len(columns))]
    for head, found in rates.items():
        best = max(found, key=lambda rate: found[rate])
        cells = [f'{found[rate]:.3f}' if rate in found else '-' for rate in columns]
        lines.append(
            [HEADS[head], *(f'**{c}**' if r == best else c for r, c in zip(columns, cells))]
        )
    return '\n'.join(f'| {" | ".join(cells)} |' for cells in lines)


def print_results(results: dict) -> None:
    """Print the tables of a track, see :func:`compare_heads.compare`."""
    if results['learning_rates']:
        found = (results['learning_rates'], results['metric'], results['search_epochs'])
        print(f'\n{rates_table(*found)}')
    print(f'\n{table(results["heads"])}')


def plot(rows: list[dict], path: Path) -> None:
    """Draw the first metric by epoch and by time of training, a line for each seed."""
    metric = next(iter(rows[0]['mean']))
    fig, axes = plt.subplots(1, 2, figsize=(9, 3.8), sharey=True, layout='constrained')
    for row in rows:
        color = f'C{list(HEADS.values()).index(row["head"])}'
        label = f'{row["head"]}: {row["mean"][metric]:.3f} at the end'
        for axis, scale in zip(axes, (1, row['seconds_per_epoch'] / 60)):
            for run in row['runs']:
                _line(axis, run['curve'], metric, scale, color, label)
                label = None
    axes[0].set(xlabel='epoch', ylabel=f'{metric} of held-out people')
    axes[0].xaxis.get_major_locator().set_params(integer=True)
    axes[1].set(xlabel='training on one core (min)')
    axes[0].set_ylim(bottom=0)
    fig.legend(loc='outside lower center', ncols=3)
    fig.savefig(path, dpi=120)
    plt.close(fig)


def _line(
    axis: Axes, curve: list[dict], metric: str, scale: float, color: str, label: str | None
) -> None:
    points = [(scale * point['epoch'], point[metric]) for point in curve]
    axis.plot(*zip(*points), marker='.', color=color, label=label)
    axis.grid(alpha=0.3)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description='Print the tables of results again')
    parser.add_argument('results', nargs='+', type=Path, help='results.json of a track')
    for file in parser.parse_args().results:
        try:
            print_results(json.loads(file.read_text()))
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            parser.error(f'{file} has no results of a track: {error!r}')
