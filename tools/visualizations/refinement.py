"""Draw how the joints move from one decoder layer to the next.

The people are from image files or from the test set of the config. With
--curve the error of every layer over the whole test set is measured as well.
There is no flip test.

Example:
    python tools/visualizations/refinement.py CONFIG CHECKPOINT \
        work_dirs/refinement --num-images 4 --curve
    python tools/visualizations/refinement.py CONFIG CHECKPOINT \
        work_dirs/refinement --images person.jpg --bbox 40 10 160 310
"""

import argparse
import sys
from pathlib import Path

from mmengine.config import DictAction
from tqdm import tqdm

from prtr_plugin.apis import load_model
from prtr_plugin.apis.inputs import batch_of_dataset, batch_of_images, build_test_dataloader
from prtr_plugin.fileio import check_output_folder
from prtr_plugin.visualization import save_errors, save_refinement


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file, or name of a model')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('out', type=Path, help='folder to write to')
    parser.add_argument('--images', nargs='+', help='image files, each of one person')
    parser.add_argument(
        '--bbox',
        nargs=4,
        type=float,
        metavar=('X1', 'Y1', 'X2', 'Y2'),
        help='box of the person in pixels (default: the whole image)',
    )
    parser.add_argument(
        '--num-images',
        type=int,
        default=4,
        help='number of people from the test set, without --images (default: 4)',
    )
    parser.add_argument('--columns', type=int, default=1, help='people per picture (default: 1)')
    parser.add_argument('--curve', action='store_true', help='measure the errors as well')
    parser.add_argument(
        '--thr',
        type=float,
        default=0.05,
        help='largest distance of a correct joint, in units of the longer side '
        'of the box (default: 0.05)',
    )
    parser.add_argument('--force', action='store_true', help='write into OUT if it is not empty')
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
    if args.bbox and len(args.images or ()) != 1:
        parser.error('--bbox needs exactly one file in --images')
    return args


def main() -> None:
    """Run the script."""
    args = parse_args()
    try:
        check_output_folder(args.out, args.force)
        model = load_model(
            args.config,
            args.checkpoint,
            args.device,
            cfg_options=args.cfg_options,
            trust=args.trust,
        )
        if args.images:
            batch = batch_of_images(model, args.images, args.bbox and [[args.bbox]])
        else:
            batch = batch_of_dataset(model, args.num_images)
        for path in save_refinement(model, batch, args.out, args.columns):
            print(f'Wrote {path}')
        if args.curve:
            loader = tqdm(build_test_dataloader(model), desc='test set', leave=False)
            for error in save_errors(model, loader, args.out, args.thr):
                print('layer {layer}: NME {NME:.4f}, PCK {PCK:.4f}'.format(**error))
            print(f'Wrote curve.json and curve.png in {args.out}')
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        sys.exit(f'Error: {error}')


if __name__ == '__main__':
    main()
