"""Box AP of people, against pycocotools and mmdet's way to call it."""

import json

import numpy as np
import pytest
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.registry import METRICS
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

K = 17
META = parse_pose_metainfo(dict(from_file='configs/_base_/datasets/coco.py'))

pytestmark = pytest.mark.usefixtures('mmpose_scope')


@pytest.fixture
def ground_truth(tmp_path):
    """Images with people of all sizes, of crowds alone, and of nobody."""
    rng = np.random.default_rng(0)
    anns = []
    for image_id in range(12):
        for i in range(0 if image_id == 3 else image_id % 5 + 1):
            x, y = rng.uniform(0, 300, 2)
            w, h = rng.uniform(15, 200, 2)
            points = rng.uniform(0, 1, (K, 3)) * [w, h, 0] + [x, y, 2]
            unlabelled = (image_id + i) % 4 == 0
            anns.append(
                dict(
                    id=len(anns) + 1,
                    image_id=image_id,
                    category_id=1,
                    bbox=[x, y, w, h],
                    area=w * h * 0.6,
                    iscrowd=int(image_id == 5 or i == 4),
                    keypoints=(points * (not unlabelled)).ravel().tolist(),
                    num_keypoints=K * (not unlabelled),
                )
            )
    path = tmp_path / 'ann.json'
    path.write_text(
        json.dumps(
            dict(
                images=[dict(id=i, width=512, height=512, file_name='') for i in range(12)],
                annotations=anns,
                categories=[dict(id=1, name='person')],
            )
        )
    )
    return str(path)


def predictions(ann_file, nobody=False):
    """Some people right, some moved, some doubled, some missed."""
    rng = np.random.default_rng(1)
    with open(ann_file) as file:
        data = json.load(file)
    samples = []
    for image in data['images']:
        boxes, points = [], []
        for ann in data['annotations']:
            if ann['image_id'] != image['id']:
                continue
            for _ in range(rng.integers(0, 3)):
                x, y, w, h = np.array(ann['bbox']) + rng.normal(0, 6, 4)
                boxes.append([x, y, x + w, y + h])
                points.append(np.array(ann['keypoints']).reshape(K, 3)[:, :2])
        num = 0 if nobody else len(boxes)
        samples.append(
            dict(
                id=[7] * 3,
                img_id=image['id'],
                ori_shape=(512, 512),
                gt_instances={},
                pred_instances=dict(
                    bboxes=np.float32(boxes[:num]).reshape(-1, 4),
                    bbox_scores=np.float32(rng.random(num)),
                    keypoints=np.float32(points[:num]).reshape(-1, K, 2),
                    keypoint_scores=np.ones((num, K), np.float32),
                ),
            )
        )
    return samples


def evaluate(ann_file, samples, kind='PersonBoxMetric', **kwargs):
    metric = METRICS.build(dict(type=kind, ann_file=ann_file, **kwargs))
    metric.dataset_meta = META
    for start in range(0, len(samples), 4):
        metric.process({}, samples[start : start + 4])
    return metric.evaluate(len(samples))


def test_equals_pycocotools(ground_truth):
    samples = predictions(ground_truth)
    found = evaluate(ground_truth, samples)

    results = []
    for sample in samples:
        pred = sample['pred_instances']
        for (x1, y1, x2, y2), score in zip(pred['bboxes'].tolist(), pred['bbox_scores'].tolist()):
            results.append(
                dict(
                    image_id=sample['img_id'],
                    category_id=1,
                    bbox=[x1, y1, x2 - x1, y2 - y1],
                    score=score,
                )
            )
    truth = COCO(ground_truth)
    reference = COCOeval(truth, truth.loadRes(results), 'bbox')
    reference.evaluate()
    reference.accumulate()
    reference.summarize()
    assert list(found) == [
        'coco/bbox_AP',
        'coco/bbox_AP .5',
        'coco/bbox_AP .75',
        'coco/bbox_AP (S)',
        'coco/bbox_AP (M)',
        'coco/bbox_AP (L)',
        'coco/bbox_AR@1',
        'coco/bbox_AR@10',
        'coco/bbox_AR@100',
    ]
    np.testing.assert_allclose(list(found.values()), reference.stats[:9], atol=1e-6)
    assert 0.1 < found['coco/bbox_AP'] < 0.9


def test_counts_people_without_joints(ground_truth):
    """Keypoint AP ignores them, and has other names."""
    samples = predictions(ground_truth)
    keypoints = evaluate(ground_truth, samples, 'CocoMetric', score_mode='bbox', nms_mode='none')
    boxes = evaluate(ground_truth, samples)
    assert not set(keypoints) & set(boxes)
    assert keypoints['coco/AP'] != boxes['coco/bbox_AP']


def test_scores_count(ground_truth):
    samples = predictions(ground_truth)
    before = evaluate(ground_truth, samples)
    for sample in samples:
        scores = sample['pred_instances']['bbox_scores']
        sample['pred_instances']['bbox_scores'] = 1 - scores
    assert evaluate(ground_truth, samples) != before


def test_nobody_found(ground_truth):
    """Both metrics take it."""
    samples = predictions(ground_truth, nobody=True)
    assert evaluate(ground_truth, samples)['coco/bbox_AP'] == 0
    assert evaluate(ground_truth, samples, 'CocoMetric', nms_mode='none')['coco/AP'] == 0
