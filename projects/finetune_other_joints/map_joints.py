"""Fit a checkpoint of PRTR to another set of joints.

Only the class layer of the head knows joints: it has a row for each, and one
for "no keypoint". The rows of joints that both sets name alike are kept, a
new joint gets the row that the model of the config starts with, and all else
has to fit exactly.

Example:
    python projects/finetune_other_joints/map_joints.py \
        work_dirs/quickstart/epoch_20.pth CONFIG work_dirs/finetune/start.pth
"""

import argparse
import sys

import torch
from mmengine.config import DictAction
from torch import Tensor

from prtr_plugin.apis import load_model
from prtr_plugin.checkpoints import check_state_dict, get_state_dict, read_checkpoint
from prtr_plugin.fileio import write_file

CLASS_LAYER = ('head.fc_cls.weight', 'head.fc_cls.bias')


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Fit a checkpoint of PRTR to another set of joints'
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


def joint_names(dataset_meta: dict) -> list[str]:
    """Names of the joints, in their order."""
    names = dataset_meta['keypoint_id2name']
    return [names[i] for i in range(len(names))]


def map_joints(
    state_dict: dict[str, Tensor],
    names: list[str],
    new_state: dict[str, Tensor],
    new_names: list[str],
) -> dict[str, Tensor]:
    """Weights for other joints.

    Args:
        state_dict (dict): Weights of a PRTR
        names (List[str]): Names of its joints
        new_state (dict): Weights that the other model starts with
        new_names (List[str]): Names of its joints

    Returns:
        dict: ``state_dict`` with another class layer.

    Raises:
        ValueError: If there is no class layer of that many joints.
    """
    result = dict(state_dict)
    for key in CLASS_LAYER:
        if key not in state_dict or len(state_dict[key]) != len(names) + 1:
            raise ValueError(
                f'The checkpoint has no {key} of {len(names)} '
                'joints and "no keypoint": give one of a '
                'two-stage PRTR.'
            )
        rows = new_state[key].clone()
        for i, name in enumerate(new_names):
            if name in names:
                rows[i] = state_dict[key][names.index(name)]
        rows[-1] = state_dict[key][-1]  # "no keypoint"
        result[key] = rows
    return result


def main() -> None:
    """Run the script."""
    args = parse_args()
    try:
        checkpoint = read_checkpoint(args.input)
        torch.manual_seed(0)
        model = load_model(
            args.config, device='cpu', random_weights=True, cfg_options=args.cfg_options
        )
        meta = checkpoint.get('meta', {}).get('dataset_meta')
        if meta is None:
            raise ValueError(
                f'"{args.input}" does not name its joints: give what a training run has saved.'
            )
        names, new_names = joint_names(meta), joint_names(model.dataset_meta)
        state_dict = map_joints(get_state_dict(checkpoint), names, model.state_dict(), new_names)
        check_state_dict(model, state_dict)
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f'Error: {error}')

    with write_file(args.output) as file:
        torch.save(dict(state_dict=state_dict), file)
    print(f'Wrote {args.output}')
    for what, some in (
        ('kept', [n for n in new_names if n in names]),
        ('new', [n for n in new_names if n not in names]),
        ('dropped', [n for n in names if n not in new_names]),
    ):
        print(f'{what} ({len(some)}): {", ".join(some)}')


if __name__ == '__main__':
    main()
