"""Cut the person detector out of a checkpoint of a PRTRCascade.

Example:
    python projects/detector_and_pose/cascade_to_detector.py \
        work_dirs/cascade/epoch_24.pth work_dirs/detector.pth
"""

import argparse

import torch
from mmengine.runner import CheckpointLoader

import prtr_plugin  # noqa: F401  (lets its checkpoints be read)

PREFIX = 'detector.'


def main() -> None:
    """Run the script."""
    parser = argparse.ArgumentParser(description='Cut the person detector out of a cascade')
    parser.add_argument('input', metavar='IN', help='checkpoint to read')
    parser.add_argument('output', metavar='OUT', help='checkpoint to write')
    args = parser.parse_args()

    checkpoint = CheckpointLoader.load_checkpoint(args.input, 'cpu')
    state_dict = {
        key[len(PREFIX) :]: value
        for key, value in checkpoint['state_dict'].items()
        if key.startswith(PREFIX)
    }
    if not state_dict:
        parser.error(
            f'"{args.input}" is no checkpoint of a PRTRCascade: no key starts with "{PREFIX}"'
        )
    meta = dict(dataset_meta=dict(classes=('person',)))
    torch.save(dict(meta=meta, state_dict=state_dict), args.output)
    print(f'Wrote {args.output}: {len(state_dict)} tensors')


if __name__ == '__main__':
    main()
