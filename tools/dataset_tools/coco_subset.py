"""Write a COCO keypoint annotation file with a few well-labelled people.

Picks people (not crowds) with at least --min-keypoints labelled joints and
keeps only them and their images, for example to see whether a model can
overfit them. With --num-images, picks whole images that show such a person
and keeps everybody in them.

Example:
    python tools/dataset_tools/coco_subset.py person_keypoints_val2017.json \
        few.json --num-people 64
"""

import argparse
import sys


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('in_json', help='COCO keypoint annotation file')
    parser.add_argument('out_json', help='file to write')
    group = parser.add_mutually_exclusive_group()
    group.add_argument('--num-people', type=int, default=64, help='people to keep (default: 64)')
    group.add_argument('--num-images', type=int, help='keep this many whole images instead')
    parser.add_argument(
        '--min-keypoints',
        type=int,
        default=12,
        help='labelled joints a person must have (default: 12)',
    )
    parser.add_argument('--seed', type=int, default=0, help='same seed, same choice (default: 0)')
    parser.add_argument('--force', action='store_true', help='replace the file if it exists')
    return parser.parse_args()


def main() -> None:
    """Run the script."""
    args = vars(parse_args())
    # after the command line, so that --help is quick
    from prtr_plugin.datasets import write_coco_subset
    from prtr_plugin.fileio import check_output

    out, force = args['out_json'], args.pop('force')
    try:
        check_output(out, force, ['.json'], [args['in_json']])
        subset = write_coco_subset(**args)
    except (OSError, ValueError) as error:
        sys.exit(f'Error: {error}')
    print(f'Wrote {out}: {len(subset["annotations"])} people in {len(subset["images"])} images')


if __name__ == '__main__':
    main()
