"""Two datasets at once: COCO, and MPII with COCO's joints."""

import copy

import numpy as np
import pytest
import torch
from mmengine.runner import Runner
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.registry import DATASETS

from helpers import tiny_datasets
from helpers.catalog import load_small
from prtr_plugin.datasets import check_data_files

NAME = 'td-prtr_res50_4xb32-200e_coco-mpii-384x288'
# those that MPII lacks: nose, eyes, ears
FACE = [0, 1, 2, 3, 4]


@pytest.fixture(scope='module')
def data_root(tmp_path_factory):
    root = tmp_path_factory.mktemp('data')
    tiny_datasets.write_coco(root / 'coco')
    tiny_datasets.write_mpii(root / 'mpii')
    return root


@pytest.fixture
def cfg(data_root, tmp_path):
    return load_small(NAME, data_root, tmp_path, size=(72, 96))


def joints(dataset_name):
    """Names of the joints of a dataset of mmpose."""
    return parse_pose_metainfo(dict(from_file=f'configs/_base_/datasets/{dataset_name}.py'))[
        'keypoint_id2name'
    ]


def test_mapping_keeps_the_names(cfg):
    _, mpii = cfg.train_dataloader.dataset.datasets
    (converter,) = mpii.pipeline
    mpii, coco = joints('mpii'), joints('coco')
    assert converter.num_keypoints == len(coco)
    assert [mpii[i] for i, _ in converter.mapping] == [coco[j] for _, j in converter.mapping]
    common = set(mpii.values()) & set(coco.values())
    assert len(converter.mapping) == len(common) == 12


def test_converted_joints(cfg, mmpose_scope):
    """The joints of MPII get their numbers in COCO, and the face is unlabelled,
    whether a person is mirrored or not."""
    dataset_cfg = copy.deepcopy(cfg.train_dataloader.dataset)
    # no random turns and sizes
    dataset_cfg.pipeline = [
        step for step in dataset_cfg.pipeline if step.type != 'RandomBBoxClippedNormal'
    ]
    dataset = DATASETS.build(dataset_cfg)
    coco, mpii = dataset.datasets
    assert len(coco) == len(mpii) == 4 and len(dataset) == 8
    mpii_cfg = cfg.train_dataloader.dataset.datasets[1]
    (converter,) = mpii_cfg.pipeline
    raw = DATASETS.build(dict(mpii_cfg, pipeline=[]))[0]
    flips = set()
    for seed in range(8):
        np.random.seed(seed)
        packed = dataset[4]
        sample = packed['data_samples']
        labels = sample.gt_instance_labels
        weights = labels.keypoint_weights[0]
        flipped = sample.metainfo['flip']
        flips.add(flipped)
        assert not weights[FACE].any()
        assert not labels.keypoint_labels[0, FACE].any()
        flip_indices = sample.metainfo['flip_indices']
        center, scale = (sample.metainfo[f'input_{key}'] for key in ('center', 'scale'))
        for i, j in converter.mapping:
            joint = flip_indices[j] if flipped else j
            assert weights[joint] == (raw['keypoints_visible'][0, i] > 0)
            if not weights[joint]:
                continue
            x, y = raw['keypoints'][0, i]
            if flipped:
                x = tiny_datasets.WIDTH - 1 - x
            expected = (np.array([x, y]) - center) / scale + 0.5
            np.testing.assert_allclose(labels.keypoint_labels[0, joint], expected, atol=1e-4)
    assert flips == {True, False}


def test_trains_on_both(cfg, monkeypatch):
    torch.manual_seed(0)
    check_data_files(cfg, ('train', 'val'))
    runner = Runner.from_cfg(cfg)
    head = runner.model.head
    seen = []
    loss_by_feat = head.loss_by_feat

    def spy(cls_logits, coords, keypoint_labels, keypoint_weights, maps=None):
        coords.retain_grad()
        losses = loss_by_feat(cls_logits, coords, keypoint_labels, keypoint_weights)
        seen.append(
            (
                coords,
                keypoint_labels,
                keypoint_weights,
                head._match(cls_logits, coords, keypoint_labels)[0][-1],
                losses,
            )
        )
        return losses

    is_mpii = []
    loss = head.loss

    def loss_with_sources(feats, samples, train_cfg):
        is_mpii.extend('/mpii/' in sample.metainfo['img_path'] for sample in samples)
        return loss(feats, samples, train_cfg=train_cfg)

    monkeypatch.setattr(head, 'loss_by_feat', spy)
    monkeypatch.setattr(head, 'loss', loss_with_sources)
    runner.train()

    # one step of all people of both
    ((coords, labels, weights, matches, losses),) = seen
    mpii = torch.tensor(is_mpii)
    assert len(mpii) == 8 and mpii.sum() == 4
    assert not weights[mpii][:, FACE].any()
    # all others but one, see tiny_datasets
    assert (weights.sum(dim=1) == torch.where(mpii, 11, 16)).all()
    assert weights[~mpii][:, FACE].all()

    # the L1 loss is that of the labelled joints, in loops
    total = 0.0
    for b, k in weights.nonzero().tolist():
        found = coords[-1, b, matches[b, k]]
        total += (found - labels[b, k]).abs().sum().item()
    assert losses['loss_kpt'].item() == pytest.approx(17 * 5 * total / (8 * 17 * 2), rel=1e-4)
    # and no gradient reaches the coordinates of the face of MPII's people
    for b in mpii.nonzero().flatten().tolist():
        face = matches[b, FACE]
        assert not coords.grad[-1, b, face].any()
        assert coords.grad[-1, b].any()


def test_sample_ratio(cfg, mmpose_scope):
    """The switch that the README names."""
    cfg.merge_from_dict({'train_dataloader.dataset.sample_ratio_factor': [1.0, 0.5]})
    assert DATASETS.build(cfg.train_dataloader.dataset).lens == [4, 2]


def test_tested_on_coco(cfg):
    assert cfg.val_dataloader.dataset.type == 'CocoDataset'
    assert cfg.val_evaluator.type == 'SafeCocoMetric'
    assert cfg.val_evaluator.ann_file == (
        f'{cfg.val_dataloader.dataset.data_root}{cfg.val_dataloader.dataset.ann_file}'
    )
