"""Turn a sequential PRTR checkpoint of the authors into one of PRTRCascade.

Example:
    python tools/model_converters/sequential_to_prtr_cascade.py \
        sequential.pth cascade.pth

The input is the state dict of the authors' end-to-end notebook. Its read-out
takes the first keypoint class as background; for weights that were trained
with the convention of the two-stage code give ``--background last``.
"""

import argparse
import sys


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Turn a sequential PRTR checkpoint of the authors into one of PRTRCascade'
    )
    parser.add_argument('input', metavar='IN', help='checkpoint to read')
    parser.add_argument('output', metavar='OUT', help='checkpoint to write')
    parser.add_argument(
        '--background',
        choices=['first', 'last'],
        default='first',
        help='keypoint class that is background in IN (default: first, as in the notebook)',
    )
    parser.add_argument(
        '--config', help='config whose model the weights must fit (default: any complete model)'
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
            'sequential',
            config=args.config,
            trust=args.trust,
            background=args.background,
        )
    except (OSError, ValueError) as error:
        sys.exit(f'Error: {error}')
    print(summary)


if __name__ == '__main__':
    main()
