"""Draw what the cascade looks at: boxes, sampling grids and joints.

The dots are the places where the spatial transformer samples the backbone's
features around each person.

Example:
    python tools/visualizations/cascade.py CONFIG CHECKPOINT people.jpg \
        people.png --bbox-thr 0.5
"""

import argparse
from pathlib import Path

import mmcv
from visualization_utils import batch_of_files, load_model, make_parser, save_figure

from prtr_plugin.visualization import draw_cascade, find_people


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__)
    parser.add_argument('image', help='image file')
    parser.add_argument('out', type=Path, help='picture to write')
    parser.add_argument(
        '--bbox-thr',
        type=float,
        default=0.3,
        help='score that the box of a person exceeds (default: 0.3)',
    )
    return parser.parse_args()


def main() -> None:
    """Run the script."""
    args = parse_args()
    model = load_model(args)
    model.test_cfg['score_thr'] = args.bbox_thr
    (result,) = find_people(model, batch_of_files(model, [args.image]))
    figure = draw_cascade(mmcv.imread(args.image, channel_order='rgb'), result, model.dataset_meta)
    save_figure(figure, args.out)
    print(f'{len(result.grids)} people. Wrote {args.out}')


if __name__ == '__main__':
    main()
