"""Plot whether the scores of joints say how good the joints are.

For any model of mmpose and its test set: joints in bins by their score, with
the mean similarity of COCO's OKS in each, or with --thr the share of joints
within this tolerance. The error is the mean distance of the two.

Example:
    python tools/analysis_tools/plot_calibration.py CONFIG CHECKPOINT \
        calibration.png --thr 0.1
"""

import argparse
import sys
from pathlib import Path

from mmengine.config import DictAction


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file, or name of a model')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('out', type=Path, help='picture to write')
    parser.add_argument(
        '--thr',
        type=float,
        help="tolerance in units of the longer side of the person's box (default: OKS)",
    )
    parser.add_argument('--num-images', type=int, help='evenly spaced ones (default: all)')
    parser.add_argument('--num-bins', type=int, default=10, help='(default: 10)')
    parser.add_argument('--force', action='store_true', help='replace OUT if it exists')
    parser.add_argument(
        '--trust',
        action='store_true',
        help='unpickle any Python object in the checkpoint, which can run arbitrary code',
    )
    parser.add_argument('--device', help='(default: an accelerator if there is one, else cpu)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE')
    args = parser.parse_args()
    if args.num_bins < 1 or (args.num_images or 1) < 1:
        parser.error('--num-bins and --num-images must be at least 1')
    return args


def main() -> None:
    """Run the script."""
    args = parse_args()
    # after the command line, so that --help is quick
    from prtr_plugin import visualization
    from prtr_plugin.apis import load_model
    from prtr_plugin.apis.inputs import build_dataset

    try:
        visualization.check_picture(args.out, args.force)
        options = dict(cfg_options=args.cfg_options, trust=args.trust)
        model = load_model(args.config, args.checkpoint, args.device, **options)
        dataset = build_dataset(model, 'test')
        num_images = args.num_images or len(dataset)
        samples = visualization.predict_images(model, dataset, num_images, score_thr=-1)
        rated = visualization.rate_joints(samples, model.dataset_meta['sigmas'], args.thr)
        reliability = visualization.measure_reliability(*rated, args.num_bins)
        label = f'PCK@{args.thr:g}' if args.thr else 'OKS of the joint'
        visualization.save_figure(visualization.draw_reliability(reliability, label), args.out)
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        sys.exit(f'Error: {error}')
    for count, score, quality in zip(*reliability):
        print(f'{int(count):7d} joints with mean score {score:.3f}: {label} {quality:.3f}')
    print(f'Calibration error {reliability.calibration_error:.4f}. Wrote {args.out}')


if __name__ == '__main__':
    main()
