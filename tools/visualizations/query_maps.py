"""Draw the maps in which the queries of PRTR+ see the joints of a person.

For every joint the probabilities of the pixels, in the map of the query that is
assigned to it, are laid over the image.

Example:
    python tools/visualizations/query_maps.py CONFIG CHECKPOINT maps.png \
        person.jpg --bbox 40 10 160 310 --joints nose left_wrist
"""

import argparse
import sys
from pathlib import Path

import mmcv
from mmengine.config import DictAction

from prtr_plugin.apis import load_model
from prtr_plugin.apis.inputs import batch_of_images
from prtr_plugin.visualization import check_picture, draw_maps, map_joints, save_figure


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file, or name of a model')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('out', type=Path, help='picture to write')
    parser.add_argument('image', help='image file of a person')
    parser.add_argument(
        '--bbox',
        nargs=4,
        type=float,
        metavar=('X1', 'Y1', 'X2', 'Y2'),
        help='box of the person in pixels (default: the whole image)',
    )
    parser.add_argument('--layer', type=int, help='decoder layer, from 1 (default: the last)')
    parser.add_argument(
        '--joints', nargs='+', metavar='NAME', help='joints to draw, by name (default: all)'
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
        batch = batch_of_images(model, [args.image], args.bbox and [[args.bbox]])
        image = mmcv.imread(args.image, channel_order='rgb')
        (maps,) = map_joints(model, batch, args.layer)
        figure = draw_maps(image, maps, model.dataset_meta, args.joints)
        save_figure(figure, args.out)
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        sys.exit(f'Error: {error}')
    print(f'Wrote {args.out}')


if __name__ == '__main__':
    main()
