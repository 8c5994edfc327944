"""Convert the PRTR authors' two-stage checkpoints to mmpose's layout and back.

Example:
    python tools/model_converters/prtr_to_mmpose.py final_state.pth prtr.pth
    python tools/model_converters/prtr_to_mmpose.py --reverse prtr.pth back.pth

The backbone (ResNet-50, 101, 152 or HRNet-W32), the number of joints and
whether attention is deformable are read from the file. Everything else must be
as in the published models; for other models give the config with --config.
"""

import argparse
import sys


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Convert a two-stage PRTR checkpoint of the authors to the mmpose layout '
        '(or back)'
    )
    parser.add_argument('input', metavar='IN', help='checkpoint to read')
    parser.add_argument('output', metavar='OUT', help='checkpoint to write')
    parser.add_argument(
        '--reverse', action='store_true', help="from the mmpose layout to the authors'"
    )
    parser.add_argument(
        '--config',
        help='config whose model the weights must fit (default: that of the published model)',
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
            args.input, args.output, 'two_stage', args.reverse, args.config, args.trust
        )
    except (OSError, ValueError) as error:
        sys.exit(f'Error: {error}')
    print(summary)


if __name__ == '__main__':
    main()
