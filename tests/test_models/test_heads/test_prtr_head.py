import numpy as np
import pytest
import torch

from helpers.small_heads import FLIP, build, feats, samples


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
    """PRTR, equation 4, written with loops."""
    head = build()
    data = samples(3)
    data[1].gt_instance_labels.keypoint_weights[0, 2] = 0
    losses = head.loss(feats(), data)
    logits, coords = head.forward_layers(feats())
    targets = torch.cat([d.gt_instance_labels.keypoint_labels for d in data])
    weights = torch.cat([d.gt_instance_labels.keypoint_weights for d in data])
    matches, _ = head._match(logits, coords, targets)
    for layer, prefix in enumerate(('d0.', 'd1.', '')):
        num, den, l1 = 0, 0, 0
        for b in range(3):
            for q in range(12):
                joint = (matches[layer, b] == q).nonzero()
                label = int(joint) if len(joint) else 4
                w = 1.0 if len(joint) else 0.1
                num -= w * logits[layer, b, q].log_softmax(0)[label]
                den += w
            for k in range(4):
                diff = coords[layer, b, matches[layer, b, k]] - targets[b, k]
                l1 += diff.abs().sum() * weights[b, k]
        torch.testing.assert_close(losses[f'{prefix}loss_cls'], num / den)
        torch.testing.assert_close(losses[f'{prefix}loss_kpt'], 5 * l1 / (3 * 4 * 2) * 4)


def test_accuracy_is_that_of_the_read_out():
    head = build()
    data = samples(2)
    logits, coords = head.forward_layers(feats(2))
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


def test_predict_computes_the_last_layer_only():
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
        (
            dict(decoder=dict(type='HungarianKeypointCodec', input_size=(24, 32), num_keypoints=5)),
            'num_keypoints=5.*out_channels=4',
        ),
        (dict(embed_dims=64), 'positional_encoding has 32 channels'),
        (dict(transformer=dict(embed_dims=8)), 'leaves in_channels, num_queries and embed_dims'),
        (dict(transformer=dict(num_heads=5)), 'embed_dims=32 .*num_heads=5'),
        (dict(transformer=dict(num_decoder_layers=0)), 'num_decoder_layers'),
        (dict(with_kpt_refine=True), 'with_kpt_refine=True .*PRTRTransformer does not have'),
    ],
)
def test_bad_arguments(kwargs, match):
    with pytest.raises(ValueError, match=match):
        build(**kwargs)


@pytest.mark.parametrize(
    'decoder, found',
    [(None, 'none'), (dict(type='RegressionLabel', input_size=(24, 32)), 'RegressionLabel')],
)
def test_needs_its_own_codec(decoder, found):
    with pytest.raises(TypeError, match=f'codec is {found}.*HungarianKeypointCodec'):
        build(decoder=decoder)


@pytest.mark.parametrize('layer', ['fc_cls', 'kpt_branches.0.layers.2'])
def test_non_finite_outputs_name_the_head(layer):
    head = build()
    head.get_submodule(layer).bias.data[0] = float('nan')
    with pytest.raises(FloatingPointError, match='PRTRHead predicted NaN'):
        head.loss(feats(), samples(3))
    with pytest.raises(FloatingPointError, match='PRTRHead predicted NaN'):
        head.eval().predict(feats(), samples(3))
