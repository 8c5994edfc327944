"""Train a model.

Example:
    python tools/train.py CONFIG --work-dir work_dirs/mine \
        --cfg-options train_dataloader.batch_size=8
"""

import argparse
import errno
import os
import sys

from mmengine.config import DictAction


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Train a pose model')
    parser.add_argument('config', help='config file, or name of a model')
    parser.add_argument(
        '--work-dir',
        help='folder for logs and checkpoints; by default the one in the '
        "config or work_dirs/<the config's name>",
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const=True,
        default=False,
        metavar='CHECKPOINT',
        help='resume from this checkpoint, or from the latest one in the work '
        'folder if none is given',
    )
    parser.add_argument(
        '--amp',
        action='store_true',
        help='train in mixed precision: float16 on a GPU, bfloat16 on the CPU',
    )
    parser.add_argument(
        '--no-validate', action='store_true', help='do not evaluate during training'
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate by the total batch size over the '
        "config's auto_scale_lr.base_batch_size",
    )
    parser.add_argument(
        '--trust',
        action='store_true',
        help='unpickle any Python object in the checkpoints, which can run arbitrary code',
    )
    parser.add_argument(
        '--force',
        action='store_true',
        help='train anew in a work folder with checkpoints of another run',
    )
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
    from prtr_plugin.apis import build_train_runner
    from prtr_plugin.checkpoints import CheckpointError

    try:
        runner = build_train_runner(**args)
    except (OSError, ValueError) as error:
        sys.exit(f'Error: {error}')
    try:
        runner.train()
    except (CheckpointError, FloatingPointError) as error:
        sys.exit(f'Error: {error}')
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        sys.exit(f'Error: The disk is full ({error}). Make room and resume.')


if __name__ == '__main__':
    main()
