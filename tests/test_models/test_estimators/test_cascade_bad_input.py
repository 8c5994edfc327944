"""What PRTRCascade does with unusual and wrong input."""

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData

from helpers.small_cascade import SIZE, Q, batch, build, gradients, loss, people, predict


@pytest.mark.parametrize('num', [Q, Q + 3])
def test_more_people_than_queries(num):
    model = build()
    model.head.loss_by_targets = lambda *args: dict(num=len(args[-1]))
    assert loss(model, people(num))['num'] == Q


def test_person_larger_than_the_image_and_boxes_of_zero_size():
    labels = people(3)
    labels.bboxes[0] = torch.tensor([-30.0, -20.0, 140.0, 99.0])
    labels.bboxes[1, 2:] = labels.bboxes[1, :2]
    model = build()
    losses = loss(model, labels)
    assert all(v.isfinite() for v in losses.values())
    for key, value in loss(model, labels[[0, 2]]).items():
        torch.testing.assert_close(value, losses[key])


def test_predicted_boxes_of_zero_size():
    model = build()
    torch.nn.init.zeros_(model.detector.bbox_head.fc_reg.weight)
    model.detector.bbox_head.fc_reg.bias.data = torch.tensor([0.0, 0.0, -200.0, -200.0])
    losses = loss(model, people(2))
    assert all(v.isfinite() for v in losses.values())
    assert all(g.isfinite().all() for g in gradients(model, losses).values())
    (pred,) = predict(model, SIZE)
    assert np.isfinite(pred.keypoints).all()


@pytest.mark.parametrize('mode', ['loss', 'predict'])
def test_non_finite_predictions(mode):
    model = build()
    model.detector.bbox_head.fc_reg.bias.data[0] = np.nan
    with pytest.raises(FloatingPointError, match='PersonDETRHead predicted NaN'):
        model(*batch(people(1)), mode=mode)


@pytest.mark.parametrize('field', ['bboxes', 'keypoints'])
def test_non_finite_ground_truth(field):
    labels = people(2)
    labels[field][1].fill_(np.inf)
    with pytest.raises(ValueError, match=f'PRTRCascade .* {field}'):
        loss(build(), labels)


def test_missing_input():
    model = build()
    images, samples = batch(people(1))
    del samples[0].ori_shape
    with pytest.raises(ValueError, match='ori_shape .*meta'):
        model.predict(images, samples)
    samples[0].gt_instance_labels = InstanceData(bboxes=torch.zeros(1, 4))
    with pytest.raises(ValueError, match='keypoints .*PackPersonInputs'):
        model.loss(images, samples)


def test_number_of_joints_of_the_dataset():
    labels = people(1)
    labels = InstanceData(
        bboxes=labels.bboxes, keypoints=torch.zeros(1, 17, 2), keypoints_visible=torch.ones(1, 17)
    )
    with pytest.raises(ValueError, match='17 keypoints'):
        loss(build(), labels)
