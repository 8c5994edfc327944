"""Draw how the joints move from decoder level to decoder level.

The people are those of image files or of the test set of the config. With
--curve the error of every level over the whole test set is measured, too.
All of this is without flip test.

Example:
    python tools/visualizations/refinement.py CONFIG CHECKPOINT \
        work_dirs/refinement --num-images 4 --curve
    python tools/visualizations/refinement.py CONFIG CHECKPOINT \
        work_dirs/refinement --images person.jpg --bbox 40 10 120 300
"""

import argparse
import json
from pathlib import Path

import mmcv
import numpy as np
from torch import nn
from tqdm import tqdm
from visualization_utils import (
    add_bbox,
    batch_of_dataset,
    batch_of_files,
    image_paths,
    load_model,
    make_parser,
    save_figure,
    test_loader,
)

from prtr_plugin.visualization import draw_errors, draw_refinement, level_errors, read_levels


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__)
    parser.add_argument('out', type=Path, help='folder to write to')
    parser.add_argument('--images', nargs='+', help='image files to draw')
    add_bbox(parser)
    parser.add_argument(
        '--num-images',
        type=int,
        default=4,
        help='number of people of the test set to draw, if there are no --images (default: 4)',
    )
    parser.add_argument('--columns', type=int, default=1, help='people a picture (default: 1)')
    parser.add_argument(
        '--curve',
        action='store_true',
        help='measure the error of every level over the test set, too',
    )
    parser.add_argument(
        '--thr',
        type=float,
        default=0.05,
        help='distance up to which a joint counts as found, in units of the '
        'longer side of the box (default: 0.05)',
    )
    args = parser.parse_args()
    if args.num_images < 1 or args.columns < 1:
        parser.error('--num-images and --columns must be at least 1')
    if args.bbox and len(args.images or ()) != 1:
        parser.error('--bbox needs exactly one file in --images')
    return args


def measure(model: nn.Module, thr: float) -> list[dict[str, float]]:
    """Errors of the levels over the test set, see ``level_errors``."""
    found = []
    for batch in tqdm(test_loader(model), desc='test set', leave=False):
        samples, keypoints = read_levels(model, batch)
        people = [s.gt_instances for s in samples]
        found.append(
            (
                keypoints,
                *(
                    np.concatenate([p[name] for p in people])
                    for name in ('keypoints', 'keypoints_visible', 'bboxes')
                ),
            )
        )
    return level_errors(*map(np.concatenate, zip(*found)), thr)


def main() -> None:
    """Run the script."""
    args = parse_args()
    model = load_model(args)
    if args.images:
        batch = batch_of_files(model, args.images, args.bbox)
    else:
        batch = batch_of_dataset(model, args.num_images)
    paths = image_paths(batch)
    samples, keypoints = read_levels(model, batch)

    for start in range(0, len(paths), args.columns):
        part = slice(start, start + args.columns)
        figure = draw_refinement(
            [mmcv.imread(p, channel_order='rgb') for p in paths[part]],
            keypoints[part],
            samples[part],
            model.dataset_meta,
        )
        path = args.out / f'{start:03d}_{Path(paths[start]).stem}.png'
        save_figure(figure, path)
        print(f'Wrote {path}')

    if args.curve:
        errors = measure(model, args.thr)
        print(f'level     NME  PCK@{args.thr:g}')
        for e in errors:
            print(f'{e["level"]:5d}  {e["NME"]:.4f}  {e["PCK"]:.4f}')
        (args.out / 'curve.json').write_text(
            json.dumps(dict(thr=args.thr, levels=errors), indent=2) + '\n'
        )
        save_figure(draw_errors(errors, args.thr), args.out / 'curve.png')
        print(f'Wrote {args.out / "curve.json"} and curve.png beside it')


if __name__ == '__main__':
    main()
