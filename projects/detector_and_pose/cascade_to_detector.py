"""Extract the person detector from a checkpoint of a PRTRCascade.

Example:
    python projects/detector_and_pose/cascade_to_detector.py \
        work_dirs/cascade/epoch_24.pth work_dirs/detector.pth
"""

import argparse
import sys

import torch

from prtr_plugin.checkpoints import read_weights
from prtr_plugin.fileio import check_output, write_file

PREFIX = 'detector.'


def main() -> None:
    """Run the script."""
    parser = argparse.ArgumentParser(description='Extract the person detector from a cascade')
    parser.add_argument('input', metavar='IN', help='checkpoint to read')
    parser.add_argument('output', metavar='OUT', help='checkpoint to write')
    parser.add_argument('--force', action='store_true', help='replace OUT if it exists')
    parser.add_argument(
        '--trust',
        action='store_true',
        help='unpickle any Python object in IN, which can run arbitrary code',
    )
    args = parser.parse_args()

    try:
        check_output(args.output, args.force, inputs=[args.input])
        weights, _ = read_weights(args.input, args.trust)
        state_dict = {
            key.removeprefix(PREFIX): value
            for key, value in weights.items()
            if key.startswith(PREFIX)
        }
        if not state_dict:
            raise ValueError(
                f'"{args.input}" is not a checkpoint of a PRTRCascade: no key starts with '
                f'"{PREFIX}".'
            )
        meta = dict(dataset_meta=dict(classes=('person',)))
        with write_file(args.output) as file:
            torch.save(dict(meta=meta, state_dict=state_dict), file)
    except (OSError, ValueError) as error:
        sys.exit(f'Error: {error}')
    print(f'Wrote {args.output}: {len(state_dict)} tensors')


if __name__ == '__main__':
    main()
