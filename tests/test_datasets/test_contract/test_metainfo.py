"""What a config says about joints."""

import copy
from pathlib import Path

import pytest
from mmengine.config import Config

from helpers.annotation_mutants import META, NAMES
from prtr_plugin.datasets.contract.metainfo import check_metainfo, compare_names

LSPE = Path(__file__).resolve().parents[3] / 'configs/body_2d_keypoint/prtr/_base_/lspe.py'


@pytest.fixture
def lspe():
    return copy.deepcopy(Config.fromfile(LSPE).dataset_info.to_dict())


def test_good_ones(lspe):
    findings, names = check_metainfo(lspe, 'a')
    assert findings == [] and names[:2] == ['right_ankle', 'right_knee'] and len(names) == 14
    assert check_metainfo(dict(from_file='configs/_base_/datasets/coco.py'), 'a') == ([], NAMES)
    assert len(META['sigmas']) == len(NAMES)


def first_joint(**kwargs):
    return lambda info: info['keypoint_info'][0].update(kwargs)


@pytest.mark.parametrize(
    'apply, field, words',
    [
        (lambda info: info['sigmas'].pop(), 'sigmas', 'is not 14 positive numbers'),
        (lambda info: info.update(sigmas=[0.0] * 14), 'sigmas', 'is not 14 positive'),
        (lambda info: info.update(sigmas=['a'] * 14), 'sigmas', 'is not 14 positive'),
        (lambda info: info['joint_weights'].append(1), 'joint_weights', 'is not 14'),
        (first_joint(swap='tail'), 'swap', 'of right_ankle is no joint'),
        (first_joint(swap='left_knee'), 'swap', 'of right_ankle is no joint'),
        (first_joint(name='right_knee'), 'keypoint_info', 'has a name twice'),
        (lambda info: info['skeleton_info'][0].update(link=('a', 'b')), 'link', 'is not a pair'),
        (lambda info: info['keypoint_info'].pop(3), 'keypoint_info', 'is not numbered 0 to 12'),
        (lambda info: info.pop('sigmas'), '', "lacks ['sigmas']"),
        (lambda info: info.update(keypoint_info=[]), 'keypoint_info', 'is not a dict'),
        (lambda info: info.update(from_file='gone.py'), 'from_file', 'cannot be read'),
    ],
)
def test_what_does_not_fit(lspe, apply, field, words):
    apply(lspe)
    findings, names = check_metainfo(lspe, 'a')
    assert names is None
    assert any(f.field == field and words in str(f) and f.section == 'metainfo' for f in findings)


@pytest.mark.parametrize(
    'found, expected, verdict',
    [
        ('left_eye nose', 'left_eye nose', 'same'),
        ('LeftEye NOSE', 'left_eye nose', 'same'),
        ('l-eye nose', 'left_eye nose', 'same'),
        ('nose left_eye', 'left_eye nose', 'other'),
        ('right_eye nose', 'left_eye nose', 'other'),
        ('eye nose', 'left_eye nose', 'other'),
        ('left_eye head', 'left_eye top_head', 'similar'),
        ('left_eye', 'left_eye nose', 'other'),
        ('鼻 左眼 右眼', '鼻 左眼 右眼', 'same'),
        ('鼻 右眼 左眼', '鼻 左眼 右眼', 'other'),
        ('left_眼 left_耳', 'left_耳 left_眼', 'other'),
        ('левый_глаз', 'правый_глаз', 'other'),
        ('+ *', '* +', 'other'),
    ],
)
def test_names(found, expected, verdict):
    assert compare_names(found.split(), expected.split()) == verdict
