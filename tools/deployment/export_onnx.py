"""Export a two-stage PRTR model or a cascade as one file that needs no mmpose.

The graph takes images as OpenCV reads them (BGR, uint8) and gives the raw
logits and coordinates; the assignment of queries to joints stays outside.
onnx_inference.py beside this file runs it without PyTorch. Before the file
appears, its outputs are compared with those of the model.

Example:
    python tools/deployment/export_onnx.py CONFIG CHECKPOINT model.onnx
    python tools/deployment/onnx_inference.py model.onnx IMAGE --with-readout
"""

import argparse
import copy
import os
import sys
from pathlib import Path

import torch
from export_formats import FORMATS, MissingPackage
from export_utils import RawModel, compare, describe, time_both
from mmengine.config import DictAction
from mmpose.models.pose_estimators.base import BasePoseEstimator

from prtr_plugin.apis import load_model, switch_to_deploy

FORMAT_HELP = """
formats:
  onnx         (.onnx) for onnxruntime and others; any batch size and image
               size
  torchscript  (.pt) for torch.jit.load, in Python and C++; any batch size and
               image size; stays on --device
  torch_export (.pt2) for torch.export.load; any batch size, but only one
               image size, because the pooling of a ResNet asks whether sizes
               are even; needs torch >= 2.2; stays on --device

A crop of a two-stage model has one size anyway. A cascade takes images of any
size that are not padded: those of a batch have the same size. The
files of ProposalPersonDETR need images that have at least num_queries places
in the map that the detector sees. See also README.md beside this file.
"""


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Export PRTR for deployment, and check the result',
        epilog=FORMAT_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('out', type=Path, help='file to write, with the ending of its format')
    parser.add_argument(
        '--format', choices=list(FORMATS), default='onnx', help='see below (default: onnx)'
    )
    parser.add_argument(
        '--opset',
        type=int,
        default=17,
        help='version of the ONNX operators, at least 16 (default: 17)',
    )
    parser.add_argument(
        '--batch-sizes',
        type=int,
        nargs='+',
        default=[1, 3, 8],
        help='to check and to time (default: 1 3 8)',
    )
    parser.add_argument(
        '--tolerance',
        type=float,
        default=1e-4,
        help='largest allowed difference of an output, relative to its '
        'largest value if that is above 1 (default: 1e-4)',
    )
    parser.add_argument(
        '--repeats',
        type=int,
        default=5,
        help='runs of each to take the median time of, 0 for no timing (default: 5)',
    )
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE')
    args = parser.parse_args()
    ending = FORMATS[args.format].ending
    if args.out.suffix != ending:
        parser.error(f'out must end with {ending} for --format={args.format}, but is {args.out}')
    if args.opset < 16:
        parser.error('--opset must be at least 16, which has GridSample')
    if min(args.batch_sizes) < 1:
        parser.error('--batch-sizes must be positive')
    return args


def export(model: BasePoseEstimator, args: argparse.Namespace) -> None:
    """Write the file, in one step after it has passed the check.

    Raises:
        MissingPackage: If a package is missing.
        ValueError: If the model cannot be exported or the outputs differ.
    """
    _, write, load = FORMATS[args.format]
    metadata = describe(model, Path(args.config).name)
    exact = RawModel(model)
    deployed = RawModel(switch_to_deploy(copy.deepcopy(model)))

    args.out.parent.mkdir(parents=True, exist_ok=True)
    # with the same ending, which some formats look at
    temporary = args.out.with_name(f'.{os.getpid()}.{args.out.name}')
    try:
        write(deployed, metadata, temporary, args.opset)
        run = load(temporary, args.device)
        passed = compare(exact, run, metadata, args.batch_sizes, args.tolerance)
        if not passed:
            raise ValueError(
                f'The outputs differ by more than --tolerance='
                f'{args.tolerance:g}. Nothing was written.'
            )
        if args.repeats:
            time_both(deployed, run, metadata, args.batch_sizes, args.repeats)
        os.replace(temporary, args.out)
    finally:
        if temporary.exists():
            temporary.unlink()


def main() -> None:
    """Run the script."""
    args = parse_args()
    try:
        with torch.no_grad():
            model = load_model(
                args.config, args.checkpoint, args.device, cfg_options=args.cfg_options
            )
            export(model, args)
    except (FileNotFoundError, MissingPackage, ValueError) as error:
        sys.exit(f'Error: {error}')
    print(f'Wrote {args.out} ({args.out.stat().st_size / 2**20:.1f} MiB)')


if __name__ == '__main__':
    main()
