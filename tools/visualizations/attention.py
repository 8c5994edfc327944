"""Draw where the joints of a person attend in the image.

For every joint the cross-attention weights of the query that is assigned to it
are laid over the image. With --point, another panel shows which tokens the
encoder mixes into the token at this point of the image.

DeformablePRTRTransformer samples the features at a few locations instead of
weighting all tokens: these are drawn, with their weights as areas.

Example:
    python tools/visualizations/attention.py CONFIG CHECKPOINT attention.png \
        person.jpg --bbox 40 10 160 310 --point 100 150
"""

import argparse
import sys
from pathlib import Path

import mmcv
from mmengine.config import DictAction

from prtr_plugin.apis import load_model
from prtr_plugin.apis.inputs import batch_of_images
from prtr_plugin.models.transformers import DeformablePRTRTransformer
from prtr_plugin.visualization import (
    attend_joints,
    check_picture,
    draw_attention,
    draw_sampling,
    sample_joints,
    save_figure,
)


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
    parser.add_argument(
        '--point',
        nargs=2,
        type=float,
        metavar=('X', 'Y'),
        help='point of the image, in pixels, whose attention in the encoder is drawn as well',
    )
    parser.add_argument('--layer', type=int, help='decoder layer, from 1 (default: the last)')
    parser.add_argument(
        '--encoder-layer', type=int, help='encoder layer, from 1 (default: the last)'
    )
    parser.add_argument('--head', type=int, help='attention head, from 1 (default: all)')
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
        shown = (model.dataset_meta, args.head, args.joints)
        if isinstance(getattr(model.head, 'transformer', None), DeformablePRTRTransformer):
            if args.point or args.encoder_layer:
                raise ValueError(
                    '--point and --encoder-layer need PRTRTransformer, but the model has '
                    'DeformablePRTRTransformer. Leave them out.'
                )
            (sampling,) = sample_joints(model, batch, args.layer)
            figure = draw_sampling(image, sampling, *shown)
        else:
            (attention,) = attend_joints(model, batch, args.layer, args.encoder_layer)
            figure = draw_attention(image, attention, *shown, args.point)
        save_figure(figure, args.out)
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        sys.exit(f'Error: {error}')
    print(f'Wrote {args.out}')


if __name__ == '__main__':
    main()
