"""A small dataset, ways to damage its files, and what a run makes of them.

The run is that of a config without its network: the check of the files, the
datasets with their pipelines, and for tests the metrics, with predictions that
are close to the undamaged annotations.
"""

import copy
import json
import random
import traceback
import warnings
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.registry import DATASETS, METRICS

import prtr_plugin.evaluation as evaluation
from prtr_plugin.datasets import check_data_files, topdown_pipelines

K, WIDTH, HEIGHT = 17, 160, 120
META = parse_pose_metainfo(dict(from_file='configs/_base_/datasets/coco.py'))
NAMES = list(META['keypoint_id2name'].values())
USES = ('train', 'test', 'bbox file', 'cascade train', 'cascade test')


def good_files(category: int = 1) -> tuple[dict, list]:
    """Annotations of people, one of them without joints and one a crowd, and detections."""
    rng = np.random.default_rng(0)
    images, annotations, detections = [], [], []
    for image_id in range(1, 5):
        images.append(dict(id=image_id, file_name=f'{image_id}.png', width=WIDTH, height=HEIGHT))
        for i, (x, y, w, h) in enumerate(([5, 8, 60, 100], [85, 15, 50, 90])):
            joints = np.full((K, 3), 2.0)
            joints[:, :2] = rng.uniform((x, y), (x + w, y + h), (K, 2)).round(2)
            joints[rng.random(K) < 0.2] = 0
            kind = (image_id, i)
            if kind in ((2, 1), (3, 1)):
                joints[:] = 0
            annotations.append(
                dict(
                    id=10 * image_id + i,
                    image_id=image_id,
                    category_id=category,
                    bbox=[x, y, w, h],
                    area=w * h * 0.6,
                    iscrowd=int(kind == (3, 1)),
                    keypoints=joints.ravel().tolist(),
                    num_keypoints=int((joints[:, 2] > 0).sum()),
                )
            )
            detections.append(
                dict(image_id=image_id, category_id=1, bbox=[x + 1, y + 1, w, h], score=0.9)
            )
    person = dict(id=category, name='person', keypoints=NAMES)
    return dict(images=images, annotations=annotations, categories=[person]), detections


def write_pictures(folder: Path) -> None:
    """Write the pictures of :func:`good_files`."""
    rng = np.random.default_rng(0)
    for image_id in range(1, 5):
        image = rng.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f'{image_id}.png'), image)


def config(folder: Path, use: str) -> Config:
    """The settings of a run that reads ``ann.json`` and ``boxes.json``."""
    split = 'train' if 'train' in use else 'test'
    cascade = 'cascade' in use
    codec = dict(type='HungarianKeypointCodec', input_size=(96, 128), num_keypoints=K)
    train, val = topdown_pipelines(codec)
    if cascade:
        train = val = [
            dict(type='LoadImage'),
            dict(type='BottomupRandomChoiceResize', scales=[(96, 72)], keep_ratio=False),
            dict(type='PackPersonInputs'),
        ]
    dataset = dict(
        type='CocoPersonDataset' if cascade else 'CocoDataset',
        data_root=str(folder),
        data_mode='bottomup' if cascade else 'topdown',
        ann_file='ann.json',
        data_prefix=dict(img=''),
        pipeline=train if split == 'train' else val,
        test_mode=split == 'test',
    )
    if use == 'bbox file':
        dataset['bbox_file'] = str(folder / 'boxes.json')
    ann_file = str(folder / 'ann.json')
    metrics = [
        dict(type='CocoMetric', ann_file=ann_file, nms_mode='none' if cascade else 'oks_nms')
    ]
    if cascade:
        metrics.append(dict(type='PersonBoxMetric', ann_file=ann_file))
    return Config({f'{split}_dataloader': dict(dataset=dataset), f'{split}_evaluator': metrics})


def run(folder: Path, use: str) -> dict:
    """What a model would learn from, or the metrics of fair predictions."""
    cfg = config(folder, use)
    (split,) = (name.partition('_')[0] for name in cfg if name.endswith('_dataloader'))
    check_data_files(cfg, (split,))
    dataset = DATASETS.build(cfg[f'{split}_dataloader'].dataset)
    samples = []
    for i in range(len(dataset)):
        random.seed(i), np.random.seed(i), torch.manual_seed(i)
        samples.append(dataset[i])
    if split == 'train':
        return {f'{i}': _contents(sample) for i, sample in enumerate(samples)}
    if hasattr(evaluation, 'use_safe_metrics'):
        evaluation.use_safe_metrics(cfg[f'{split}_evaluator'])
    predictions = [_predict(sample['data_samples']) for sample in samples]
    found = {}
    for metric in cfg[f'{split}_evaluator']:
        metric = METRICS.build(metric)
        metric.dataset_meta = META
        metric.process({}, predictions)
        found.update(metric.evaluate(len(predictions)))
    return found


def _contents(sample: dict) -> list:
    """What the loss depends on, for unlabelled joints and crowds nothing but that."""
    labels = sample['data_samples'].gt_instance_labels
    contents = [sample['inputs'].double().sum()]
    if 'keypoint_labels' in labels:
        return [*contents, labels.keypoint_labels, labels.keypoint_weights]
    if labels.keys():
        seen = labels.keypoints_visible > 0
        points = torch.where(seen[..., None], labels.keypoints, 0.0)
        contents += [labels.bboxes, points, seen, labels.iscrowd > 0]
    return contents


def _predict(sample) -> dict:
    """People near those of the undamaged file, as the evaluator gets them."""
    people = [
        person
        for person in good_files()[0]['annotations']
        if person['image_id'] == sample.img_id and not person['iscrowd']
    ]
    boxes = np.array([person['bbox'] for person in people], dtype=float).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    if 'bboxes' in sample.gt_instances and len(sample.gt_instances.bboxes) == 1 and len(boxes):
        # a crop: the person whose box it is, or the nearest
        used = np.asarray(sample.gt_instances.bboxes)
        nearest = [int(np.nan_to_num(abs(boxes - used), nan=1e9).sum(axis=1).argmin())]
        people, boxes = [people[i] for i in nearest], boxes[nearest]
    else:
        used = boxes
    points = np.array([person['keypoints'] for person in people]).reshape(-1, K, 3)[..., :2]
    if len(people):
        # a network sees joints where they are in the crop
        start, size = boxes[:, None, :2], boxes[:, None, 2:] - boxes[:, None, :2]
        points = (points - start) / size * (used[:, None, 2:] - used[:, None, :2]) + used[
            :, None, :2
        ]
    for person, place in zip(people, points):
        place += np.random.default_rng(person['id']).normal(0, 4, (K, 2))
    num = len(people)
    pred = dict(
        keypoints=points,
        keypoint_scores=np.ones((num, K)),
        bboxes=boxes + 2,
        bbox_scores=np.linspace(0.9, 0.5, num),
    )
    return {**sample.to_dict(), 'pred_instances': pred}


def same(first: dict, second: dict) -> bool:
    """Whether two results of :func:`run` are equal."""
    if first.keys() != second.keys():
        return False
    flat = [
        np.concatenate([np.ravel(np.asarray(part, float)) for part in np.atleast_1d(value)])
        if not isinstance(value, list)
        else np.concatenate([np.ravel(np.asarray(part, float)) for part in value])
        for result in (first, second)
        for value in result.values()
    ]
    half = len(flat) // 2
    return all(
        a.shape == b.shape and np.allclose(a, b, atol=1e-5) for a, b in zip(flat, flat[half:])
    )


# values that are nonsense for any field
ODD = [None, float('nan'), float('inf'), -float('inf'), 'text', '', [], {}, [[]], -7, 1e30, 10**400]
FIELDS = {
    'images': ['id', 'width', 'height', 'file_name'],
    'annotations': [
        *('id', 'image_id', 'category_id', 'bbox', 'keypoints'),
        *('num_keypoints', 'area', 'iscrowd'),
    ],
    'categories': ['id', 'keypoints'],
    'detections': ['image_id', 'category_id', 'bbox', 'score'],
}


def mutate(rng: random.Random, use: str) -> tuple[str, dict[str, bytes]]:
    """Damage the files of a run in one way.

    Returns:
        tuple: The kind of damage, and the contents of ``ann.json`` and
        ``boxes.json``.
    """
    data, boxes = copy.deepcopy(good_files())
    in_boxes = use == 'bbox file' and rng.random() < 0.7
    tables = dict(detections=boxes) if in_boxes else data
    kinds = [_field, _field, _field, _element, _element, _element, _structure, _text]
    if in_boxes:
        kinds += [_boxes_file]
    else:
        kinds += [_reference, _whole_file, _whole_file, _names, _joints, _joints, _size]
    change = rng.choice(kinds)
    if change is _text:
        content = json.dumps(boxes if in_boxes else data).encode()
        raw = _text(rng, content)
        return 'text of the file', _contents_of(data, boxes, raw, in_boxes)
    kind = change(rng, tables)
    return kind, _contents_of(data, boxes, None, in_boxes)


def _contents_of(data, boxes, raw: bytes | None, in_boxes: bool) -> dict[str, bytes]:
    files = {'ann.json': json.dumps(data).encode(), 'boxes.json': json.dumps(boxes).encode()}
    if raw is not None:
        files['boxes.json' if in_boxes else 'ann.json'] = raw
    return files


def _pick(rng: random.Random, tables: dict) -> tuple[str, dict]:
    name = rng.choice(list(tables))
    return name, rng.choice(tables[name])


def _field(rng, tables):
    name, row = _pick(rng, tables)
    field = rng.choice(FIELDS[name])
    if rng.random() < 0.25:
        del row[field]
        return f'{name}: a field is missing'
    value = rng.choice([*ODD, [row[field]], f' {row[field]}'])
    row[field] = value
    return f'{name}: a value of another kind'


def _element(rng, tables):
    """A number of a box or of joints."""
    name = 'detections' if 'detections' in tables else 'annotations'
    row = rng.choice(tables[name])
    field = rng.choice(['bbox', 'keypoints']) if name == 'annotations' else 'bbox'
    values = row[field]
    if rng.random() < 0.2:
        if rng.random() < 0.5:
            values.append(2)
        else:
            del values[-1]
        return f'{name}: one number more or less'
    i = rng.randrange(len(values))
    value = rng.choice([None, float('nan'), float('inf'), 'x', '5', [1], {}, True, 1e30, 10**400])
    if field == 'bbox' and i > 1 and rng.random() < 0.5:
        value = rng.choice([0, -5, -0.1])
    if field == 'keypoints' and i % 3 == 2:
        value = rng.choice([3, -1, 0.5, float('nan'), None, '2', 100])
    values[i] = value
    return f'{name}: a number in {field}'


def _structure(rng, tables):
    name = rng.choice(list(tables))
    if name == 'detections':
        tables[name][:] = rng.choice([[], [1], [[]], [None, *tables[name]]])
        return 'detections: not a list of objects'
    if rng.random() < 0.3:
        del tables[name]
        return 'a section is missing'
    tables[name] = rng.choice([None, {}, 'x', 5, [1], [None], [[]], [], [*tables[name], 'x']])
    return 'a section is not a list of objects'


def _text(rng, content: bytes) -> bytes:
    return rng.choice(
        [
            b'',
            content[: rng.randrange(1, len(content))],
            b'\xef\xbb\xbf' + content,
            content.replace(b'bbox', b'b\xffox'),
            b'[' * 100000,
            b'[]',
            b'{}',
            b'5',
            b'null',
            b'\x80\x04\x95',
        ]
    )


def _reference(rng, tables):
    """Ids that are used twice or lead nowhere."""
    if rng.random() < 0.5:
        name = rng.choice(['images', 'annotations'])
        first, second = rng.sample(tables[name], 2)
        first['id'] = second['id']
        return f'{name}: an id twice'
    field = rng.choice(['image_id', 'category_id'])
    rng.choice(tables['annotations'])[field] = 999
    return f'annotations: {field} leads nowhere'


def _whole_file(rng, tables):
    people, kind = tables['annotations'], rng.randrange(6)
    for person in people:
        x, y, w, h = person['bbox']
        points = np.reshape(person['keypoints'], (K, 3))
        if kind == 0:
            person['bbox'] = [x, y, x + w, y + h]
        elif kind == 1:
            person['bbox'] = [x / WIDTH, y / HEIGHT, w / WIDTH, h / HEIGHT]
        elif kind == 2:
            points[:, :2] /= (WIDTH, HEIGHT)
        elif kind == 3:
            points[:, :2] += 1000 * (points[:, 2:] > 0)
        elif kind == 4:
            points[:, 2] = 0
        if kind < 5:
            person['keypoints'] = points.ravel().tolist()
        else:
            person['keypoints'] = points.tolist()
    return (
        'all: '
        + (
            'boxes are corners',
            'boxes within 0..1',
            'joints within 0..1',
            'joints far away',
            'nobody is labelled',
            'joints are not flat',
        )[kind]
    )


def _names(rng, tables):
    names = list(tables['categories'][0]['keypoints'])
    if rng.random() < 0.5:
        i, j = rng.sample(range(K), 2)
        names[i], names[j] = names[j], names[i]
    else:
        names[rng.randrange(K)] = 'tail'
    tables['categories'][0]['keypoints'] = names
    return 'categories: other names or order of joints'


def _joints(rng, tables):
    """Labels that cannot be those of this person, or are harmless."""
    person = rng.choice([p for p in tables['annotations'] if p['num_keypoints'] > 3])
    points = np.reshape(person['keypoints'], (K, 3)).copy()
    seen = np.flatnonzero(points[:, 2] > 0)
    kind = rng.randrange(5)
    if kind == 0:
        points[points[:, 2] == 0, :2] = np.nan
    elif kind == 1:
        points[seen, :2] /= (WIDTH, HEIGHT)
    elif kind == 2:
        points[seen[0], :2] = -5000
    elif kind == 3:
        points[seen[0], :2] = np.nan
    else:
        person['num_keypoints'] = 0
    person['keypoints'] = points.ravel().tolist()
    return (
        'joints: '
        + (
            'NaN where not labelled',
            'one person within 0..1',
            'one far outside',
            'NaN where labelled',
            'num_keypoints is 0 in spite of labels',
        )[kind]
    )


def _size(rng, tables):
    image = rng.choice(tables['images'])
    if rng.random() < 0.5:
        image['width'], image['height'] = image['height'], image['width']
    else:
        image[rng.choice(['width', 'height'])] = rng.choice([64, 1000])
    return 'images: another size than the picture'


def _boxes_file(rng, tables):
    boxes, kind = tables['detections'], rng.randrange(4)
    for box in boxes:
        x, y, w, h = box['bbox']
        if kind == 0:
            box['bbox'] = [x, y, x + w, y + h]
        elif kind == 1:
            box['category_id'] = 21
        elif kind == 2:
            box['image_id'] += 100
        else:
            box['bbox'] = [x + 5000, y, w, h]
    return 'detections: ' + ('corners', 'no person', 'of other pictures', 'outside')[kind]


def judge(folder: Path, use: str, files: dict[str, bytes], reference: dict) -> tuple[str, str]:
    """What becomes of damaged files: a verdict, and the message if there is one."""
    for name, content in files.items():
        (folder / name).write_bytes(content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            result = run(folder, use)
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        own = 'prtr_plugin' in frame.filename and isinstance(error, (OSError, ValueError))
        own = own and (frame.line or '').startswith('raise')
        return ('sentence' if own else 'traceback'), f'{type(error).__name__}: {error}'
    return ('no influence' if same(result, reference) else 'accepted nonsense'), ''


def study(folder: Path, num: int, seed: int = 0) -> tuple[Counter, list[tuple]]:
    """Judge ``num`` mutants in each use.

    Returns:
        tuple: Numbers by (kind, verdict), and (use, kind, verdict, message)
        of all mutants.
    """
    write_pictures(folder)
    data, boxes = good_files()
    counts, cases = Counter(), []
    for use in USES:
        rng = random.Random(f'{seed} {use}')
        for name, content in _contents_of(data, boxes, None, False).items():
            (folder / name).write_bytes(content)
        reference = run(folder, use)
        for _ in range(num):
            kind, files = mutate(rng, use)
            verdict, message = judge(folder, use, files, reference)
            counts[kind, verdict] += 1
            counts[f'in {use}', verdict] += 1
            cases.append((use, kind, verdict, message))
    return counts, cases


def table(counts: Counter) -> str:
    """The numbers as a table in Markdown."""
    verdicts = ('sentence', 'no influence', 'traceback', 'accepted nonsense')
    lines = [f'| mutants | {" | ".join(verdicts)} |', '| --- |' + ' ---: |' * len(verdicts)]
    kinds = sorted({kind for kind, _ in counts})
    for kind in kinds:
        lines.append(f'| {kind} | ' + ' | '.join(str(counts[kind, v]) for v in verdicts) + ' |')
    total = [sum(counts[f'in {use}', v] for use in USES) for v in verdicts]
    return '\n'.join([*lines, '| all | ' + ' | '.join(map(str, total)) + ' |'])
