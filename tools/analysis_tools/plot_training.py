"""Plot the loss and the metrics of a training run.

Example:
    python tools/analysis_tools/plot_training.py work_dirs/quickstart \
        curve.png --metrics coco/AP
"""

import argparse
import sys
from pathlib import Path


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Plot the loss and the metrics of a training run')
    parser.add_argument('work_dir', help='folder of the run')
    parser.add_argument('out', type=Path, help='picture to write')
    parser.add_argument(
        '--metrics',
        nargs='+',
        help='metrics to plot beside the loss (default: coco/AP and coco/bbox_AP, if they '
        'were recorded)',
    )
    parser.add_argument('--force', action='store_true', help='replace OUT if it exists')
    return parser.parse_args()


def main() -> None:
    """Run the script."""
    args = parse_args()
    # after the command line, so that --help is quick
    from prtr_plugin.visualization import check_picture, draw_training, read_scalars, save_figure

    try:
        check_picture(args.out, args.force)
        save_figure(draw_training(*read_scalars(args.work_dir), args.metrics), args.out)
    except (OSError, ValueError) as error:
        sys.exit(f'Error: {error}')
    print(f'Wrote {args.out}')


if __name__ == '__main__':
    main()
