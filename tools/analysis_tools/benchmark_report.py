"""Tables, ratios and pictures of what ``benchmark.py`` has measured."""

from pathlib import Path

import matplotlib
import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

matplotlib.use('Agg')
import matplotlib.pyplot as plt  # noqa: E402

TITLES = dict(
    inference='Inference, from image arrays to joints',
    train='Training step',
    read_out='Read-out alone',
    matching_loss='Matching and losses alone',
)
# in the order in which they run
PARTS = (
    'pipeline',
    'data',
    'forward',
    'read_out',
    'matching',
    'loss',
    'backward',
    'optimizer',
    'other',
)


def print_tables(result: dict) -> None:
    """Print all tables.

    Args:
        result (dict): See :func:`benchmark.measure`
    """
    # wide enough for all columns, also where the output is a file
    console = Console(width=200, highlight=False)
    env = result['environment']
    console.print(', '.join(f'{k}: {v}' for k, v in env.items()))
    if result['models']:
        _print(
            console,
            'Models',
            ('model', 'mode', 'parameters', 'GMACs'),
            [
                (row['name'], row['mode'], f'{row["params"]:,}', _or_dash(row['macs'], 1e-9, '.2f'))
                for row in result['models']
            ],
        )
    for task, title in TITLES.items():
        rows = [row for row in result['times'] if row['task'] == task]
        if rows:
            _print_times(console, f'{title}: milliseconds for {rows[0]["images"]} images', rows)
    if result['memory']:
        _print(
            console,
            'Peak memory',
            ('model', 'mode', 'dtype', 'task', 'MiB'),
            [
                (
                    row['name'],
                    row['mode'],
                    row['dtype'],
                    row['task'],
                    _or_dash(row['bytes'], 2**-20, '.0f'),
                )
                for row in result['memory']
            ],
        )
    if result['ratios']:
        _print(
            console,
            'Ratios to the plain version',
            ('model', 'quantity', 'dtype', 'plain in float32', 'plain in the same'),
            [
                (
                    row['name'],
                    row['quantity'],
                    row['dtype'],
                    _or_dash(row['float32'], 1, '.2f', 'x'),
                    _or_dash(row['same'], 1, '.2f', 'x'),
                )
                for row in result['ratios']
            ],
        )
    if result['differences']:
        _print(
            console,
            'Largest differences of coordinates in input pixels',
            ('model', 'between', 'pixels', 'spread over the queries'),
            [
                (row['name'], row['between'], f'{row["pixels"]:.2g}', f'{row["spread"]:.3g}')
                for row in result['differences']
            ],
        )
    for name, scaling in result['scaling'].items():
        _print_scaling(console, name, scaling)
    for name, rows in result['losses'].items():
        _print(
            console,
            f'{name}: losses of training, and how far they are from those in {rows[0]["dtype"]}',
            ('dtype', 'first', 'last', 'mean', 'largest'),
            [
                (
                    row['dtype'],
                    f'{row["losses"][0]:.4f}',
                    f'{row["losses"][-1]:.4f}',
                    f'{row["mean"]:.2%}',
                    f'{row["max"]:.2%}',
                )
                for row in rows
            ],
        )
    for row in result['profiles']:
        console.print(
            f'\n{row["name"]} [{row["mode"]}], {row["dtype"]}, {row["task"]}: '
            f'{_ms(row["seconds"])} ms for {row["macs"] / 1e9:.1f} GMACs; '
            'the machine does '
            + ', '.join(f'{v / 1e9:.0f} GMAC/s ({k})' for k, v in row['rates'].items())
            + f', so that {_ms(row["floor"])} ms are the least'
        )
        # not by rich: the table is wider than a screen
        print(row['table'])


def _or_dash(value: float | None, factor: float, spec: str, unit: str = '') -> str:
    return '-' if value is None else f'{value * factor:{spec}}{unit}'


def _print(console: Console, title: str, header: tuple, rows: list[tuple]) -> None:
    # a title of the table would be broken where the table ends
    console.print(f'\n{title}', style='italic')
    table = Table(box=box.SIMPLE_HEAD)
    numbers = {'parameters', 'GMACs', 'MiB', 'pixels'}
    for name in header:
        table.add_column(name, justify='right' if name in numbers else 'left', no_wrap=True)
    last = None
    for name, *row in rows:
        table.add_row('' if name == last else name, *map(str, row))
        last = name
    console.print(table)


def _print_times(console: Console, title: str, rows: list[dict]) -> None:
    console.print(f'\n{title}', style='italic')
    table = Table(box=box.SIMPLE_HEAD)
    parts = [p for p in PARTS if any(p in row['parts'] for row in rows)]
    for name in ('model', 'mode', 'dtype'):
        table.add_column(name, no_wrap=True)
    for name in ('images/s', 'total', 'quartiles', *parts):
        table.add_column(name, justify='right', no_wrap=True)
    last = None
    for row in rows:
        total, name = row['total'], row['name']
        table.add_row(
            '' if name == last else name,
            row['mode'],
            row['dtype'],
            f'{row["images_per_second"]:.2f}',
            _ms(total['median']),
            f'{_ms(total["q1"])}-{_ms(total["q3"])}',
            *(_ms(row['parts'][p]['median']) if p in row['parts'] else '' for p in parts),
        )
        last = name
    console.print(table)


def _ms(seconds: float) -> str:
    ms = seconds * 1e3
    return f'{ms:.0f}' if ms >= 100 else f'{ms:.3g}'


def _print_scaling(console: Console, name: str, scaling: dict) -> None:
    for part, title in (
        ('batch', 'the network by the batch size'),
        ('matching', 'matching by levels and crops'),
        ('read_out', 'read-out by joints and queries'),
    ):
        rows = scaling[part]
        keys = [k for k in rows[0] if k not in ('seconds', 'per_crop')]
        _print(
            console,
            f'{name}: {title}',
            (*keys, 'ms', 'quartiles', 'ms per crop'),
            [
                (
                    *(str(row[k]) for k in keys),
                    _ms(row['seconds']['median']),
                    f'{_ms(row["seconds"]["q1"])}-{_ms(row["seconds"]["q3"])}',
                    f'{row["per_crop"] * 1e3:.3g}',
                )
                for row in rows
            ],
        )


def ratios(result: dict) -> list[dict]:
    """Compare with the plain version.

    Returns:
        list[dict]: Rows with ``float32`` and ``same``: how many times faster
        the plugin is (in its fast mode, where there is one) than the plain
        version in float32 and in the same type. For memory it is what the
        plugin needs relative to the plain version.
    """
    values = {}
    for row in result['times']:
        seconds = row['total']['median']
        if row['task'] == 'inference':
            # the pipeline is the same for all
            seconds = sum(row['parts'][part]['median'] for part in ('forward', 'read_out'))
        values[row['task'], row['name'], row['mode'], row['dtype']] = seconds
    for row in result['memory']:
        if row['task'] == 'train' and row['bytes']:
            # smaller is better: the inverse of a speed-up
            values['training memory', row['name'], row['mode'], row['dtype']] = 1 / row['bytes']

    rows = []
    for (task, name, mode, dtype), value in values.items():
        fast = (task, name, 'fast', dtype)
        if mode == 'config' and (task, name, 'plain', dtype) in values:
            value = values.get(fast, value)
            plain = [values.get((task, name, 'plain', other)) for other in ('float32', dtype)]
            float32, same = (v and v / value for v in plain)
            rows.append(dict(name=name, quantity=task, dtype=dtype, float32=float32, same=same))
    return rows


def draw_times(result: dict, out: Path) -> None:
    """Draw bars of the time per image, stacked by part.

    Args:
        result (dict): See :func:`benchmark.measure`
        out (Path): Picture to write
    """
    tasks = [t for t in TITLES if any(r['task'] == t for r in result['times'])]
    rows = {t: [r for r in result['times'] if r['task'] == t] for t in tasks}
    heights = [1.2 + 0.35 * len(rows[t]) for t in tasks]
    fig, axes = plt.subplots(
        len(tasks),
        squeeze=False,
        figsize=(10, sum(heights)),
        height_ratios=heights,
        layout='constrained',
    )
    colours = dict(zip(PARTS, plt.get_cmap('tab10').colors))
    for axis, task in zip(axes[:, 0], tasks):
        labels = [f'{r["name"]} [{r["mode"]}] {r["dtype"]}' for r in rows[task]]
        left = np.zeros(len(labels))
        for part in PARTS:
            ms = np.array(
                [
                    r['parts'].get(part, dict(median=0))['median'] / r['images'] * 1e3
                    for r in rows[task]
                ]
            )
            if ms.any():
                axis.barh(range(len(labels)), ms, left=left, label=part, color=colours[part])
                left += ms
        axis.set_yticks(range(len(labels)), labels, fontsize=7)
        axis.invert_yaxis()
        axis.set(title=TITLES[task], xlabel='milliseconds per image')
        axis.legend(fontsize=7)
    env = result['environment']
    fig.suptitle(
        f'{env["device"]}, {env["threads"]} threads, '
        f'torch {env["torch"]}, medians of {env["repeats"]}'
    )
    fig.savefig(out, dpi=120)
    plt.close(fig)


def draw_scaling(result: dict, out: Path) -> None:
    """Draw the curves of ``--scaling``.

    Args:
        result (dict): See :func:`benchmark.measure`
        out (Path): Picture to write
    """
    fig, axes = plt.subplots(1, 3, figsize=(13, 4), layout='constrained')
    for name, scaling in result['scaling'].items():
        rows = scaling['batch']
        axes[0].plot(
            [r['batch_size'] for r in rows], [r['per_crop'] * 1e3 for r in rows], 'o-', label=name
        )
        rows = sorted(scaling['matching'], key=lambda r: r['levels'] * r['crops'])
        axes[1].plot(
            [r['levels'] * r['crops'] for r in rows],
            [r['seconds']['median'] * 1e3 for r in rows],
            'o-',
            label=name,
        )
        for plain in (False, True):
            rows = [r for r in scaling['read_out'] if r['plain'] == plain]
            axes[2].plot(
                [f'K={r["joints"]}, Q={r["queries"]}' for r in rows],
                [r['per_crop'] * 1e3 for r in rows],
                'o--' if plain else 'o-',
                label=f'{name} [plain]' if plain else name,
            )
    axes[0].set_xscale('log', base=2)
    axes[0].set(title='network', xlabel='batch size', ylabel='ms per crop')
    axes[1].set(title='matching', xlabel='levels x crops', ylabel='ms')
    axes[2].set(title='read-out', ylabel='ms per crop', yscale='log')
    for axis in axes[:2]:
        axis.set_ylim(bottom=0)
    for axis in axes:
        axis.legend(fontsize=6)
    fig.savefig(out, dpi=120)
    plt.close(fig)


def draw_losses(result: dict, out: Path) -> None:
    """Draw the curves of ``--loss-curve``.

    Args:
        result (dict): See :func:`benchmark.measure`
        out (Path): Picture to write
    """
    fig, axis = plt.subplots(figsize=(7, 4), layout='constrained')
    for name, rows in result['losses'].items():
        for row, style in zip(rows, ('-', '--')):
            axis.plot(
                range(1, len(row['losses']) + 1),
                row['losses'],
                style,
                label=f'{name} {row["dtype"]}',
            )
    axis.set(xlabel='step', ylabel='training loss')
    axis.set_ylim(bottom=0)
    axis.legend(fontsize=7)
    fig.savefig(out, dpi=120)
    plt.close(fig)
