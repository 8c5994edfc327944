"""Every switch of PRTRCascade changes what it says."""

import copy

import numpy as np
import pytest
import torch
from mmdet.structures.bbox import bbox_overlaps

from helpers.small_cascade import SIZE, K, Q, batch, build, gradients, loss, people, predict


def test_levels():
    channels = (8, 16, 32, 64)
    for levels in ((3,), (0, 2)):
        num = sum(channels[i] for i in levels)
        model = build(crop__levels=levels, head__in_channels=num)
        feats = model.extract_feat(torch.randn(1, 3, *SIZE))
        samples = batch(people(1))[1]
        samples[0].set_metainfo(dict(batch_input_shape=SIZE))
        (crops,) = model.crop_people(feats, [torch.rand(2, 4)], samples)
        assert crops.shape == (2, num, 5, 4)
    with pytest.raises(ValueError, match='in_channels=120'):
        loss(build(crop__levels=(3,)), people(1))


def test_padding_is_not_rounded():
    """The valid part of an image in half precision would move its crops."""
    model, seen = build(), []
    (sample,) = batch(people(1))[1]
    sample.set_metainfo(dict(img_shape=(63, 91), batch_input_shape=(64, 96)))
    for crop in model.crops:
        crop.register_forward_pre_hook(lambda module, args: seen.append(args[2]))
    feats = [x.bfloat16() for x in model.extract_feat(torch.randn(1, 3, *SIZE))]
    with torch.autocast('cpu', torch.bfloat16):
        model.crop_people(feats, [torch.rand(2, 4)], [sample])
    torch.testing.assert_close(seen[0], torch.tensor([[63 / 64, 91 / 96]]), rtol=1e-6, atol=0)


def test_resolution():
    model = build(crop__resolution=(7, 3), head__transformer__positional_encoding__size=(7, 3))
    assert loss(model, people(1))['loss_kpt'] > 0
    assert model.head.transformer.positional_encoding.x_embed.shape == (4, 7)
    with pytest.raises(ValueError, match=r'resolution=\(7, 3\)'):
        build(crop__resolution=(7, 3))


def test_zoom():
    losses = [loss(build(crop__zoom=zoom).eval(), people(2))['loss_kpt'] for zoom in (1.25, 2.0)]
    assert losses[0] != losses[1]


def test_widths_queries_and_joints():
    model = build(
        head__embed_dims=32,
        head__transformer__positional_encoding__num_feats=8,
        head__num_queries=13,
        detector__num_queries=11,
        test_cfg__score_thr=0.0,
    )
    assert model.head.transformer.input_proj.weight.shape[:2] == (32, 120)
    with torch.no_grad():
        logits = model(torch.randn(1, 3, *SIZE), None)[2]
    assert logits.shape == (1, 11, 13, K + 1)


def test_detector_levels():
    """A finer map for the detector."""
    model = build(detector_levels=(2,), detector__neck__in_channels=[32])
    seen = []
    model.detector.neck.register_forward_hook(
        lambda module, inputs, output: seen.append(output[0].shape)
    )
    loss(model, people(1))
    assert seen == [(1, 16, 4, 6)]


@pytest.mark.parametrize('cap', [1, 3, 20])
def test_max_persons_in_training(cap):
    model = build(train_cfg__max_persons=cap)
    seen = []
    model.head.loss_by_targets = lambda *args: seen.append(args[1]) or {}
    for _ in range(8):
        model.loss(*batch(people(5), people(2)))
    assert {len(labels) for labels in seen} == {min(cap, 5) + min(cap, 2)}
    # not always the same ones
    assert len({labels.sum().item() for labels in seen}) > 1 or cap == 20


def test_max_persons_and_score_in_testing():
    (everybody,) = predict(build(test_cfg__score_thr=0.0), SIZE)
    (best,) = predict(build(test_cfg=dict(score_thr=0.0, max_persons=2)), SIZE)
    assert len(everybody) == Q and len(best) == 2
    for key, value in best.items():
        np.testing.assert_allclose(value, everybody[key][:2], atol=1e-3)
    thr = float(everybody.bbox_scores[2:4].mean())
    (some,) = predict(build(test_cfg=dict(score_thr=thr)), SIZE)
    assert len(some) == 3


def test_duplicates_are_dropped():
    """Of two boxes with an IoU above the threshold in the same image, the better one stays."""
    images = [SIZE, (40, 80)]
    everybody = predict(build(test_cfg__score_thr=0.0), *images)
    overlaps = [bbox_overlaps(b, b) for b in (torch.from_numpy(e.bboxes) for e in everybody)]
    thr = float(torch.stack(overlaps).median())
    found = predict(build(test_cfg=dict(score_thr=0.0, nms_thr=thr)), *images)
    for some, every, overlap in zip(found, everybody, overlaps):
        kept: list[int] = []
        for i in range(len(overlap)):
            if all(overlap[i, j] <= thr for j in kept):
                kept.append(i)
        assert 1 < len(kept) < len(every)
        assert len(some) == len(kept)
        for key, value in some.items():
            np.testing.assert_allclose(value, every[key][kept], atol=1e-3)


@pytest.mark.parametrize(
    'key, values, message',
    [
        ('nms_thr', (0, 1.5, float('nan'), '0.7', True), 'must be an IoU above 0 and up to 1'),
        ('score_thr', (-0.1, 1.5, float('nan'), 'a', None, True), 'must be a score from 0 to 1'),
        ('max_persons', (0, -1, 2.5, float('nan'), 'a', None, True), 'must be a positive whole'),
    ],
)
def test_bad_values_in_testing(key, values, message):
    for value in values:
        with pytest.raises(ValueError, match=rf'model\.test_cfg\.{key} {message}.*, but is'):
            build(test_cfg={key: value})
    with pytest.raises(ValueError, match=r'model\.train_cfg\.max_persons must be'):
        build(train_cfg=dict(max_persons=0))


def test_only_people_kept_go_through_the_keypoint_head():
    model = build(test_cfg=dict(score_thr=0.0, max_persons=2))
    seen = []
    model.head.transformer.input_proj.register_forward_hook(
        lambda module, inputs, output: seen.append(len(inputs[0]))
    )
    predict(model, SIZE, SIZE, SIZE)
    assert seen == [6]  # all images at once


def test_frozen_detector():
    model = build(freeze_detector=True).train()
    state = copy.deepcopy(model.detector.state_dict())
    losses = loss(model, people(2))
    assert not any(key.startswith('det.') for key in losses)
    for name, grad in gradients(model, losses).items():
        assert (grad is None) == name.startswith('detector.'), name
    for name, value in model.detector.state_dict().items():
        # running statistics included
        torch.testing.assert_close(value, state[name])
    assert not model.detector.training and model.head.training
    assert build().train().detector.training


@pytest.mark.parametrize('detach', [False, True])
def test_detach_boxes(detach):
    model = build(detach_boxes=detach)
    losses = loss(model, people(2))
    model.zero_grad()
    (losses['loss_cls'] + losses['loss_kpt']).backward()
    box_grad = model.detector.bbox_head.fc_reg.weight.grad
    assert (box_grad is None) == detach
    # the features learn either way
    assert model.detector.backbone.conv1.weight.grad.any()


@pytest.mark.parametrize(
    'kwargs, message',
    [
        (dict(test_cfg=dict(score_threshold=0.1)), 'score_threshold'),
        (dict(train_cfg=dict(score_thr=0.1)), 'train_cfg'),
        (dict(detector__bbox_head__num_classes=80), 'num_classes=80'),
        (
            dict(detector__bbox_head__type='mmdet.DETRHead', detector__bbox_head__num_classes=1),
            'PersonDETRHead',
        ),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        build(**kwargs)
