"""Train the heads of a track one after the other, and compare them.

What exists is not trained again, and what was interrupted is resumed: the same
command continues.

Example:
    python projects/head_benchmark/compare_heads.py --track a --seeds 0 1 2 \
        --cfg-options data_root=data/synthetic_people/
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from costs import measure_costs
from mmengine.config import DictAction
from report import HEADS, plot, print_results, summarize
from runs import METRICS, train

from prtr_plugin.fileio import check_output, write_file


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description="Compare PRTR with mmpose's heads under one budget",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        '--track',
        choices=list(METRICS),
        default='a',
        help='a: synthetic people, b: photographs, c: photographs and a pretrained backbone',
    )
    parser.add_argument('--heads', nargs='+', choices=HEADS, default=list(HEADS), help='heads')
    parser.add_argument('--seeds', nargs='+', type=int, default=[0], help='seeds of the runs')
    parser.add_argument(
        '--learning-rates',
        nargs='+',
        type=float,
        metavar='RATE',
        help="use the best one of these in a short run, instead of that of the head's config",
    )
    parser.add_argument('--search-epochs', type=int, default=3, help='length of a short run')
    parser.add_argument('--out', default='work_dirs/head_benchmark', help='folder to write to')
    parser.add_argument(
        '--test-again',
        action='store_true',
        help='evaluate the last checkpoints again, which a change of the read-out needs',
    )
    parser.add_argument('--force', action='store_true', help='replace results that exist')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        default={},
        metavar='KEY=VALUE',
        help='override settings of all configs',
    )
    args = parser.parse_args()
    for name in ('heads', 'seeds', 'learning_rates'):
        values = getattr(args, name) or []
        if len(set(values)) < len(values):
            parser.error(f'--{name.replace("_", "-")} must differ, but are {values}')
    if min(args.seeds) < 0:
        parser.error(f'--seeds must be 0 or more, but are {args.seeds}')
    if args.learning_rates and not min(args.learning_rates) > 0:
        parser.error(f'--learning-rates must be positive, but are {args.learning_rates}')
    if args.search_epochs < 1:
        parser.error(f'--search-epochs must be at least 1, but is {args.search_epochs}')
    return args


def search_rates(args: argparse.Namespace, out: Path) -> dict[str, dict[str, float]]:
    """The first metric of short runs, by head and learning rate."""
    found: dict[str, dict[str, float]] = {}
    for head in args.heads:
        found[head] = {}
        for rate in args.learning_rates or ():
            run = train(
                head, 0, rate, args.search_epochs, out / 'search', args.cfg_options, args.test_again
            )
            found[head][f'{rate:g}'] = next(iter(run['metrics'].values()))
    return found


def compare(args: argparse.Namespace, out: Path) -> dict:
    """Train and measure everything.

    Returns:
        dict: ``track``, ``metric`` (the first one), ``search_epochs``, the metric by head and
        rate as ``learning_rates``, and ``heads``, see :func:`report.summarize`.
    """
    rates = search_rates(args, out)
    runs = {}
    # all heads with one seed first: there is something to compare early
    for seed in args.seeds:
        for head in args.heads:
            best = max(rates[head], key=rates[head].get, default=None)
            lr = None if best is None else float(best)
            runs[head, seed] = train(head, seed, lr, None, out, args.cfg_options, args.test_again)
    costs = measure_costs(args.heads, args.cfg_options)
    return dict(
        track=args.track,
        metric=next(iter(METRICS[args.track].values())),
        search_epochs=args.search_epochs,
        learning_rates=rates if args.learning_rates else {},
        heads=[
            summarize(head, [runs[head, seed] for seed in args.seeds], costs[head])
            for head in args.heads
        ],
    )


def main() -> None:
    """Run the script."""
    args = parse_args()
    os.environ['PRTR_TRACK'] = args.track
    out = Path(args.out) / f'track_{args.track}'
    try:
        for name in ('results.json', 'results.png'):
            check_output(out / name, args.force)
        results = compare(args, out)
    except subprocess.CalledProcessError as error:
        sys.exit(f'Error: {" ".join(error.cmd[1:])} failed.')
    except (OSError, ValueError) as error:
        sys.exit(f'Error: {error}')
    print_results(results)
    with write_file(out / 'results.json') as file:
        file.write_text(json.dumps(results, indent=2) + '\n')
    with write_file(out / 'results.png') as file:
        plot(results['heads'], file)
    print(f'\nWrote {out / "results.json"} and {out / "results.png"}')


if __name__ == '__main__':
    main()
