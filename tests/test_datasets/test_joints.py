"""Metainfo from names of joints."""

import pytest
from mmpose.datasets import CocoDataset
from mmpose.datasets.datasets.utils import parse_pose_metainfo

from prtr_plugin.datasets.joints import find_swaps, make_dataset_info, split_side


@pytest.mark.parametrize(
    'name, side, rest',
    [
        ('left_eye', 'left', 'eye'),
        ('LShoulder', 'left', 'shoulder'),
        ('RightBigToe', 'right', 'big_toe'),
        ('Eye.L', 'left', 'eye'),
        ('r-ankle', 'right', 'ankle'),
        ('hipRight', 'right', 'hip'),
        ('nose', 'middle', 'nose'),
        ('Leg', 'middle', 'leg'),
        ('Rump', 'middle', 'rump'),
        ('left', 'middle', 'left'),
        ('left_right_line', 'middle', 'left_right_line'),
    ],
)
def test_sides(name, side, rest):
    assert split_side(name) == (side, rest)


def test_the_same_as_mmpose_for_coco():
    """Joints, swaps and sigmas of COCO follow from the names alone."""
    theirs = parse_pose_metainfo(CocoDataset.METAINFO)
    names = [theirs['keypoint_id2name'][k] for k in range(17)]
    ours = parse_pose_metainfo(make_dataset_info('coco', names, theirs['skeleton_links']))
    for key in ('keypoint_id2name', 'flip_indices', 'skeleton_links', 'num_keypoints'):
        assert ours[key] == theirs[key], key
    assert set(ours['flip_pairs']) == set(theirs['flip_pairs'])
    assert ours['sigmas'].tolist() == theirs['sigmas'].tolist()
    # COCO's eyes and ears are blue
    colors = [meta['keypoint_colors'][5:].tolist() for meta in (ours, theirs)]
    assert colors[0] == colors[1]


def test_swaps_need_both_sides():
    assert find_swaps(['left_ear', 'head', 'right_ear', 'right_foot']) == {
        'left_ear': 'right_ear',
        'right_ear': 'left_ear',
    }


def test_given_values():
    info = make_dataset_info('x', ['a', 'b'], [[0, 1]], {'a': 'b', 'b': 'a'}, 0.05)
    assert info['sigmas'] == [0.05, 0.05]
    assert parse_pose_metainfo(info)['flip_indices'] == [1, 0]
    assert make_dataset_info('x', ['a', 'b'], sigmas=[0.1, 0.2])['sigmas'] == [0.1, 0.2]


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(joints=['a', 'a']), "'a'.* exist twice"),
        (dict(links=[[0, 2]]), 'links .* do not fit 2 joints'),
        (dict(swaps={'a': 'c'}), "names .'c'., which"),
        (dict(sigmas=[0.1]), 'one positive number or 2'),
        (dict(sigmas=-1), 'one positive number or 2'),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        make_dataset_info('x', **{'joints': ['a', 'b'], **options})
