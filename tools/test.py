"""Evaluate a model on the test data.

Example:
    python tools/test.py CONFIG CHECKPOINT --out metrics.json
"""

import argparse
import os
import sys

from mmengine.config import DictAction


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Test a pose model')
    parser.add_argument('config', help='config file, or name of a model')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        '--work-dir',
        help="folder for logs; by default the one in the config or work_dirs/<the config's name>",
    )
    parser.add_argument('--out', help='write the metrics to this .json, .yml or .pkl file')
    parser.add_argument('--dump', help='write the predictions to this .pkl file')
    parser.add_argument('--show-dir', help='draw the predictions into this folder')
    parser.add_argument(
        '--trust',
        action='store_true',
        help='unpickle any Python object in the checkpoints, which can run arbitrary code',
    )
    parser.add_argument('--force', action='store_true', help='replace outputs that exist')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='override settings of the config: a.b=1, a=1,2 or a="[1,2]" without white space',
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='how the processes of a distributed job were started',
    )
    # torch.distributed.launch passes one of these (by version of torch).
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Run the script."""
    args = vars(parse_args())
    os.environ.setdefault('LOCAL_RANK', str(args.pop('local_rank')))
    # after the command line, so that --help is quick
    from prtr_plugin.apis import build_test_runner
    from prtr_plugin.checkpoints import CheckpointError

    try:
        runner = build_test_runner(**args)
    except (OSError, ValueError) as error:
        sys.exit(f'Error: {error}')
    try:
        runner.test()
    except CheckpointError as error:
        sys.exit(f'Error: {error}')


if __name__ == '__main__':
    main()
