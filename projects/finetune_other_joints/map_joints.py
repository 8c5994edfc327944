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

import torch
from mmengine.config import DictAction

from prtr_plugin.apis import load_model
from prtr_plugin.checkpoints import (
    check_state_dict,
    get_state_dict,
    joint_names,
    map_joints,
    read_checkpoint,
)
from prtr_plugin.fileio import write_file


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Adapt a checkpoint of PRTR to another set of joints'
    )
    parser.add_argument('input', metavar='IN', help='checkpoint to read')
    parser.add_argument('config', help='config file of the model with the other joints')
    parser.add_argument('output', metavar='OUT', help='checkpoint to write')
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
        checkpoint = read_checkpoint(args.input)
        weights = get_state_dict(checkpoint)
        meta = checkpoint.get('meta', {}).get('dataset_meta')
        if meta is None:
            raise ValueError(
                f'"{args.input}" does not name its joints: give a checkpoint of a training run.'
            )
        # so that the rows of new joints are the same in every run
        torch.manual_seed(0)
        model = load_model(
            args.config, device='cpu', random_weights=True, cfg_options=args.cfg_options
        )
        state_dict = map_joints(weights, meta, model.state_dict(), model.dataset_meta)
        check_state_dict(model, state_dict)
        with write_file(args.output) as file:
            torch.save(dict(state_dict=state_dict), file)
    except (OSError, ValueError) as error:
        sys.exit(f'Error: {error}')

    print(f'Wrote {args.output}')
    old, new = joint_names(meta), joint_names(model.dataset_meta)
    for what, names in (
        ('kept', [name for name in new if name in old]),
        ('new', [name for name in new if name not in old]),
        ('dropped', [name for name in old if name not in new]),
    ):
        print(f'{what} ({len(names)}): {", ".join(names)}')


if __name__ == '__main__':
    main()
