"""PRTRCascade in training and testing, on a small network.

Exact numbers are compared in ``test_cascade_golden.py``.
"""

import copy
import json

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from mmpose.evaluation import CocoMetric
from mmpose.registry import MODELS

from helpers.small_cascade import (
    CONFIG,
    LOSSES,
    SIZE,
    K,
    Q,
    batch,
    build,
    gradients,
    loss,
    people,
    predict,
    total,
)


def test_losses_train_everything():
    model = build()
    losses = loss(model, people(2), people(1), shapes=[SIZE, (50, 60)])
    assert set(losses) == LOSSES
    assert all(v.ndim == 0 and v.isfinite() for v in losses.values())
    for name, grad in gradients(model, losses).items():
        assert grad is not None and grad.isfinite().all(), name


def test_targets_are_relative_to_the_crop():
    """Against the formulas of DESIGN, section 4, with loops."""
    model = build()
    images, samples = batch(people(2), people(1), shapes=[SIZE, (50, 60)])
    samples[0].gt_instance_labels.keypoints_visible[1, 2] = 0
    seen = {}

    def spy(feats, labels, weights):
        seen.update(labels=labels, weights=weights)
        return {}

    model.head.loss_by_targets = spy
    model.loss(images, samples)
    feats = model.extract_feat(images)
    boxes = model.forward_detector(feats, samples)[1][-1]
    # the same matches, from the detector's own targets
    n = 0
    for sample, box in zip(samples, boxes):
        h, w = sample.img_shape
        gt = sample.gt_instance_labels
        found = 0
        for cx, cy, bw, bh in box:
            for points, visible in zip(gt.keypoints, gt.keypoints_visible):
                u = torch.stack(
                    (
                        (points[:, 0] / w - cx) / (1.25 * bw) + 0.5,
                        (points[:, 1] / h - cy) / (1.25 * bh) + 0.5,
                    ),
                    -1,
                )
                u = u.clamp(0, 1).float() * (visible > 0)[:, None]
                same = (u - seen['labels']).abs().amax((1, 2)) < 1e-5
                found += int(same.any())
                if same.any():
                    assert (seen['weights'][same] == (visible > 0)).all()
        assert found == len(gt)
        n += found
    assert len(seen['labels']) == n == 3


def test_people_without_keypoints_teach_the_box_only():
    with_keypoints, without = people(3), people(3)
    without.keypoints_visible[:] = 0
    model = build()
    a, b = loss(model, with_keypoints), loss(model, without)
    assert {k: v for k, v in a.items() if 'det.' in k} == {
        k: v for k, v in b.items() if 'det.' in k
    }
    assert a['loss_kpt'] > 0 and b['loss_kpt'] == 0
    # one of two: the losses are those of the other alone
    model.head.loss_by_targets = lambda *args: dict(num=args[-1].sum(1))
    with_keypoints.keypoints_visible[1] = 0
    with_keypoints.keypoints_visible[2, 0] = 0
    counts = loss(model, with_keypoints)['num'].tolist()
    assert sorted(counts) == [3, 4]


@pytest.mark.parametrize('labels', [InstanceData(), people(0), people(3, iscrowd=[1, 1, 1])])
def test_image_without_people(labels):
    """The detector learns, the keypoint losses are 0, and every parameter
    has a gradient, as distributed training wants it."""
    model = build()
    losses = loss(model, labels, labels)
    assert set(losses) == LOSSES
    for name, value in losses.items():
        if name.endswith(('_kpt', '_bbox', '_iou')) or name == 'loss_cls':
            assert value == 0, name
    assert losses['det.loss_cls'] > 0
    grads = gradients(model, losses)
    for name, grad in grads.items():
        assert grad is not None and grad.isfinite().all(), name
        if name.startswith('head.'):
            assert not grad.any(), name


def test_image_without_people_beside_others():
    model = build().eval()
    alone = loss(model, people(2))
    beside = loss(model, people(2), InstanceData())
    for key in ('loss_cls', 'loss_kpt', 'd0.loss_kpt'):
        torch.testing.assert_close(alone[key], beside[key])


def test_crowds_are_neither_positive_nor_negative():
    """A crowd everywhere leaves the person alone."""
    model = build().eval()
    both = people(2, iscrowd=[0, 1])
    both.bboxes[1] = torch.tensor([-200.0, -200.0, 400.0, 400.0])
    person = people(2)[:1]
    crowd = loss(model, both)
    plain = loss(model, person)
    for key in LOSSES - {'det.loss_cls', 'det.d0.loss_cls'}:
        torch.testing.assert_close(crowd[key], plain[key])
    assert crowd['det.loss_cls'] != plain['det.loss_cls']


def test_predictions():
    model = build(test_cfg__score_thr=0.0)
    preds = predict(model, SIZE, (40, 80))
    for pred, (h, w) in zip(preds, (SIZE, (40, 80))):
        assert pred.bboxes.shape == (Q, 4)
        assert pred.keypoints.shape == (Q, K, 2)
        assert pred.keypoint_scores.shape == (Q, K)
        np.testing.assert_array_equal(pred.keypoint_scores, pred.keypoints_visible)
        assert (np.diff(pred.bbox_scores) <= 0).all()
        for points in (pred.keypoints, pred.bboxes.reshape(-1, 2, 2)):
            # in the original image, which is twice as large
            assert points.min() >= 0
            assert (points <= [2 * w, 2 * h]).all()
        assert (pred.bboxes[:, 2:] >= pred.bboxes[:, :2]).all()
        # joints lie in the crop, 1.25 times the box
        center = (pred.bboxes[:, :2] + pred.bboxes[:, 2:]) / 2
        inside = (pred.bboxes > 0) & (pred.bboxes < [2 * w, 2 * h] * 2)
        for c, size, points in zip(
            center[inside.all(1)],
            (pred.bboxes[:, 2:] - pred.bboxes[:, :2])[inside.all(1)],
            pred.keypoints[inside.all(1)],
        ):
            assert (abs(points - c) <= 0.626 * size).all()


def test_boxes_are_those_of_mmdet():
    model = build(test_cfg__score_thr=0.0).eval()
    images, samples = batch(*[InstanceData()] * 2, shapes=[SIZE, (40, 80)])
    preds = predict(model, SIZE, (40, 80))
    for sample in samples:
        sample.set_metainfo(dict(batch_input_shape=SIZE, scale_factor=(0.5, 0.5)))
    with torch.no_grad():
        feats = model.detector.neck(model.extract_feat(images)[-1:])
        results = model.detector.bbox_head.predict(
            **model.detector.forward_transformer(feats, samples), batch_data_samples=samples
        )
    for pred, result in zip(preds, results):
        np.testing.assert_allclose(pred.bboxes, result.bboxes, atol=1e-3)
        np.testing.assert_allclose(pred.bbox_scores, result.scores, atol=1e-6)


def test_padding_does_not_change_the_people():
    """The smaller image alone, and padded beside a larger one."""
    model = build(test_cfg__score_thr=0.0, crop__levels=(0,)).eval()
    images, samples = batch(InstanceData(), shapes=[(32, 64)])
    # features next to the padding differ by the border of the convolutions,
    # so the network in front of the crops is replaced
    model.extract_feat = lambda x: (x[:, :1].repeat(1, 8, 1, 1),)
    boxes = torch.rand(1, 1, 3, 4)
    model.forward_detector = lambda *_: (torch.zeros(1, 1, 3, 2), boxes)
    model.head = build(head__in_channels=8, crop__levels=(0,)).head.eval()
    images[0, :, :, 64:] = images[0, :, :, 63:64]
    images[0, :, 32:] = images[0, :, 31:32]
    with torch.no_grad():
        padded = model.predict(images, samples)[0].pred_instances
        plain = model.predict(images[..., :32, :64], samples)[0].pred_instances
    for key, value in plain.items():
        np.testing.assert_allclose(padded[key], value, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize('nobody', ['all', 'one'])
def test_nobody_above_the_score(nobody, tmp_path):
    model = build().eval()
    images, samples = batch(InstanceData(), InstanceData())
    logits, boxes = torch.zeros(1, 2, Q, 2), torch.rand(1, 2, Q, 4)
    logits[..., 1] = 9
    if nobody == 'one':
        logits[0, 1, 3, 0] = 20
    model.forward_detector = lambda *_: (logits, boxes)
    with torch.no_grad():
        samples = model.predict(images, samples)
    pred = samples[0].pred_instances
    assert pred.bboxes.shape == (0, 4) and pred.bbox_scores.shape == (0,)
    assert pred.keypoints.shape == (0, K, 2)
    assert pred.keypoint_scores.shape == (0, K)
    assert len(samples[1].pred_instances) == (nobody == 'one')
    if nobody == 'one':
        x, _, w, _ = boxes[0, 1, 3] * torch.tensor(SIZE[::-1] * 2) * 2
        np.testing.assert_allclose(
            samples[1].pred_instances.bboxes[0, 0], (x - w / 2).clamp(0), atol=1e-4
        )
    annotations = dict(
        images=[dict(id=i, width=192, height=128) for i in (0, 1)],
        categories=[dict(id=1, name='person')],
        annotations=[
            dict(
                id=1,
                image_id=1,
                category_id=1,
                bbox=[10, 10, 50, 50],
                area=2500,
                iscrowd=0,
                num_keypoints=K,
                keypoints=[20, 30, 2] * K,
            )
        ],
    )
    ann_file = tmp_path / 'annotations.json'
    ann_file.write_text(json.dumps(annotations))
    metric = CocoMetric(str(ann_file), nms_mode='none')
    metric.dataset_meta = dict(num_keypoints=K, sigmas=np.full(K, 0.05), dataset_name='test')
    metric.process(None, [s.to_dict() for s in samples])
    assert metric.evaluate(2)['coco/AP'] == 0


def test_tensor_mode():
    model = build(test_cfg__max_persons=3).eval()
    with torch.no_grad():
        scores, boxes, logits, coords = model(torch.randn(2, 3, *SIZE), None)
    assert scores.shape == (2, 3) and boxes.shape == (2, 3, 4)
    assert logits.shape == (2, 3, 6, K + 1) and coords.shape == (2, 3, 6, 2)


def test_data_preprocessor_and_train_step():
    """From images of different size to a step, as the runner does it."""
    model = build()
    _, samples = batch(people(2), people(1), shapes=[SIZE, (50, 60)])
    data = dict(
        inputs=[torch.zeros(3, *s.img_shape, dtype=torch.uint8) for s in samples],
        data_samples=samples,
    )
    data = model.data_preprocessor(data, training=True)
    assert data['inputs'].shape == (2, 3, *SIZE)
    losses = model(**data, mode='loss')
    assert model.parse_losses(losses)[0].isfinite()
    assert len(model.eval().val_step(data)) == 2


def test_scope_of_mmdet():
    """A detector as mmdet writes it."""
    cfg = copy.deepcopy(CONFIG)
    detector = cfg['detector']
    detector.update(type='DETR', _scope_='mmdet')
    detector['neck']['type'] = 'ChannelMapper'
    detector['backbone']['type'] = 'ResNet'
    model = MODELS.build(cfg)
    assert type(model.detector).__module__.startswith('mmdet.')
    losses = loss(model, people(1))
    assert set(losses) == LOSSES


def test_overfits_one_batch():
    model = build(detector__backbone__norm_eval=True)
    images, samples = batch(people(2), people(1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    history = []
    for _ in range(40):
        losses = total(model.loss(images, samples))
        optimizer.zero_grad()
        losses.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        history.append(losses.item())
    assert history[-1] < 0.6 * history[0]


def test_default_scope_of_a_runner(mmpose_scope):
    assert set(loss(build(), people(1))) == LOSSES
