"""Find people with a detector of mmdet and predict their joints with PRTR.

Writes a folder with ``predictions.json``, ``predictions.csv`` and the drawn
images or video, when everything is done. ``prtr predict`` does the same with
``detector=`` and ``detector_weights=``; this script has the detector's other
settings.

Example:
    python projects/detector_and_pose/detect_and_read.py people.mp4 out \
        --det-config DET_CONFIG --det-weights DET_CHECKPOINT \
        --pose td-prtr_res50_4xb32-200e_coco-384x288 --pose-weights CHECKPOINT
"""

import argparse
import sys

from tqdm import tqdm

from prtr_plugin.apis import load_model, predict_files
from prtr_plugin.apis.detection import Detector


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Find people with a detector of mmdet and predict their joints with PRTR',
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add('input', help='image, video, folder or pattern')
    add('out', help='folder to write')
    add('--det-config', required=True, help='config file of the detector')
    add('--det-weights', required=True, help='its checkpoint')
    add('--pose', required=True, help='name of a two-stage model, or a config file')
    add('--pose-weights', required=True, help='its checkpoint')
    add('--person-class', type=int, default=0, help="index of the detector's person class")
    add('--score-thr', type=float, default=0.3, help='lowest score of a person')
    add('--nms-thr', type=float, default=0.3, help='largest IoU of two people')
    add('--kpt-thr', type=float, default=0.3, help='lowest score of a joint that is drawn')
    add('--batch-size', type=int, default=8, help='frames that are processed together')
    add('--device', help='such as cpu or cuda:0; by default an accelerator if there is one')
    add('--force', action='store_true', help='replace OUT if it is not empty')
    add(
        '--trust',
        action='store_true',
        help='unpickle any Python object in the checkpoints, which can run arbitrary code',
    )
    args = parser.parse_args()
    if args.batch_size < 1:
        parser.error(f'--batch-size must be at least 1, but is {args.batch_size}')
    return args


def main() -> None:
    """Run the script."""
    args = parse_args()
    try:
        detector = Detector(
            args.det_config,
            args.det_weights,
            args.person_class,
            args.nms_thr,
            args.device,
            args.trust,
        )
        model = load_model(args.pose, args.pose_weights, args.device, trust=args.trust)
        with tqdm(unit='frame') as bar:

            def report(done: int, total: int) -> None:
                bar.total = total or None
                bar.update(done - bar.n)

            done = predict_files(
                model,
                [args.input],
                args.out,
                detector=detector,
                batch_size=args.batch_size,
                score_thr=args.score_thr,
                kpt_thr=args.kpt_thr,
                overwrite=args.force,
                report=report,
            )
    except (ImportError, OSError, ValueError) as error:
        sys.exit(f'Error: {error}')
    for path, problem in done.errors.items():
        print(f'Left out {path}: {problem}')
    print(f'Wrote {args.out}: {done.num_people} people in {done.num_frames} frames')


if __name__ == '__main__':
    main()
