import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample

import prtr_plugin  # noqa: F401

FLIP = [0, 2, 1, 3]


def build(num_keypoints=4, seed=0, **kwargs):
    cfg = dict(
        type='PRTRHead',
        in_channels=16,
        out_channels=num_keypoints,
        num_queries=12,
        embed_dims=32,
        transformer=dict(
            num_encoder_layers=1, num_decoder_layers=3, num_heads=4, feedforward_channels=64
        ),
        positional_encoding=dict(type='mmdet.SinePositionalEncoding', num_feats=16, normalize=True),
        decoder=dict(
            type='HungarianKeypointCodec', input_size=(24, 32), num_keypoints=num_keypoints
        ),
    )
    torch.manual_seed(seed)
    return MODELS.build({**cfg, **kwargs})


def samples(batch_size, num_keypoints=4, weight=None):
    rng = np.random.default_rng(0)
    out = []
    for _ in range(batch_size):
        labels = InstanceData(
            keypoint_labels=torch.from_numpy(rng.random((1, num_keypoints, 2), dtype=np.float32)),
            keypoint_weights=torch.ones(1, num_keypoints)
            if weight is None
            else torch.full((1, num_keypoints), weight),
        )
        out.append(
            PoseDataSample(
                gt_instance_labels=labels, metainfo=dict(flip_indices=FLIP, input_size=(24, 32))
            )
        )
    return out


def feats(batch_size=3, size=(4, 3)):
    g = torch.Generator().manual_seed(2)
    return (torch.randn(batch_size, 16, *size, generator=g),)


@pytest.mark.parametrize('num_keypoints', [1, 4, 12])
def test_loss_keys_shapes_and_gradients(num_keypoints):
    head = build(num_keypoints)
    losses = head.loss(feats(), samples(3, num_keypoints))
    names = [f'{p}loss_{n}' for p in ('d0.', 'd1.', '') for n in ('cls', 'kpt')]
    assert set(losses) == {*names, 'acc_pose'}
    assert all(v.ndim == 0 for v in losses.values())
    sum(losses[n] for n in names).backward()
    for name, p in head.named_parameters():
        assert p.grad is not None and p.grad.isfinite().all(), name


def test_losses_equal_the_plain_formulas():
    """DESIGN section 3, written with loops."""
    head = build()
    data = samples(3)
    data[1].gt_instance_labels.keypoint_weights[0, 2] = 0
    losses = head.loss(feats(), data)
    logits, coords = head.forward_levels(feats())
    targets = torch.cat([d.gt_instance_labels.keypoint_labels for d in data])
    weights = torch.cat([d.gt_instance_labels.keypoint_weights for d in data])
    matches, _ = head._match(logits, coords, targets)
    for level, prefix in enumerate(('d0.', 'd1.', '')):
        num, den, l1 = 0, 0, 0
        for b in range(3):
            for q in range(12):
                joint = (matches[level, b] == q).nonzero()
                label = int(joint) if len(joint) else 4
                w = 1.0 if len(joint) else 0.1
                num -= w * logits[level, b, q].log_softmax(0)[label]
                den += w
            for k in range(4):
                diff = coords[level, b, matches[level, b, k]] - targets[b, k]
                l1 += diff.abs().sum() * weights[b, k]
        torch.testing.assert_close(losses[f'{prefix}loss_cls'], num / den)
        torch.testing.assert_close(losses[f'{prefix}loss_kpt'], 5 * l1 / (3 * 4 * 2) * 4)


def test_accuracy_is_that_of_the_read_out():
    head = build()
    data = samples(2)
    logits, coords = head.forward_levels(feats(2))
    keypoints, _ = head.decoder.batch_decode(logits[-1], coords[-1])
    for sample, k in zip(data, keypoints):
        sample.gt_instance_labels.keypoint_labels = torch.from_numpy(
            k / np.array([24, 32], dtype=np.float32)
        )
    data[0].gt_instance_labels.keypoint_labels[0, 0] += 0.5
    data[1].gt_instance_labels.keypoint_labels[0, 0] += 0.5
    data[1].gt_instance_labels.keypoint_weights[0, 0] = 0
    assert head.loss(feats(2), data)['acc_pose'].item() == pytest.approx(6 / 7)


def test_switches_change_the_loss():
    base = build().loss(feats(), samples(3))
    background = build(loss_cls=dict(type='mmdet.CrossEntropyLoss', bg_cls_weight=1.0)).loss(
        feats(), samples(3)
    )
    assert background['loss_cls'] != base['loss_cls']
    weight = build(loss_kpt=dict(type='L1Loss', use_target_weight=True, loss_weight=1.0))
    torch.testing.assert_close(5 * weight.loss(feats(), samples(3))['loss_kpt'], base['loss_kpt'])


def test_the_config_is_not_changed_by_building():
    loss_cls = dict(type='mmdet.CrossEntropyLoss', bg_cls_weight=0.2)
    build(loss_cls=loss_cls)
    assert loss_cls == dict(type='mmdet.CrossEntropyLoss', bg_cls_weight=0.2)


def test_all_joints_unlabelled_trains_with_finite_loss():
    head = build()
    losses = head.loss(feats(), samples(3, weight=0.0))
    assert losses['loss_kpt'] == 0 and losses['acc_pose'] == 0
    sum(v for k, v in losses.items() if 'loss' in k).backward()
    assert all(p.grad.isfinite().all() for p in head.parameters())


def test_predict_shapes_and_range():
    preds = build().eval().predict(feats(3), samples(3))
    assert len(preds) == 3
    for pred in preds:
        assert pred.keypoints.shape == (1, 4, 2)
        assert pred.keypoint_scores.shape == (1, 4)
        assert (pred.keypoints >= 0).all()
        assert (pred.keypoints <= (24, 32)).all()


def test_predict_computes_the_last_level_only():
    head = build().eval()
    rows = []
    head.fc_cls.register_forward_hook(lambda module, args, out: rows.append(out[..., 0].numel()))
    with torch.no_grad():
        head.predict(feats(2), samples(2))
    assert rows == [2 * 12]


def test_flip_test_averages_two_read_outs():
    head = build().eval()
    plain, mirrored = feats(2), (feats(2)[0].flip(-1),)
    preds = head.predict([plain, mirrored], samples(2), test_cfg=dict(flip_test=True))
    one = head.predict(plain, samples(2))
    two = head.predict(mirrored, samples(2))
    for pred, a, b in zip(preds, one, two):
        swapped = b.keypoints[:, FLIP]
        swapped[..., 0] = 24 - swapped[..., 0]
        np.testing.assert_allclose(pred.keypoints, (a.keypoints + swapped) / 2, atol=1e-3)
        np.testing.assert_allclose(
            pred.keypoint_scores, (a.keypoint_scores + b.keypoint_scores[:, FLIP]) / 2, atol=1e-5
        )


def test_feature_size_and_batch_size_are_free():
    head = build().eval()
    for batch_size, size in ((1, (4, 3)), (5, (7, 2))):
        logits, coords = head(feats(batch_size, size))
        assert logits.shape == (batch_size, 12, 5)
        assert coords.shape == (batch_size, 12, 2)


def test_uses_the_last_of_several_maps():
    head = build(in_channels=[8, 16]).eval()
    torch.testing.assert_close(head((torch.randn(3, 8, 8, 6), feats()[0]))[0], head(feats())[0])


@pytest.mark.parametrize(
    'kwargs, match',
    [
        (dict(num_queries=3), 'num_queries=3 is less than out_channels=4'),
        (dict(decoder=None), 'needs a keypoint codec'),
        (
            dict(decoder=dict(type='HungarianKeypointCodec', input_size=(24, 32), num_keypoints=5)),
            'num_keypoints=5.*out_channels=4',
        ),
        (dict(embed_dims=64), 'positional_encoding has 32 channels'),
    ],
)
def test_bad_arguments(kwargs, match):
    with pytest.raises(ValueError, match=match):
        build(**kwargs)


@pytest.mark.parametrize('layer', ['fc_cls', 'kpt_branch.layers.2'])
def test_non_finite_outputs_name_the_head(layer):
    head = build()
    head.get_submodule(layer).bias.data[0] = float('nan')
    with pytest.raises(FloatingPointError, match='PRTRHead put out NaN'):
        head.loss(feats(), samples(3))
    with pytest.raises(FloatingPointError, match='PRTRHead put out NaN'):
        head.eval().predict(feats(), samples(3))
