"""The COCO protocol of the paper's code through mmpose's own classes.

``tests/data/coco_protocol.json`` is COCO's annotation file of 50 validation
images without masks; ``coco_protocol.npz`` holds what the authors' code
computes from it: boxes, crops, targets, and the evaluation of made-up
predictions. The pixels of the crops need the images of the shared folder.
"""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from mmpose.datasets import CocoDataset
from mmpose.evaluation import CocoMetric
from mmpose.evaluation.functional.nms import oks_iou
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample
from mmpose.structures.bbox import get_warp_matrix

import prtr_plugin.datasets  # noqa: F401

INPUT_SIZE = (288, 384)
CFG = Config.fromfile(
    Path(__file__).parents[1] / 'configs/body_2d_keypoint/prtr/coco/'
    'td-prtr_res50_4xb32-200e_coco-384x288_paper-gtbox.py'
)
# In the order of the stored statistics.
STATS = ('AP', 'AP .5', 'AP .75', 'AP (M)', 'AP (L)', 'AR', 'AR .5', 'AR .75', 'AR (M)', 'AR (L)')

pytestmark = pytest.mark.usefixtures('mmpose_scope')


@pytest.fixture(scope='module')
def golden(data_dir):
    with np.load(data_dir / 'coco_protocol.npz') as file:
        return dict(file)


def build_dataset(ann_file, load=None, images='', **kwargs):
    """``CocoDataset`` with the test pipeline of the config, and targets.

    ``load`` takes the place of the config's ``LoadImage``.
    """
    first, *others, last = CFG.val_pipeline
    targets = dict(type='GenerateTarget', encoder=CFG.codec)
    return CocoDataset(
        ann_file=str(ann_file),
        data_prefix=dict(img=str(images)),
        test_mode=True,
        pipeline=[load or first, *others, targets, last],
        **kwargs,
    )


def by_annotation(dataset, golden):
    """The samples in the order of the stored rows."""
    samples = {}
    for sample in dataset:
        data_sample = sample['data_samples']
        samples[data_sample.raw_ann_info['id']] = sample
    assert sorted(samples) == sorted(golden['annotation_id'])
    return [samples[i] for i in golden['annotation_id']]


@pytest.fixture(scope='module')
def samples(data_dir, golden):
    """All people, packed; without pixels, so images are black."""
    ann_file = data_dir / 'coco_protocol.json'
    sizes = {
        image['id']: (image['height'], image['width'])
        for image in json.loads(ann_file.read_text())['images']
    }

    def load_black(results):
        shape = sizes[results['img_id']]
        results['img'] = np.zeros((*shape, 3), dtype=np.uint8)
        results['ori_shape'] = results['img_shape'] = shape
        return results

    with DefaultScope.overwrite_default_scope('mmpose'):
        dataset = build_dataset(ann_file, load_black)
        return by_annotation(dataset, golden)


def test_boxes_centers_scales(samples, golden):
    instances = [s['data_samples'].gt_instances for s in samples]
    x1, y1, w, h = golden['clean_bbox'].T
    np.testing.assert_allclose(
        np.concatenate([i.bboxes for i in instances]),
        np.stack([x1, y1, x1 + w, y1 + h], axis=1),
        rtol=0,
        atol=1e-6,
    )
    np.testing.assert_allclose(
        np.stack([s['data_samples'].input_center for s in samples]), golden['center'], rtol=1e-6
    )
    # theirs is in units of 200 pixels
    np.testing.assert_allclose(
        np.stack([s['data_samples'].input_scale for s in samples]) / 200, golden['scale'], rtol=1e-6
    )


def test_untouched_box_loses_a_pixel(golden):
    """What mmpose's own boxes would be for a box inside the image."""
    lost = golden['bbox'][:, 2:] - golden['clean_bbox'][:, 2:]
    inside = np.isclose(lost, 1).all(axis=1)
    assert inside.sum() > 30


def apply_affine(matrix, points):
    """Points in shape (N, 2) through a matrix in shape (2, 3)."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def theirs_matrix(center, scale):
    """The authors' affine matrix: three points, the second one along y."""
    src = np.zeros((3, 2), dtype=np.float32)
    src[0] = center
    src[1] = center + np.array([0.0, scale[0] * -0.5])
    # the third one: the way from the second to the first, turned by 90
    # degrees, from the second on
    down = src[0] - src[1]
    src[2] = src[1] + np.array([-down[1], down[0]], dtype=np.float32)
    dst = np.array([[144, 192], [144, 48], [0, 48]], dtype=np.float32)
    return cv2.getAffineTransform(src, dst)


def test_affine(samples, golden):
    """The same points of the input, to 1e-6 of its size.

    mmpose finds the matrix from three points in float32 as the authors do,
    but puts the second one along x instead of y. Each rounds to its own
    points, so the offsets, up to 2300 pixels, differ by up to 7e-4; in the
    crop this is below 1e-4 pixels. The authors' points give their matrix.
    """
    corners = np.array([[0, 0], [288, 0], [0, 384], [288, 384], [144, 192]])
    for sample, matrix, inverse in zip(samples, golden['affine'], golden['affine_inverse']):
        meta = sample['data_samples']
        args = (meta.input_center, meta.input_scale, 0.0, INPUT_SIZE)
        ours, back = get_warp_matrix(*args), get_warp_matrix(*args, inv=True)
        in_image = apply_affine(inverse, corners)
        np.testing.assert_allclose(
            apply_affine(ours, in_image) / INPUT_SIZE,
            apply_affine(matrix, in_image) / INPUT_SIZE,
            rtol=0,
            atol=1e-6,
        )
        # relative to the crop's size in the image
        np.testing.assert_allclose(
            apply_affine(back, corners) / meta.input_scale,
            in_image / meta.input_scale,
            rtol=0,
            atol=1e-6,
        )

    for center, scale, matrix in zip(golden['center'], golden['scale'] * 200, golden['affine']):
        np.testing.assert_allclose(theirs_matrix(center, scale), matrix, rtol=0, atol=1e-9)


def test_back_to_the_image(samples, golden):
    """mmpose maps predictions back without a matrix: the same points."""
    pixels = np.array([[0.0, 0.0], [288.0, 384.0], [100.5, 7.25]])
    for sample, inverse in zip(samples, golden['affine_inverse']):
        meta = sample['data_samples']
        ours = pixels / INPUT_SIZE * meta.input_scale + meta.input_center - 0.5 * meta.input_scale
        theirs = apply_affine(inverse, pixels)
        np.testing.assert_allclose(
            ours / meta.input_scale, theirs / meta.input_scale, rtol=0, atol=1e-6
        )


def test_targets_and_weights(samples, golden):
    labels = [s['data_samples'].gt_instance_labels for s in samples]
    np.testing.assert_allclose(
        torch.cat([label.keypoint_labels for label in labels]).numpy(),
        golden['target'],
        rtol=1e-6,
        atol=1e-6,
    )
    np.testing.assert_array_equal(
        torch.cat([label.keypoint_weights for label in labels]).numpy(),
        golden['target_weight'][..., 0],
    )
    # occluded joints (v = 1) count like visible ones
    raw = np.stack([s['data_samples'].raw_ann_info['keypoints'] for s in samples]).reshape(
        -1, 17, 3
    )
    np.testing.assert_array_equal(raw[..., 2] > 0, golden['target_weight'][..., 0] == 1)
    assert (raw[..., 2] == 1).any()


def test_detector_boxes(golden, data_dir, tmp_path):
    """Detections are taken as they are, with the transform in place."""
    boxes = golden['bbox'].copy()
    boxes[0] = [-20, -10, 700, 50]
    file = tmp_path / 'detections.json'
    file.write_text(
        json.dumps(
            [
                dict(image_id=int(i), category_id=1, bbox=box.tolist(), score=0.5)
                for i, box in zip(golden['image_id'], boxes)
            ]
        )
    )

    def load_black(results):
        results['img'] = np.zeros((*results['img_shape'], 3), dtype=np.uint8)
        return results

    dataset = build_dataset(data_dir / 'coco_protocol.json', load_black, bbox_file=str(file))
    assert len(dataset) == len(boxes)
    for sample, (x, y, w, h) in zip(dataset, boxes):
        meta = sample['data_samples']
        np.testing.assert_allclose(meta.input_center, [x + w / 2, y + h / 2], rtol=1e-6)
        side = 1.25 * max(w, h * 288 / 384)
        np.testing.assert_allclose(meta.input_scale, [side, side * 384 / 288], rtol=1e-5)


def predictions(golden):
    """The made-up predictions as ``Evaluator`` hands them to a metric."""
    for i, (_, _, w, h, area, score) in enumerate(golden['pred_boxes']):
        sample = PoseDataSample(metainfo=dict(id=i, img_id=int(golden['pred_image_id'][i])))
        scale = 200 * np.array([[w, h]])
        assert np.isclose(scale.prod(), area, rtol=1e-6)
        sample.gt_instances = InstanceData(bbox_scales=scale, bbox_scores=np.array([score]))
        keypoints = golden['pred_keypoints'][i : i + 1]
        sample.pred_instances = InstanceData(
            keypoints=keypoints[..., :2], keypoint_scores=keypoints[..., 2]
        )
        yield sample.to_dict()


def evaluate(golden, data_dir, tmp_path, **kwargs):
    ann_file = str(data_dir / 'coco_protocol.json')
    metric = CocoMetric(ann_file=ann_file, outfile_prefix=str(tmp_path / 'out'), **kwargs)
    metric.dataset_meta = CocoDataset(ann_file=ann_file).metainfo
    batch = list(predictions(golden))
    metric.process([], batch)
    stats = metric.evaluate(size=len(batch))
    written = json.loads((tmp_path / 'out.keypoints.json').read_text())
    return stats, written


@pytest.mark.parametrize('name, settings', [('nms', dict()), ('no_nms', dict(nms_mode='none'))])
def test_evaluation(golden, data_dir, tmp_path, name, settings):
    """Scores, survivors of the NMS, AP and AR with the defaults."""
    stats, written = evaluate(golden, data_dir, tmp_path, **settings)
    for key, expected in zip(STATS, golden[f'{name}/stats']):
        assert stats[f'coco/{key}'] == pytest.approx(expected, abs=1e-6), key

    # The file names no predictions: recognise them by their joints.
    index = {
        (int(image_id), keypoints.astype('float64').tobytes()): i
        for i, (image_id, keypoints) in enumerate(
            zip(golden['pred_image_id'], golden['pred_keypoints'])
        )
    }
    scores = {index[r['image_id'], np.array(r['keypoints']).tobytes()]: r['score'] for r in written}
    assert len(scores) == len(written)
    assert set(scores) == set(golden[f'{name}/result_index'])
    for i, score in zip(golden[f'{name}/result_index'], golden[f'{name}/result_score']):
        assert scores[i] == pytest.approx(score, abs=1e-6)
        assert scores[i] == pytest.approx(golden['pred_rescored'][i], abs=1e-6)


def test_similarity(golden, data_dir):
    """The similarity behind the NMS, for every pair in an image."""
    sigmas = CocoDataset(ann_file=str(data_dir / 'coco_protocol.json')).metainfo['sigmas']
    flat = golden['pred_keypoints'].reshape(-1, 51)
    area = golden['pred_boxes'][:, 4]
    values = [
        oks_iou(flat[i], flat[j : j + 1], area[i], area[j : j + 1], sigmas)[0]
        for i, j in golden['oks_pair_index']
    ]
    np.testing.assert_allclose(values, golden['oks_pair_value'], atol=1e-6)


@pytest.fixture(scope='module')
def pixels(shared):
    """What the authors' data loader gives, from the shared folder."""
    with np.load(shared / 'golden' / 'coco_protocol.npz') as file:
        return {k: file[k] for k in file if k.startswith('input_')}


def normalise(crops, bgr_to_rgb):
    preprocessor = MODELS.build(dict(CFG.model.data_preprocessor, bgr_to_rgb=bgr_to_rgb))
    data = dict(
        inputs=[crop['inputs'] for crop in crops],
        data_samples=[crop['data_samples'] for crop in crops],
    )
    return preprocessor(data)['inputs'].numpy()


def test_pixels(pixels, golden, shared, data_dir):
    """BGR pixels with RGB-ordered statistics, as in the ResNet models."""
    dataset = build_dataset(
        data_dir / 'coco_protocol.json', images=shared / 'data' / 'coco_protocol' / 'images'
    )
    crops = by_annotation(dataset, golden)
    assert not CFG.model.data_preprocessor.bgr_to_rgb
    inputs = normalise(crops, bgr_to_rgb=False)
    np.testing.assert_allclose(inputs.mean(axis=(2, 3)), pixels['input_channel_mean'], atol=1e-2)
    np.testing.assert_allclose(inputs.std(axis=(2, 3)), pixels['input_channel_std'], atol=1e-2)
    few = pixels['input_every_16th_pixel']
    np.testing.assert_allclose(inputs[: len(few), :, ::16, ::16], few, atol=1e-2)

    # the other order, that of the HRNet models, would be noticed
    swapped = normalise(crops, bgr_to_rgb=True)
    difference = swapped.mean(axis=(2, 3)) - pixels['input_channel_mean']
    assert np.abs(difference).mean() > 0.1
