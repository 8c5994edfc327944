"""Adapt a checkpoint of PRTR to another set of joints.

The class layer of the head has a row for each joint. Rows of joints with the
same name in both sets are kept, a new joint gets the initial row of the model
of the config, and everything else must fit exactly.

Example:
    python projects/finetune_other_joints/map_joints.py \
        work_dirs/quickstart_prtr/epoch_20.pth CONFIG work_dirs/finetune/start.pth
"""

import argparse
import sys

from mmengine.config import DictAction

from prtr_plugin.apis import write_initial_weights
from prtr_plugin.fileio import check_output


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Adapt a checkpoint of PRTR to another set of joints'
    )
    parser.add_argument('input', metavar='IN', help='checkpoint to read')
    parser.add_argument('config', help='config file of the model with the other joints')
    parser.add_argument('output', metavar='OUT', help='checkpoint to write')
    parser.add_argument('--force', action='store_true', help='replace OUT if it exists')
    parser.add_argument(
        '--trust',
        action='store_true',
        help='unpickle any Python object in IN, which can run arbitrary code',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='override settings of the config',
    )
    return parser.parse_args()


def main() -> None:
    """Run the script."""
    args = parse_args()
    try:
        check_output(args.output, args.force, inputs=[args.input, args.config])
        change = write_initial_weights(
            args.input, args.config, args.output, args.cfg_options, args.trust
        )
    except (OSError, ValueError) as error:
        sys.exit(f'Error: {error}')

    print(f'Wrote {args.output}')
    for what, names in change._asdict().items():
        print(f'{what} ({len(names)}): {", ".join(names)}')


if __name__ == '__main__':
    main()
