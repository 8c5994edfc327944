"""Box AP of people, against pycocotools and mmdet's way to call it."""

import json

import numpy as np
import pytest
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.registry import METRICS
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from prtr_plugin.evaluation import use_safe_metrics

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


def move_category(path, number, second=None):
    """Give people another category number, and some of them a second one."""
    with open(path) as file:
        data = json.load(file)
    numbers = [number] if second is None else [number, second]
    data['categories'] = [dict(id=i, name=f'{i}') for i in numbers]
    for i, ann in enumerate(data['annotations']):
        ann['category_id'] = numbers[i % len(numbers)]
    with open(path, 'w') as file:
        json.dump(data, file)


def perfect(ann_file):
    """All people that are annotated, and nobody else."""
    samples = predictions(ann_file, nobody=True)
    with open(ann_file) as file:
        people = json.load(file)['annotations']
    for sample in samples:
        mine = [p for p in people if p['image_id'] == sample['img_id'] and not p['iscrowd']]
        boxes = np.array([p['bbox'] for p in mine]).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        points = np.array([p['keypoints'] for p in mine]).reshape(-1, K, 3)
        # somewhere in those without joints, who are ignored
        centres = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2
        points[..., :2] = np.where(points[..., 2:] > 0, points[..., :2], centres)
        sample['pred_instances'] = dict(
            bboxes=boxes,
            bbox_scores=np.ones(len(mine)),
            keypoints=points[..., :2],
            keypoint_scores=np.ones((len(mine), K)),
        )
    return samples


SETTINGS = dict(score_mode='bbox', nms_mode='none')


@pytest.mark.parametrize('numbers', [(1,), (21,), (0,), (1, 2), (7, 3)])
def test_any_number_of_a_category(ground_truth, numbers):
    """Predictions without a category are of that of the annotations, or of all."""
    move_category(ground_truth, *numbers)
    samples = perfect(ground_truth)
    assert evaluate(ground_truth, samples)['coco/bbox_AP'] == pytest.approx(1)
    assert evaluate(ground_truth, samples, 'SafeCocoMetric', **SETTINGS)['coco/AP'] == 1
    if numbers == (21,):
        # if this changes, the subclass may be no longer needed
        assert evaluate(ground_truth, samples, 'CocoMetric', **SETTINGS)['coco/AP'] == 0


def test_category_of_predictions(ground_truth):
    """If they have one, it counts."""
    move_category(ground_truth, 21)
    samples = [dict(sample, category_id=21) for sample in perfect(ground_truth)]
    assert evaluate(ground_truth, samples, 'SafeCocoMetric', **SETTINGS)['coco/AP'] == 1
    samples = [dict(sample, category_id=1) for sample in samples]
    assert evaluate(ground_truth, samples, 'SafeCocoMetric', **SETTINGS)['coco/AP'] == 0


def test_same_as_mmpose(ground_truth):
    samples = predictions(ground_truth)
    for nms_mode in ('none', 'oks_nms', 'soft_oks_nms'):
        first, second = (
            evaluate(ground_truth, samples, kind, nms_mode=nms_mode)
            for kind in ('CocoMetric', 'SafeCocoMetric')
        )
        assert first == second and 0 < first['coco/AP'] < 1


@pytest.mark.parametrize('nms_mode', ['none', 'oks_nms', 'soft_oks_nms'])
@pytest.mark.parametrize('field', ['keypoints', 'keypoint_scores', 'bboxes', 'bbox_scores'])
@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_not_finite_is_no_match(ground_truth, nms_mode, field, value):
    samples = predictions(ground_truth)
    settings = dict(kind='SafeCocoMetric', nms_mode=nms_mode)
    before, boxes = evaluate(ground_truth, samples, **settings), evaluate(ground_truth, samples)
    previous = before['coco/AP']
    for step in (5, 2, 1):
        broken = predictions(ground_truth)
        for sample in broken[::step]:
            if len(sample['pred_instances'][field]):
                # a person, or everybody
                people = slice(None) if step == 1 else 0
                sample['pred_instances'][field][people, ...] = value
        with pytest.warns(UserWarning, match='predicted people are NaN or infinite'):
            found = evaluate(ground_truth, broken, **settings)
        assert all(found[name] <= before[name] + 1e-9 for name in before)
        assert found['coco/AP'] <= previous + 1e-9
        with pytest.warns(UserWarning, match='predicted people'):
            assert evaluate(ground_truth, broken)['coco/bbox_AP'] <= boxes['coco/bbox_AP'] + 1e-9
    assert found['coco/AP'] == 0


def test_people_with_nan_in_another_process(ground_truth):
    """The first process warns of those that all have found."""
    samples = predictions(ground_truth)
    people = samples[0]['pred_instances']['keypoints']
    people[:] = np.nan
    other, first = (
        METRICS.build(dict(type='SafeCocoMetric', ann_file=ground_truth)) for _ in range(2)
    )
    for metric in (other, first):
        metric.dataset_meta = META
    other.process({}, samples[:4])
    with pytest.warns(UserWarning, match=f'^{len(people)} predicted people are NaN or infinite'):
        first.compute_metrics(other.results)


def test_mmpose_counts_nan_as_match(ground_truth):
    """If this changes, the subclass may be no longer needed."""
    samples = predictions(ground_truth)
    for sample in samples:
        sample['pred_instances']['keypoints'][:] = np.nan
    found = evaluate(ground_truth, samples, 'CocoMetric', **SETTINGS)
    assert found['coco/AP'] > evaluate(ground_truth, predictions(ground_truth))['coco/bbox_AP']


def test_use_safe_metrics():
    cfg = dict(type='MultiDatasetEvaluator', metrics=[dict(type='CocoMetric'), dict(type='EPE')])
    use_safe_metrics(cfg)
    assert [metric['type'] for metric in cfg['metrics']] == ['SafeCocoMetric', 'EPE']
    cfg = [dict(type='mmpose.CocoMetric', use_area=False), dict(type='PersonBoxMetric')]
    use_safe_metrics(cfg)
    assert cfg == [dict(type='SafeCocoMetric', use_area=False), dict(type='PersonBoxMetric')]
