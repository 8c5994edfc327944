"""Evaluate predictions of detect_and_read.py on annotations in COCO's layout.

Example:
    python projects/detector_and_pose/evaluate.py out/predictions.json \
        data/coco/annotations/person_keypoints_val2017.json
"""

import argparse
import json

import numpy as np
from mmpose.datasets import CocoDataset
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from xtcocotools.coco import COCO
from xtcocotools.cocoeval import COCOeval


def main() -> None:
    """Run the script."""
    parser = argparse.ArgumentParser(description='Evaluate predictions on annotations')
    parser.add_argument('predictions', help='predictions.json')
    parser.add_argument('annotations', help="file in COCO's layout")
    args = parser.parse_args()

    sigmas = np.array(parse_pose_metainfo(CocoDataset.METAINFO)['sigmas'])
    try:
        with open(args.predictions) as file:
            frames = json.load(file)['frames']
        coco = COCO(args.annotations)
    except OSError as error:
        parser.error(str(error))
    ids = {img['file_name']: img['id'] for img in coco.dataset['images']}
    unknown = [f['file'] for f in frames if f['file'] not in ids]
    if unknown:
        parser.error(f'{args.annotations} has no image {unknown[0]!r}')
    results = []
    for frame in frames:
        for person in frame['people']:
            joints = np.array(list(person['keypoints'].values()))
            if len(joints) != len(sigmas):
                parser.error(
                    f'{args.predictions} has people with {len(joints)} joints, but this script '
                    f'has the tolerances of the {len(sigmas)} joints of COCO only'
                )
            scores = joints[:, 2]
            # as in CocoMetric: box score times the mean of the visible joints
            seen = scores[scores > 0.2]
            results.append(
                dict(
                    image_id=ids[frame['file']],
                    category_id=1,
                    keypoints=joints.ravel().tolist(),
                    score=person['bbox_score'] * (seen.mean() if len(seen) else 0),
                )
            )
    if not results:
        parser.error(f'{args.predictions} has no people in it')
    evaluation = COCOeval(coco, coco.loadRes(results), 'keypoints', sigmas, use_area=True)
    evaluation.params.imgIds = sorted(ids[f['file']] for f in frames)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()


if __name__ == '__main__':
    main()
