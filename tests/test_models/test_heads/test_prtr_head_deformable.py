"""What the head has of its own with a deformable transformer; see also ``test_prtr_head.py``."""

import numpy as np
import pytest
import torch
from mmdet.models.layers import inverse_sigmoid

from helpers.small_heads import CHANNELS, FLIP, samples, total
from helpers.small_heads import build_deformable as build
from helpers.small_heads import feats as maps_of


def feats(batch_size=3, size=(4, 3), channels=CHANNELS):
    return maps_of(batch_size, size, channels)


@pytest.mark.parametrize('refine', [False, True])
@pytest.mark.parametrize('num_keypoints, size', [(3, (4, 3)), (17, (4, 3)), (133, (3, 5))])
def test_losses_and_predictions(num_keypoints, size, refine):
    num_queries = num_keypoints + 5
    head = build(num_keypoints, num_queries=num_queries, with_kpt_refine=refine)
    maps = feats(2, size)
    losses = head.loss(maps, samples(2, num_keypoints))
    names = [f'{p}loss_{n}' for p in ('d0.', 'd1.', '') for n in ('cls', 'kpt')]
    assert set(losses) == {*names, 'acc_pose'}
    total(losses).backward()
    for name, p in head.named_parameters():
        assert p.grad is not None and p.grad.isfinite().all(), name

    logits, coords = head.eval()(maps)
    assert logits.shape == (2, num_queries, num_keypoints + 1)
    assert coords.shape == (2, num_queries, 2)
    preds = head.predict(maps, samples(2, num_keypoints))
    for pred in preds:
        assert pred.keypoints.shape == (1, num_keypoints, 2)
        assert pred.keypoint_scores.shape == (1, num_keypoints)
        assert (pred.keypoints >= 0).all()
        assert (pred.keypoints <= (24, 32)).all()


def test_coordinates_of_one_query_written_out():
    """sigmoid(MLP + logit(reference)), where reference =
    sigmoid(linear(query position)), in every layer."""
    head, hidden = build(), []
    head.fc_cls.register_forward_hook(lambda module, args, out: hidden.append(args[0]))
    with torch.no_grad():
        _, coords = head.forward_layers(feats())

    def numpy(x):
        return x.detach().double().numpy()

    def linear(x, layer):
        return numpy(layer.weight) @ x + numpy(layer.bias)

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    q = 7
    position = numpy(head.transformer.query_embedding.weight)[q, :32]
    reference = sigmoid(linear(position, head.transformer.reference_points_fc))
    for layer in range(3):
        for image in range(3):
            x = numpy(hidden[0])[layer, image, q]
            for part in head.kpt_branches[0].layers[:2]:
                x = np.maximum(linear(x, part), 0)
            x = linear(x, head.kpt_branches[0].layers[2])
            expected = sigmoid(x + np.log(reference / (1 - reference)))
            np.testing.assert_allclose(coords[layer, image, q], expected, atol=1e-5)


def test_refinement_written_out():
    """Each layer is relative to the coordinates of the one before."""
    head, hidden = build(with_kpt_refine=True), []
    head.fc_cls.register_forward_hook(lambda module, args, out: hidden.append(args[0]))
    with torch.no_grad():
        _, coords = head.forward_layers(feats())
        reference = head.transformer.reference_points_fc(
            head.transformer.query_embedding.weight[:, :32]
        ).sigmoid()
        for layer, branch in enumerate(head.kpt_branches):
            reference = (branch(hidden[0][layer]) + inverse_sigmoid(reference)).sigmoid()
            torch.testing.assert_close(coords[layer], reference)


def test_refinement_changes_the_outputs_and_trains():
    plain, refine = build(), build(with_kpt_refine=True)
    state = plain.state_dict()
    for key in [k for k in state if k.startswith('kpt_branches.0.')]:
        for i in (1, 2):
            state[key.replace('.0.', f'.{i}.', 1)] = state[key]
    refine.load_state_dict(state)
    a, b = plain.forward_layers(feats()), refine.forward_layers(feats())
    # the first layer has the same reference points, and others have not
    torch.testing.assert_close(b[1][0], a[1][0])
    assert (b[1][1:] - a[1][1:]).abs().amax((1, 2, 3)).min() > 1e-3
    assert (b[0][1:] - a[0][1:]).abs().amax((1, 2, 3)).min() > 1e-5

    data = samples(3)
    optimizer = torch.optim.AdamW(refine.parameters(), lr=1e-3)
    values = []
    for _ in range(30):
        loss = total(refine.loss(feats(), data))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert values[-1] < 0.6 * values[0]
    branches = [p.detach() for p in refine.kpt_branches.parameters()]
    assert not torch.equal(branches[0], branches[len(branches) // 3])


def test_coordinate_branches_learn_from_their_layer_alone():
    head = build(with_kpt_refine=True)
    losses = head.loss(feats(), samples(3))
    losses['loss_kpt'].backward()
    moved = [b.layers[0].weight.grad.any() for b in head.kpt_branches]
    assert moved == [False, False, True]


@pytest.mark.parametrize('refine', [False, True])
def test_forward_is_the_last_layer(refine):
    head = build(with_kpt_refine=refine)
    for one, layers in zip(head(feats()), head.forward_layers(feats())):
        torch.testing.assert_close(one, layers[-1])


@pytest.mark.parametrize(
    'in_channels, num_levels, sizes',
    [
        (CHANNELS, 3, [(16, 12), (8, 6), (4, 3)]),
        (CHANNELS, 5, [(16, 12), (8, 6), (4, 3), (2, 2), (1, 1)]),
        ([8, 16], 3, [(8, 6), (4, 3), (2, 2)]),
        ([16], 1, [(4, 3)]),
        (16, 4, [(4, 3), (2, 2), (1, 1), (1, 1)]),
    ],
)
def test_number_of_feature_levels(in_channels, num_levels, sizes):
    """The last maps are used, and followed by halves of the last one."""
    head = build(in_channels=in_channels, transformer=dict(num_feature_levels=num_levels))
    seen = []
    head.transformer.input_proj.register_forward_hook(lambda module, args, out: seen.extend(out))
    head.loss(feats(), samples(3))
    assert [tuple(x.shape) for x in seen] == [(3, 32, *s) for s in sizes]
    assert head.transformer.level_embed.shape == (num_levels, 32)


def test_every_used_map_counts():
    head = build().eval()
    base = head(feats())[0]
    for i in range(3):
        maps = list(feats())
        maps[i] = maps[i] + torch.randn_like(maps[i])
        assert (head(maps)[0] - base).abs().max() > 1e-3
    four = (torch.randn(3, 4, 32, 24), *feats())
    torch.testing.assert_close(head(four)[0], base)


def test_flip_test_averages_two_read_outs():
    head = build().eval()
    four = (torch.randn(2, 4, 32, 24), *feats(2))
    plain, mirrored = four, tuple(x.flip(-1) for x in four)
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


@pytest.mark.parametrize('refine', [False, True])
def test_initial_weights(refine):
    """Deformable DETR's: coordinates are the reference points."""
    head = build(with_kpt_refine=refine, random=False)
    head.init_weights()
    torch.testing.assert_close(head.fc_cls.bias, torch.full((5,), -np.log(99.0)).float())
    reference = head.transformer.reference_points_fc(
        head.transformer.query_embedding.weight[:, :32]
    ).sigmoid()
    _, coords = head.forward_layers(feats())
    torch.testing.assert_close(coords, reference.expand_as(coords))
    for name, p in head.transformer.input_proj.named_parameters():
        if name.endswith('conv.bias'):
            assert not p.any()


@pytest.mark.parametrize(
    'kwargs, match',
    [
        (
            dict(transformer=dict(num_feature_levels=2)),
            r'\[6, 8, 16\] .* 3 feature maps.*num_feature_levels=2.*or more',
        ),
        (dict(in_channels=[]), r'in_channels=\[\] .*0 feature maps'),
        (dict(num_queries=3), 'num_queries=3 is less than out_channels=4'),
        (dict(embed_dims=64), 'positional_encoding has 32 channels'),
        (dict(transformer=dict(num_heads=5)), 'embed_dims=32 .*num_heads=5'),
        (dict(transformer=dict(num_decoder_layers=0)), 'num_decoder_layers'),
    ],
)
def test_bad_arguments(kwargs, match):
    with pytest.raises(ValueError, match=match):
        build(**kwargs)


@pytest.mark.parametrize(
    'maps, found', [(feats()[1:], r'\[8, 16\]'), (feats()[::-1], r'\[16, 8, 6\]')]
)
def test_wrong_maps(maps, found):
    head = build()
    match = rf'in_channels=\[6, 8, 16\] but .*{found} channels.*out_indices'
    with pytest.raises(ValueError, match=match):
        head.loss(maps, samples(3))
    with pytest.raises(ValueError, match=match):
        head.predict([maps, maps], samples(3), dict(flip_test=True))


def test_non_finite_outputs_name_the_head():
    head = build()
    head.fc_cls.bias.data[0] = float('nan')
    with pytest.raises(FloatingPointError, match='PRTRHead predicted NaN'):
        head.loss(feats(), samples(3))


def test_half_precision_trains():
    """Losses are near those of full precision, and all gradients finite."""
    head = build(with_kpt_refine=True)
    expected = head.loss(feats(), samples(3))
    with torch.autocast('cpu', dtype=torch.bfloat16):
        losses = head.loss(feats(), samples(3))
    total(losses).backward()
    assert losses['loss_kpt'].dtype == torch.float32
    assert total(losses).item() == pytest.approx(total(expected).item(), rel=0.03)
    for name, p in head.named_parameters():
        assert p.grad is not None and p.grad.isfinite().all(), name
