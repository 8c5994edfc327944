"""Draw where in the image the joints of a person come from.

For every joint the weights of the decoder's cross-attention are laid over the
image: those of the query that answers to the joint. With --point a panel
shows which places the encoder mixes into this place of the image.

For DeformablePRTRTransformer, which samples a few points instead of weighing all
places, the points are drawn, with their weights as areas.

Example:
    python tools/visualizations/attention.py CONFIG CHECKPOINT person.jpg \
        attention.png --bbox 40 10 120 300 --point 100 150
"""

import argparse
from pathlib import Path

import mmcv
from visualization_utils import add_bbox, batch_of_files, load_model, make_parser, save_figure

from prtr_plugin.models.transformers import DeformablePRTRTransformer
from prtr_plugin.visualization import attend_joints, draw_attention, draw_sampling, sample_joints


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__)
    parser.add_argument('image', help='image file of a person')
    parser.add_argument('out', type=Path, help='picture to write')
    add_bbox(parser)
    parser.add_argument(
        '--point',
        nargs=2,
        type=float,
        metavar=('X', 'Y'),
        help='a place of the image, in pixels, whose attention in the encoder is drawn, too',
    )
    parser.add_argument(
        '--level', type=int, help='decoder level, counted from 1 (default: the last one)'
    )
    parser.add_argument(
        '--encoder-level', type=int, help='encoder level, counted from 1 (default: the last one)'
    )
    parser.add_argument(
        '--head',
        type=int,
        help='attention head, counted from 1 (default: mean over all, or the points of all)',
    )
    parser.add_argument(
        '--joints',
        nargs='+',
        metavar='NAME',
        help='joints to draw, as the dataset names them (default: all)',
    )
    return parser.parse_args()


def joint_indices(names: list[str], dataset_meta: dict) -> list[int]:
    """Look joints up.

    Raises:
        ValueError: If there is no such joint.
    """
    known = dataset_meta['keypoint_name2id']
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(
            f'--joints: there is no {", ".join(unknown)}. The dataset has {", ".join(known)}.'
        )
    return [known[name] for name in names]


def main() -> None:
    """Run the script."""
    args = parse_args()
    model = load_model(args)
    joints = args.joints and joint_indices(args.joints, model.dataset_meta)
    batch = batch_of_files(model, [args.image], args.bbox)
    image = mmcv.imread(args.image, channel_order='rgb')
    if isinstance(model.head.transformer, DeformablePRTRTransformer):
        if args.point or args.encoder_level:
            raise ValueError(
                '--point and --encoder-level need PRTRHead: the '
                'encoder of DeformablePRTRTransformer weighs no places.'
            )
        (sampling,) = sample_joints(model, batch, args.level)
        figure = draw_sampling(image, sampling, model.dataset_meta, args.head, joints)
    else:
        (attention,) = attend_joints(model, batch, args.level, args.encoder_level)
        figure = draw_attention(image, attention, model.dataset_meta, args.head, joints, args.point)
    save_figure(figure, args.out)
    print(f'Wrote {args.out}')


if __name__ == '__main__':
    main()
