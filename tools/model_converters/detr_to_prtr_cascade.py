"""Turn a published DETR into the person detector of a PRTRCascade.

Example:
    python tools/model_converters/detr_to_prtr_cascade.py \
        detr-r50-e632da11.pth data/detr/detr_r50_person.pth

The configs of the cascade start from such a file (``load_from``). It has all
parameters of the detector; the keypoint head starts from scratch.
"""

import argparse
import sys


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Turn a DETR checkpoint of mmdet or facebookresearch into the detector of a '
        'PRTRCascade'
    )
    parser.add_argument('input', metavar='IN', help='checkpoint to read')
    parser.add_argument('output', metavar='OUT', help='checkpoint to write')
    parser.add_argument(
        '--source',
        choices=['auto', 'mmdet', 'facebook'],
        default='auto',
        help='origin of the checkpoint (default: recognised by its keys)',
    )
    parser.add_argument(
        '--config',
        help='config of the PRTRCascade whose detector the weights must fit (default: any '
        'complete detector)',
    )
    parser.add_argument(
        '--person-row',
        type=int,
        help='row of "person" in the class layer, if DETR was trained on other classes than '
        "COCO's",
    )
    parser.add_argument(
        '--trust',
        action='store_true',
        help='unpickle any Python object in IN, which can run arbitrary code',
    )
    parser.add_argument('--force', action='store_true', help='replace OUT if it exists')
    return parser.parse_args()


def main() -> None:
    """Run the script."""
    args = parse_args()
    from prtr_plugin.apis import convert_checkpoint
    from prtr_plugin.fileio import check_output

    try:
        check_output(args.output, args.force, inputs=[args.input])
        summary = convert_checkpoint(
            args.input,
            args.output,
            'detr',
            config=args.config,
            trust=args.trust,
            origin=args.source,
            person_row=args.person_row,
        )
    except (OSError, ValueError) as error:
        sys.exit(f'Error: {error}')
    print(summary)
    print('The config needs bgr_to_rgb=True. The file has no parameters of the head (head.*).')


if __name__ == '__main__':
    main()
