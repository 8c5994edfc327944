"""What the head has of its own with maps and a class bias; see also ``test_prtr_head.py``."""

import numpy as np
import pytest
import torch
from mmpose.registry import MODELS

from helpers.small_heads import build as build_plain
from helpers.small_heads import feats as maps_of
from helpers.small_heads import samples, total
from prtr_plugin.models.transformers import find_peaks, softmax_maps

CHANNELS = [6, 16]
COSTS = [
    dict(type='KeypointClassificationCost', weight=10.0),
    dict(type='KeypointL1Cost', weight=1.0),
]
TRANSFORMER = dict(type='PixelPRTRTransformer', num_decoder_layers=2, pixel_channels=8)
MAP_LOSS = dict(type='KeypointMapLoss', sigma=0.8, loss_weight=0.7)


def build(num_keypoints=4, **kwargs):
    cfg = dict(
        in_channels=CHANNELS,
        transformer=TRANSFORMER,
        loss_map=MAP_LOSS,
        class_bias=4.0,
        assigner=dict(type='KeypointHungarianAssigner', match_costs=COSTS),
    )
    codec = dict(
        type='HungarianKeypointCodec',
        input_size=(24, 32),
        num_keypoints=num_keypoints,
        include_background=True,
    )
    head = build_plain(num_keypoints, **{**cfg, 'decoder': codec, **kwargs})
    head.init_weights()
    return head


def feats(batch_size=3, size=(4, 3)):
    return maps_of(batch_size, size, CHANNELS)


@pytest.mark.parametrize('num_keypoints', [1, 4, 12])
def test_losses_and_predictions(num_keypoints):
    head = build(num_keypoints)
    losses = head.loss(feats(), samples(3, num_keypoints))
    names = {f'{p}loss_{n}' for p in ('d0.', '') for n in ('cls', 'kpt')}
    assert set(losses) == names | {'d0.loss_map', 'd1.loss_map', 'acc_pose'}
    total(losses).backward()
    for name, p in head.named_parameters():
        assert p.grad is not None and p.grad.isfinite().all(), name
    for pred in head.eval().predict(feats(), samples(3, num_keypoints)):
        assert pred.keypoints.shape == (1, num_keypoints, 2)
        assert (pred.keypoints >= 0).all() and (pred.keypoints <= (24, 32)).all()


def test_map_loss_is_that_of_the_matched_queries():
    head, data = build(), samples(3)
    data[1].gt_instance_labels.keypoint_weights[0, 2] = 0
    losses = head.loss(feats(), data)
    cls_logits, coords = head.forward_layers(feats())
    maps = head.transformer(feats()).maps
    targets = torch.cat([d.gt_instance_labels.keypoint_labels for d in data])
    weights = torch.cat([d.gt_instance_labels.keypoint_weights for d in data])
    matches, _ = head._match(cls_logits, coords, targets)
    loss_map = MODELS.build(MAP_LOSS)
    for layer in range(2):
        expected = 0
        for b in range(3):
            for k in range(4):
                one = maps[layer, b, matches[layer, b, k]][None, None]
                expected += loss_map(one, targets[b, k].view(1, 1, 2), weights[b, k].view(1, 1))
        torch.testing.assert_close(losses[f'd{layer}.loss_map'], expected / 12)


def test_class_bias_gives_each_joint_its_query():
    head = build()
    cls_logits, coords = head.forward_layers(feats())
    targets = torch.cat([d.gt_instance_labels.keypoint_labels for d in samples(3)])
    matches, read_out = head._match(cls_logits, coords, targets)
    assert (matches == torch.arange(4)).all() and (read_out == torch.arange(4)).all()
    # the spare queries start as "no keypoint"
    assert (cls_logits[:, :, 4:].argmax(-1) == 4).all()
    # and a query may still be matched to another joint
    swapped = cls_logits.detach().clone()
    swapped[..., [0, 1], :] = swapped[..., [1, 0], :]
    matches, _ = head._match(swapped, coords, targets)
    assert (matches == torch.tensor([1, 0, 2, 3])).all()
    assert build(class_bias=0.0).class_bias is None


def test_codec_without_the_confidences():
    codec = dict(type='HungarianKeypointCodec', input_size=(24, 32), num_keypoints=4)
    with pytest.raises(ValueError, match='PixelPRTRTransformer have confidences, .*background=Tr'):
        build(decoder=codec)


def test_confidences_multiply_the_probabilities():
    head = build().eval()
    cls_logits, coords = head.forward_layers(feats(), last_layer_only=True)
    maps = head.transformer(feats(), last_layer_only=True).maps[-1]
    _, confidences = head.transformer.locate(softmax_maps(maps))
    found, found_coords = head(feats())
    torch.testing.assert_close(found_coords, coords[-1])
    expected = cls_logits[-1].softmax(-1)[..., :-1] * confidences[..., None]
    torch.testing.assert_close(found.softmax(-1)[..., :-1], expected)


def mirrored_pair(head, data):
    """Plain and mirrored maps of features, and the read-out of each."""
    pair = feats(), [x.roll(1, 0).flip(-1) for x in feats()]
    found = []
    for f in pair:
        output = head.transformer(f)
        cls_logits, coords = head.forward_layers(f, last_layer_only=True)
        queries, scores = head.decoder.assign(cls_logits[-1])
        found.append((output.maps[-1], coords[-1], queries, scores))
    return pair, found


def test_flip_test_locates_once(monkeypatch):
    """In the merged maps, and not in those of either half before."""
    head, data, calls = build().eval(), samples(3), []
    locate = head.transformer.locate
    monkeypatch.setattr(
        head.transformer, 'locate', lambda *args: calls.append(len(args)) or locate(*args)
    )
    head.predict((feats(), feats()), data, dict(flip_test=True))
    assert calls == [2]


@pytest.mark.parametrize('shift_coords', [False, True])
def test_flip_test_joint_by_joint(shift_coords):
    """Peaks of the mean of both maps, coordinates around them in each, and their mean."""
    head, data = build(transformer=dict(TRANSFORMER, peak_sigma=0)).eval(), samples(3)
    flip_indices = data[0].metainfo['flip_indices']
    pair, ((maps, _, queries, scores), (maps2, _, queries2, scores2)) = mirrored_pair(head, data)
    preds = head.predict(pair, data, dict(flip_test=True, shift_coords=shift_coords))
    h, w = maps.shape[-2:]
    for b in range(3):
        for k in range(4):
            j = flip_indices[k]
            plain = maps[b, queries[b, k]].flatten().softmax(0).view(h, w)
            other = maps2[b, queries2[b, j]].flatten().softmax(0).view(h, w)
            row, column = divmod((plain + other.flip(-1)).argmax().item(), w)
            points, shares = [], []
            for m, c in ((plain, column), (other, w - 1 - column)):
                total, x, y = 0.0, 0.0, 0.0
                for i in range(max(row - 2, 0), min(row + 3, h)):
                    for n in range(max(c - 2, 0), min(c + 3, w)):
                        p = m[i, n].item()
                        total, x, y = total + p, x + p * (n + 0.5) / w, y + p * (i + 0.5) / h
                points.append((x / total * 24, y / total * 32))
                shares.append(total)
            x = (points[0][0] + 24 - shift_coords - points[1][0]) / 2
            y = (points[0][1] + points[1][1]) / 2
            np.testing.assert_allclose(preds[b].keypoints[0, k], (x, y), rtol=1e-4)
            score = (scores[b, k] * shares[0] + scores2[b, j] * shares[1]) / 2
            np.testing.assert_allclose(preds[b].keypoint_scores[0, k], score.item(), rtol=1e-4)


def test_flip_test_finds_points_in_the_mean_of_both_maps():
    head, data = build().eval(), samples(3)
    flip_indices = data[0].metainfo['flip_indices']
    pair, ((maps, _, queries, scores), (maps2, _, queries2, scores2)) = mirrored_pair(head, data)
    preds = head.predict(pair, data, dict(flip_test=True, shift_coords=True))
    h, w = maps.shape[-2:]
    for b in range(3):
        for k in range(4):
            j = flip_indices[k]
            plain = maps[b, queries[b, k]].flatten().softmax(0).view(h, w)
            other = maps2[b, queries2[b, j]].flatten().softmax(0).view(h, w).flip(-1)
            point, peak = find_peaks((plain + other) / 2, 1.5)
            row, column = divmod(peak.item(), w)
            # the pixels of the mirrored crop are shifted by one
            expected = point * torch.tensor([24, 32]) - torch.tensor([0.5, 0])
            found = preds[b].keypoints[0, k]
            np.testing.assert_allclose(found, expected.detach(), rtol=1e-4, atol=1e-4)
            window = slice(max(row - 2, 0), row + 3), slice(max(column - 2, 0), column + 3)
            score = (scores[b, k] * plain[window].sum() + scores2[b, j] * other[window].sum()) / 2
            np.testing.assert_allclose(preds[b].keypoint_scores[0, k], score.item(), rtol=1e-4)


@pytest.mark.parametrize('flip_test', [False, True])
@pytest.mark.parametrize('peak_sigma', [0, 1.5])
@pytest.mark.parametrize('value', [torch.nan, torch.inf])
def test_broken_maps_are_refused(flip_test, peak_sigma, value):
    head, data = build(transformer=dict(TRANSFORMER, peak_sigma=peak_sigma)).eval(), samples(3)
    with torch.no_grad():
        head.transformer.kernel_embedding.weight[0, 0] = value
        pair = mirrored_pair(build().eval(), data)[0]
        with pytest.raises(FloatingPointError, match='PRTRHead predicted NaN or infinite'):
            head.predict(pair if flip_test else pair[0], data, dict(flip_test=flip_test))


def test_no_branch_for_coordinates():
    """Maps tell the coordinates, so that there is nothing to refine."""
    assert not len(build().kpt_branches)
    with pytest.raises(ValueError, match='with_kpt_refine=True moves reference points'):
        build(with_kpt_refine=True)


def test_map_loss_needs_maps():
    head = build_plain(loss_map=MAP_LOSS)
    with pytest.raises(ValueError, match='loss_map needs maps, which PRTRTransformer does not'):
        head.loss(maps_of(), samples(3))


def test_learns_a_batch():
    head, data = build(), samples(3)
    optimizer = torch.optim.AdamW(head.parameters(), lr=3e-3)
    for _ in range(80):
        optimizer.zero_grad()
        total(head.loss(feats(), data)).backward()
        optimizer.step()
    preds = head.eval().predict(feats(), data)
    for pred, sample in zip(preds, data):
        expected = sample.gt_instance_labels.keypoint_labels.numpy() * (24, 32)
        assert np.abs(pred.keypoints - expected).mean() < 2
