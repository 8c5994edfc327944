"""Extract the person detector from a checkpoint of a PRTRCascade.

Example:
    python projects/detector_and_pose/cascade_to_detector.py \
        work_dirs/cascade/epoch_24.pth work_dirs/detector.pth
"""

import argparse

import torch

from prtr_plugin.checkpoints import get_state_dict, read_checkpoint
from prtr_plugin.fileio import write_file

PREFIX = 'detector.'


def main() -> None:
    """Run the script."""
    parser = argparse.ArgumentParser(description='Extract the person detector from a cascade')
    parser.add_argument('input', metavar='IN', help='checkpoint to read')
    parser.add_argument('output', metavar='OUT', help='checkpoint to write')
    args = parser.parse_args()

    try:
        weights = get_state_dict(read_checkpoint(args.input))
    except (FileNotFoundError, ValueError) as error:
        parser.error(str(error))
    state_dict = {
        key.removeprefix(PREFIX): value for key, value in weights.items() if key.startswith(PREFIX)
    }
    if not state_dict:
        parser.error(
            f'"{args.input}" is not a checkpoint of a PRTRCascade: no key starts with "{PREFIX}"'
        )
    meta = dict(dataset_meta=dict(classes=('person',)))
    with write_file(args.output) as file:
        torch.save(dict(meta=meta, state_dict=state_dict), file)
    print(f'Wrote {args.output}: {len(state_dict)} tensors')


if __name__ == '__main__':
    main()
