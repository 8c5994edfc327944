"""Draw boxes, sampling grids and joints of the cascade.

The dots are the locations where the spatial transformer samples the
backbone's features around each person.

Example:
    python tools/visualizations/cascade.py CONFIG CHECKPOINT people.png \
        people.jpg --score-thr 0.5
"""

import argparse
import sys
from pathlib import Path

import mmcv
from mmengine.config import DictAction

from prtr_plugin.apis import load_model
from prtr_plugin.apis.inputs import batch_of_images
from prtr_plugin.visualization import check_picture, draw_cascade, find_people, save_figure


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file, or name of a model')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('out', type=Path, help='picture to write')
    parser.add_argument('image', help='image file')
    parser.add_argument(
        '--score-thr', type=float, default=0.3, help='lowest score of a person (default: 0.3)'
    )
    parser.add_argument('--force', action='store_true', help='replace OUT if it exists')
    parser.add_argument(
        '--trust',
        action='store_true',
        help='unpickle any Python object in the checkpoint, which can run arbitrary code',
    )
    parser.add_argument('--device', help='(default: an accelerator if there is one, else cpu)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE')
    return parser.parse_args()


def main() -> None:
    """Run the script."""
    args = parse_args()
    try:
        check_picture(args.out, args.force, [args.image])
        model = load_model(
            args.config,
            args.checkpoint,
            args.device,
            cfg_options=args.cfg_options,
            trust=args.trust,
        )
        batch = batch_of_images(model, [args.image])
        (result,) = find_people(model, batch, args.score_thr)
        image = mmcv.imread(args.image, channel_order='rgb')
        save_figure(draw_cascade(image, result, model.dataset_meta), args.out)
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        sys.exit(f'Error: {error}')
    print(f'{len(result.grids)} people. Wrote {args.out}')


if __name__ == '__main__':
    main()
