import numpy as np
import pytest
import torch
from mmpose.registry import KEYPOINT_CODECS
from scipy.optimize import linear_sum_assignment

import prtr_plugin  # noqa: F401


def build(**kwargs):
    cfg = dict(type='HungarianKeypointCodec', input_size=(96, 128), num_keypoints=3)
    return KEYPOINT_CODECS.build({**cfg, **kwargs})


def random_outputs(batch_size, num_queries, num_keypoints, seed=0):
    g = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(batch_size, num_queries, num_keypoints + 1, generator=g)
    return logits, torch.rand(batch_size, num_queries, 2, generator=g)


def test_encode_normalises_and_hides_unlabelled_joints():
    keypoints = np.array([[[48.0, 32.0], [10.0, 20.0], [96.0, 128.0]]])
    visible = np.array([[1.0, 0.0, 1.0]])
    encoded = build().encode(keypoints, visible)
    np.testing.assert_allclose(encoded['keypoint_labels'], [[[0.5, 0.25], [0, 0], [1, 1]]])
    np.testing.assert_array_equal(encoded['keypoint_weights'], [[1, 0, 1]])
    assert encoded['keypoint_labels'].dtype == np.float32
    assert encoded['keypoint_weights'].dtype == np.float32


def test_encode_without_visibility_means_all_labelled():
    encoded = build().encode(np.ones((2, 3, 2)))
    np.testing.assert_array_equal(encoded['keypoint_weights'], np.ones((2, 3)))


def test_drop_outside_switch():
    keypoints = np.array([[[-1.0, 5.0], [5.0, 129.0], [5.0, 5.0]]])
    kept = build().encode(keypoints)
    np.testing.assert_array_equal(kept['keypoint_weights'], [[1, 1, 1]])
    assert kept['keypoint_labels'][0, 0, 0] < 0
    dropped = build(drop_outside=True).encode(keypoints)
    np.testing.assert_array_equal(dropped['keypoint_weights'], [[0, 0, 1]])
    np.testing.assert_array_equal(dropped['keypoint_labels'][0, :2], np.zeros((2, 2)))


def test_encode_another_number_of_joints():
    with pytest.raises(ValueError, match='4 keypoints.*num_keypoints=3'):
        build().encode(np.ones((1, 4, 2)))


@pytest.mark.parametrize('num_keypoints, num_queries', [(3, 3), (17, 100), (133, 300)])
@pytest.mark.parametrize('include_background', [False, True])
def test_batch_decode_equals_plain_loop(num_keypoints, num_queries, include_background):
    logits, coords = random_outputs(4, num_queries, num_keypoints)
    codec = build(num_keypoints=num_keypoints, include_background=include_background)
    keypoints, scores = codec.batch_decode(logits, coords)
    assert len(keypoints) == len(scores) == 4
    for i in range(4):
        x = logits[i] if include_background else logits[i, :, :-1]
        probs = x.softmax(-1)[:, :num_keypoints].numpy()
        queries, joints = linear_sum_assignment(-probs)
        expected = np.zeros((num_keypoints, 2))
        expected[joints] = coords[i].numpy()[queries] * (96, 128)
        expected_scores = np.zeros(num_keypoints)
        expected_scores[joints] = probs[queries, joints]
        assert keypoints[i].shape == (1, num_keypoints, 2)
        np.testing.assert_allclose(keypoints[i][0], expected, rtol=1e-5)
        np.testing.assert_allclose(scores[i][0], expected_scores, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize('num_conflicts', [0, 2])
def test_read_out_copies_joints_and_conflicts(num_conflicts, monkeypatch):
    """Of a batch of 4: coordinates, scores and a number; then the crops with a conflict."""
    logits, coords = torch.zeros(4, 5, 4), torch.rand(4, 5, 2)
    logits[:, range(3), range(3)] = 9
    # query 0 is that of joints 0 and 1
    logits[:num_conflicts, 1, 1], logits[:num_conflicts, 0, 1] = 0, 9
    copied = []
    monkeypatch.setattr(torch.Tensor, 'cpu', lambda x: copied.append(x.shape) or x)
    keypoints, _ = build().batch_decode(logits, coords)
    np.testing.assert_allclose(np.stack(keypoints)[:, 0, 2], coords[:, 2] * torch.tensor([96, 128]))
    assert copied == [(4, 3 * 3 + 1), (num_conflicts, 3 + 2, 5)][: 1 + bool(num_conflicts)]


def test_background_switch_changes_scores():
    logits, coords = random_outputs(1, 5, 3)
    without = build().batch_decode(logits, coords)[1][0]
    with_background = build(include_background=True).batch_decode(logits, coords)[1][0]
    assert (with_background < without).all()


def test_decode_takes_one_instance():
    logits, coords = random_outputs(2, 5, 3)
    codec = build()
    keypoints, scores = codec.decode(logits[1].numpy(), coords[1].numpy())
    batch_keypoints, batch_scores = codec.batch_decode(logits, coords)
    np.testing.assert_array_equal(keypoints, batch_keypoints[1])
    np.testing.assert_array_equal(scores, batch_scores[1])


def test_half_precision_reads_out():
    logits, coords = random_outputs(2, 5, 3)
    keypoints, _ = build().batch_decode(logits.bfloat16(), coords.bfloat16())
    assert keypoints[0].dtype == np.float32


def test_one_joint_is_that_of_the_surest_query():
    """Among one class all queries would have probability 1."""
    codec = build(num_keypoints=1)
    logits = torch.tensor([[-1.0, 1.0], [5.0, 1.0], [2.0, 1.0]])
    keypoints, scores = codec.decode(logits, torch.tensor([[0.1, 0.1], [0.5, 0.25], [0.9, 0.9]]))
    np.testing.assert_allclose(keypoints, [[[48, 32]]], rtol=1e-6)
    np.testing.assert_allclose(scores, [[1 / (1 + np.exp(-4))]], rtol=1e-6)


def test_encode_decode_round_trip():
    rng = np.random.default_rng(0)
    keypoints = rng.random((1, 3, 2)) * (96, 128)
    labels = build().encode(keypoints)['keypoint_labels'][0]
    logits = torch.full((3, 4), -20.0)
    logits[[0, 1, 2], [2, 0, 1]] = 20.0  # query i answers to joint (i + 2) % 3
    decoded, scores = build().decode(logits, torch.from_numpy(labels)[[2, 0, 1]])
    np.testing.assert_allclose(decoded, keypoints, atol=1e-4)
    np.testing.assert_allclose(scores, 1, atol=1e-6)


def test_decode_another_number_of_classes():
    logits, coords = random_outputs(1, 5, 4)
    with pytest.raises(ValueError, match='needs 4 class logits, but got 5'):
        build().batch_decode(logits, coords)


@pytest.mark.parametrize(
    'kwargs, match',
    [
        (dict(input_size=(0, 10)), 'input_size'),
        (dict(input_size=(10,)), 'input_size'),
        (dict(num_keypoints=0), 'num_keypoints'),
    ],
)
def test_bad_arguments(kwargs, match):
    with pytest.raises(ValueError, match=match):
        build(**kwargs)
