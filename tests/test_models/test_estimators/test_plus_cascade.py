"""PRTR+ as second stage of the cascade, on a crop for each feature level."""

import copy

import pytest
import torch

from helpers.small_cascade import (
    CONFIG,
    LOSSES,
    SIZE,
    K,
    batch,
    build,
    gradients,
    loss,
    people,
    predict,
    total,
)

CROPS = [
    dict(resolution=(8, 12), levels=(0,), align_corners=False),
    dict(resolution=(4, 6), levels=(1, 2), align_corners=False),
]


def head(in_channels=(8, 48), **kwargs):
    cfg = copy.deepcopy(CONFIG['head'])
    cfg.update(
        in_channels=list(in_channels),
        loss_kpt=dict(type='TruncatedL1Loss', max_error=0.1, loss_weight=5.0),
        loss_map=dict(type='KeypointMapLoss', loss_weight=3.0),
        class_bias=4.0,
    )
    cfg['decoder']['include_background'] = True
    cfg['transformer'].update(
        type='PixelPRTRTransformer',
        pixel_channels=16,
        positional_encoding=dict(type='mmdet.SinePositionalEncoding', num_feats=8, normalize=True),
    )
    cfg.update(kwargs)
    return cfg


def plus(**kwargs):
    return build(head=head(), crop=CROPS, **kwargs)


def test_losses_train_everything():
    model = plus()
    losses = loss(model, people(2), people(1), shapes=[SIZE, (50, 60)])
    assert set(losses) == LOSSES | {'d0.loss_map', 'd1.loss_map'}
    for name, grad in gradients(model, losses).items():
        assert grad is not None and grad.isfinite().all(), name


def test_image_without_people():
    model = plus()
    losses = loss(model, people(0))
    assert losses['loss_kpt'] == losses['d0.loss_map'] == 0
    assert all(grad is not None for grad in gradients(model, losses).values())


def test_a_map_for_each_crop():
    model = plus()
    feats = model.extract_feat(torch.randn(1, 3, *SIZE))
    samples = batch(people(1))[1]
    samples[0].set_metainfo(dict(batch_input_shape=SIZE))
    boxes = [torch.rand(2, 4)]
    fine, coarse = model.crop_people(feats, boxes, samples)
    assert fine.shape == (2, 8, 12, 8) and coarse.shape == (2, 16 + 32, 6, 4)
    for crop, found in zip(model.crops, (fine, coarse)):
        torch.testing.assert_close(crop(feats, boxes, torch.ones(1, 2)), found)


def test_predictions():
    preds = predict(plus(test_cfg__score_thr=0.0), SIZE, (40, 80))
    for pred in preds:
        assert pred.keypoints.shape == (len(pred.bboxes), K, 2)
        assert len(pred.bboxes) > 1
        assert ((pred.keypoint_scores >= 0) & (pred.keypoint_scores <= 1)).all()


def test_joints_come_from_the_places_of_the_pixels():
    """A map that peaks at one pixel gives the point of the image where it was sampled."""
    model = plus(test_cfg=dict(score_thr=0.0, max_persons=1))
    image, samples = batch(people(1))

    def transformer(feats, *args):
        output = type(model.head.transformer).forward(model.head.transformer, feats, *args)
        peak = torch.zeros_like(output.maps)
        peak[..., 9, 2] = 1000
        return output._replace(maps=peak)

    model.head.transformer.forward = transformer
    with torch.no_grad():
        (sample,) = model.eval().predict(image, samples)
        feats = model.extract_feat(image)
        _, boxes = model._best_people(*model.forward_detector(feats, samples))
    place = (model.crop.grids(boxes)[0, 0, 9, 2] + 1) / 2 * torch.tensor(SIZE[::-1]) * 2
    expected = place.clamp(torch.zeros(2), torch.tensor(SIZE[::-1]) * 2.0)
    found = torch.from_numpy(sample.pred_instances.keypoints[0])
    torch.testing.assert_close(found, expected.expand_as(found), rtol=1e-4, atol=1e-3)


def test_steps_lower_the_loss():
    model = plus(freeze_detector=True)
    optimizer = torch.optim.AdamW(model.head.parameters(), lr=3e-3)
    values = []
    for _ in range(10):
        optimizer.zero_grad()
        value = total(loss(model, people(2), people(1)))
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert values[-1] < 0.9 * values[0]


def test_channels_must_fit():
    with pytest.raises(ValueError, match=r'\[8, 48\] channels.*in_channels=\[8, 16\]'):
        loss(build(head=head((8, 16)), crop=CROPS), people(2))


def test_crops_must_cover_the_same():
    with pytest.raises(ValueError, match=r'zoom=\[1.25, 1.5\]'):
        build(head=head(), crop=[CROPS[0], dict(CROPS[1], zoom=1.5)])
