"""Export a two-stage PRTR model or a cascade to a file that runs without mmpose.

The graph takes images as OpenCV reads them (BGR, uint8) and returns raw logits
and coordinates; the assignment of queries to joints is not part of it.
onnx_inference.py beside this file runs it without PyTorch. Before the file
appears, its outputs are compared with those of the model.

Example:
    python tools/deployment/export_onnx.py CONFIG CHECKPOINT model.onnx
    python tools/deployment/onnx_inference.py model.onnx IMAGE --with-readout
"""

import argparse
import sys
from pathlib import Path

from mmengine.config import DictAction

from prtr_plugin.apis import export, load_model
from prtr_plugin.deploy import FORMATS
from prtr_plugin.fileio import check_output

EPILOG = """
formats:
  .onnx  for onnxruntime and others; any batch size and image size
  .pt    TorchScript, for torch.jit.load in Python and C++; any batch size and
         image size; stays on --device
  .pt2   for torch.export.load; any batch size, but only one image size; needs
         torch >= 2.2; stays on --device

README.md beside this file describes inputs, outputs and limits.
"""


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Export PRTR for deployment, and check the result',
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add('config', help='config file, or name of a model')
    add('checkpoint', help='checkpoint file')
    add('out', type=Path, help='file to write; its ending chooses the format')
    add('--opset', type=int, default=17, help='ONNX operators, 16 or later (default: 17)')
    sizes = 'batch sizes to compare and to time (default: 1 3 8)'
    add('--batch-sizes', type=int, nargs='+', default=[1, 3, 8], help=sizes)
    allowed = 'largest allowed difference of outputs, relative above 1 (default: 1e-4)'
    add('--tolerance', type=float, default=1e-4, help=allowed)
    add('--repeats', type=int, default=5, help='runs to time, 0 for none (default: 5)')
    add('--force', action='store_true', help='replace OUT if it exists')
    trust = 'unpickle any Python object in the checkpoint, which can run arbitrary code'
    add('--trust', action='store_true', help=trust)
    add('--device', help='(default: an accelerator if there is one, else cpu)')
    add('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE')
    return parser.parse_args()


def main() -> None:
    """Run the script."""
    args = parse_args()
    try:
        check_output(args.out, args.force, FORMATS, [args.checkpoint])
        model = load_model(
            args.config,
            args.checkpoint,
            args.device,
            cfg_options=args.cfg_options,
            trust=args.trust,
        )
        checks = export(model, args.out, args.opset, args.batch_sizes, args.tolerance, args.repeats)
    except (ImportError, OSError, ValueError) as error:
        sys.exit(f'Error: {error}')
    for size, differences, ours, theirs in checks:
        cells = ', '.join(f'{name} {value:.1e}' for name, value in differences.items())
        print(f'Batch of {size}: largest differences {cells}')
        if args.repeats:
            print(
                f'  PyTorch {ours * 1e3:.1f} ms, exported {theirs * 1e3:.1f} ms, '
                f'{ours / theirs:.2f} times as fast'
            )
    print(f'Wrote {args.out} ({args.out.stat().st_size / 2**20:.1f} MiB)')


if __name__ == '__main__':
    main()
