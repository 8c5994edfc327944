"""Weights for other joints."""

import pytest
import torch

from prtr_plugin.checkpoints import CheckpointError, joint_names, map_joints


def meta(*names):
    return dict(keypoint_id2name=dict(enumerate(names)))


def weights(num_joints, start):
    rows = start + torch.arange(num_joints + 1.0)
    return {
        'head.fc_cls.weight': rows[:, None].repeat(1, 4),
        'head.fc_cls.bias': rows,
        'backbone.weight': torch.full((2,), start),
    }


def test_rows():
    old, new = weights(3, 100.0), weights(4, 200.0)
    mapped = map_joints(old, meta('nose', 'wrist', 'neck'), new, meta('top', 'neck', 'nose', 'toe'))
    # top and toe are new, and the last row is that of "no keypoint"
    expected = torch.tensor([200.0, 102.0, 100.0, 203.0, 103.0])
    assert torch.equal(mapped['head.fc_cls.bias'], expected)
    assert torch.equal(mapped['head.fc_cls.weight'], expected[:, None].repeat(1, 4))
    assert torch.equal(mapped['backbone.weight'], old['backbone.weight'])
    assert list(mapped) == list(old)
    # what it was given stays as it is
    assert torch.equal(new['head.fc_cls.bias'], weights(4, 200.0)['head.fc_cls.bias'])


def test_class_bias():
    """Each query keeps its joint; a new joint gets a query that has none."""
    old, new = weights(3, 0.0), weights(4, 0.0)
    # query k for joint k, of five
    classes = torch.arange(5)
    old['head.class_bias'] = 4.0 * torch.eye(4)[classes.clamp(max=3)] + 0.1
    new['head.class_bias'] = 4.0 * torch.eye(5)[classes.clamp(max=4)]
    mapped = map_joints(old, meta('nose', 'wrist', 'neck'), new, meta('top', 'neck', 'nose', 'toe'))
    bias = mapped['head.class_bias']
    assert bias.shape == (5, 5)
    # nose, top instead of wrist, neck, toe instead of none, none
    assert bias.argmax(dim=1).tolist() == [2, 0, 1, 3, 4]
    assert bias[0, 2] == pytest.approx(4.1) and bias[1, 0] == 4.0
    # fewer joints: the query of the one that is gone becomes a spare one
    new = weights(1, 0.0)
    new['head.class_bias'] = 4.0 * torch.eye(2)[classes.clamp(max=1)]
    bias = map_joints(old, meta('nose', 'wrist', 'neck'), new, meta('neck'))['head.class_bias']
    assert bias.argmax(dim=1).tolist() == [1, 1, 0, 1, 1]


def test_class_bias_of_mapped_weights():
    """A query keeps the joint that it has got, whatever its number."""

    def new(num_joints):
        bias = 4.0 * torch.eye(num_joints + 1)[torch.arange(5).clamp(max=num_joints)]
        return {**weights(num_joints, 0.0), 'head.class_bias': bias}

    names = meta('nose', 'wrist'), meta('wrist', 'pelvis'), meta('pelvis', 'tip')
    once = map_joints(new(2), names[0], new(2), names[1])
    assert once['head.class_bias'].argmax(dim=1).tolist() == [1, 0, 2, 2, 2]
    twice = map_joints(once, names[1], new(2), names[2])
    # pelvis keeps query 0
    assert twice['head.class_bias'].argmax(dim=1).tolist() == [0, 1, 2, 2, 2]


def test_names_in_their_order():
    assert joint_names(dict(keypoint_id2name={1: 'b', 0: 'a'})) == ['a', 'b']


def test_errors():
    old, new = weights(3, 0.0), weights(2, 0.0)
    names, new_names = meta('a', 'b', 'c'), meta('a', 'b')
    with pytest.raises(CheckpointError, match='no head.fc_cls.weight for 2 joints'):
        map_joints(old, new_names, new, new_names)
    with pytest.raises(CheckpointError, match='no head.fc_cls.weight for 3 joints'):
        map_joints(old, names, new, names)
    del old['head.fc_cls.bias']
    with pytest.raises(CheckpointError, match='no head.fc_cls.bias for 3 joints'):
        map_joints(old, names, new, new_names)
