"""Draw predictions beside ground truth for some images of a dataset.

For models that find the people themselves, boxes and their scores are drawn.

Example:
    python tools/visualizations/prediction_sheet.py CONFIG CHECKPOINT \
        sheet.png --num-images 8
"""

import argparse
import sys
from pathlib import Path

from mmengine.config import DictAction

from prtr_plugin.apis import load_model
from prtr_plugin.apis.inputs import build_dataset
from prtr_plugin.visualization import check_picture, draw_predictions, predict_images, save_figure


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file, or name of a model')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('out', type=Path, help='picture to write')
    parser.add_argument(
        '--split',
        choices=['train', 'val', 'test'],
        default='test',
        help='dataset of the config, used with the test pipeline (default: test)',
    )
    parser.add_argument('--num-images', type=int, default=8, help='(default: 8)')
    parser.add_argument('--columns', type=int, default=2, help='pairs per row (default: 2)')
    parser.add_argument(
        '--score-thr', type=float, default=0.3, help='lowest score of a person (default: 0.3)'
    )
    parser.add_argument(
        '--kpt-thr',
        type=float,
        default=0.3,
        help='lowest score of a joint that is drawn (default: 0.3)',
    )
    parser.add_argument('--force', action='store_true', help='replace OUT if it exists')
    parser.add_argument(
        '--trust',
        action='store_true',
        help='unpickle any Python object in the checkpoint, which can run arbitrary code',
    )
    parser.add_argument('--device', help='(default: an accelerator if there is one, else cpu)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE')
    args = parser.parse_args()
    if args.num_images < 1 or args.columns < 1:
        parser.error('--num-images and --columns must be at least 1')
    return args


def main() -> None:
    """Run the script."""
    args = parse_args()
    try:
        check_picture(args.out, args.force)
        model = load_model(
            args.config,
            args.checkpoint,
            args.device,
            cfg_options=args.cfg_options,
            trust=args.trust,
        )
        dataset = build_dataset(model, args.split)
        samples = list(predict_images(model, dataset, args.num_images, args.score_thr))
        whole_images = model.cfg.get('data_mode') == 'bottomup'
        figure = draw_predictions(
            samples, model.dataset_meta, args.columns, args.kpt_thr, with_boxes=whole_images
        )
        save_figure(figure, args.out, all_colors=True)
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        sys.exit(f'Error: {error}')
    print(f'Wrote {args.out}')


if __name__ == '__main__':
    main()
