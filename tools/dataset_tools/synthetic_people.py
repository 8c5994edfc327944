"""Write a dataset of synthetic people in COCO keypoint layout.

OUT_DIR/train2017/*.jpg, OUT_DIR/val2017/*.jpg and
OUT_DIR/annotations/person_keypoints_{train,val}2017.json: articulated figures
with 17 joints over cluttered backgrounds. See
``prtr_plugin.datasets.generate_people``.

Example:
    python tools/dataset_tools/synthetic_people.py data/synthetic_people
"""

import argparse
import sys


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('out_dir', help='folder to create')
    parser.add_argument(
        '--num-train', type=int, default=1500, help='training images (default: 1500)'
    )
    parser.add_argument('--num-val', type=int, default=150, help='validation images (default: 150)')
    parser.add_argument(
        '--max-people',
        type=int,
        default=4,
        help='maximum number of people in an image (default: 4)',
    )
    parser.add_argument(
        '--image-size',
        type=int,
        nargs=2,
        default=[320, 240],
        metavar=('WIDTH', 'HEIGHT'),
        help='in pixels (default: 320 240)',
    )
    parser.add_argument('--seed', type=int, default=0, help='same seed, same dataset (default: 0)')
    parser.add_argument(
        '--force', action='store_true', help='replace a dataset made with other settings'
    )
    return parser.parse_args()


def main() -> None:
    """Run the script."""
    args = parse_args()
    # after the command line, so that --help is quick
    from prtr_plugin.datasets import generate_people

    try:
        written = generate_people(**vars(args))
    except (OSError, ValueError) as error:
        sys.exit(f'Error: {error}')
    if written:
        print(f'Wrote {args.out_dir}')
    else:
        print(f'{args.out_dir} already holds this dataset; nothing to do')


if __name__ == '__main__':
    main()
