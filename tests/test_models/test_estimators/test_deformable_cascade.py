"""The deformable head as second stage of the cascade."""

import copy

import pytest
import torch

from helpers.small_cascade import (
    CONFIG,
    LOSSES,
    SIZE,
    K,
    build,
    gradients,
    loss,
    people,
    predict,
    total,
)


def head(num_feature_levels=3, **kwargs):
    cfg = copy.deepcopy(CONFIG['head'])
    cfg['transformer'].update(
        type='DeformablePRTRTransformer',
        num_feature_levels=num_feature_levels,
        positional_encoding=dict(type='mmdet.SinePositionalEncoding', num_feats=8, normalize=True),
        norm_cfg=dict(type='GN', num_groups=4),
    )
    cfg.update(kwargs)
    return cfg


@pytest.mark.parametrize('refine', [False, True])
def test_losses_train_everything(refine):
    model = build(head=head(with_kpt_refine=refine))
    losses = loss(model, people(2), people(1), shapes=[SIZE, (50, 60)])
    assert set(losses) == LOSSES
    for name, grad in gradients(model, losses).items():
        assert grad is not None and grad.isfinite().all(), name


@pytest.mark.parametrize('in_channels', [120, [120]])
def test_steps_lower_the_loss(in_channels):
    model = build(head=head(in_channels=in_channels), freeze_detector=True)
    optimizer = torch.optim.AdamW(model.head.parameters(), lr=1e-3)
    values = []
    for _ in range(10):
        optimizer.zero_grad()
        value = total(loss(model, people(2), people(1)))
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert values[-1] < 0.9 * values[0]


def test_image_without_people():
    model = build(head=head())
    losses = loss(model, people(0))
    assert losses['loss_kpt'] == 0
    for name, grad in gradients(model, losses).items():
        assert grad is not None and grad.isfinite().all(), name


def test_predictions():
    model = build(head=head(), test_cfg__score_thr=0.0)
    for pred in predict(model, SIZE, (40, 80)):
        assert pred.keypoints.shape == (len(pred.bboxes), K, 2)
        assert len(pred.bboxes) > 1


def test_channels_must_fit():
    model = build(head=head(in_channels=[8, 16, 32, 64], num_feature_levels=4))
    with pytest.raises(ValueError, match=r'\[120\] channels together.*in_channels'):
        loss(model, people(2))
