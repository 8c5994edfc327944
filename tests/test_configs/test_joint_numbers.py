"""14, 16, 21 and 133 joints: a step of training, and mmpose's metrics."""

from pathlib import Path

import pytest
import torch
from mmengine.runner import Runner

from helpers import tiny_datasets
from helpers.catalog import load_small
from prtr_plugin.datasets import check_data_files

# number of joints, config, dataset, and what a perfect prediction scores
CASES = [
    (
        14,
        'td-prtr_res50_4xb32-200e_crowdpose-384x288',
        'crowdpose',
        {'crowdpose/AP': 1, 'crowdpose/AP(M)': 1},
    ),
    (16, 'td-prtr_res50_4xb32-200e_mpii-256x256', 'mpii', {'PCK': 100}),
    (
        21,
        'td-prtr_res50_4xb32-200e_coco-wholebody-hand-256x256',
        'coco_wholebody',
        {'PCK': 1, 'EPE': 0},
    ),
    (
        133,
        'td-prtr_res50_4xb32-200e_coco-wholebody-384x288',
        'coco_wholebody',
        {'coco-wholebody/AP': 1, 'coco-wholebody/AR': 1},
    ),
]


def build_runner(name: str, data_root: Path, work_dir: Path) -> Runner:
    """A runner of one epoch of one step, with a small network."""
    cfg = load_small(name, data_root, work_dir, size=(72, 96))
    for split in ('train', 'val', 'test'):
        cfg[f'{split}_dataloader'].dataset.pipeline[-1].pack_transformed = True
    # as tools/train.py does
    check_data_files(cfg)
    return Runner.from_cfg(cfg)


def answer_truth(head, monkeypatch) -> None:
    """Let a head predict the annotated joints, through its own read-out.

    Some query in the middle answers to each joint, and those of the mirrored
    crops are mirrored.
    """
    predict = head.predict

    def predict_truth(feats, samples, test_cfg):
        coords = torch.cat(
            [torch.from_numpy(sample.gt_instances.transformed_keypoints) for sample in samples]
        ).float() / torch.tensor(head.decoder.input_size)
        if test_cfg.get('flip_test'):
            mirrored = coords[:, samples[0].metainfo['flip_indices']]
            coords = torch.cat((coords, torch.tensor([1, 0]) + mirrored * torch.tensor([-1, 1])))
        num_queries, num_joints = head.num_queries, head.out_channels
        order = torch.randperm(num_queries, generator=torch.Generator().manual_seed(0))
        classes = torch.full((num_queries,), num_joints)
        classes[order[:num_joints]] = torch.arange(num_joints)
        cls_logits = 20.0 * torch.eye(num_joints + 1)[classes]
        queries = torch.zeros(len(coords), num_queries, 2)
        queries[:, order[:num_joints]] = coords
        monkeypatch.setattr(
            head, 'forward', lambda feats: (cls_logits.expand(len(coords), -1, -1), queries)
        )
        return predict(feats, samples, test_cfg)

    monkeypatch.setattr(head, 'predict', predict_truth)


@pytest.mark.parametrize('num_joints, name, dataset, perfect', CASES)
def test_joint_number(num_joints, name, dataset, perfect, tmp_path, monkeypatch):
    data_root, work_dir = tmp_path / 'data', tmp_path / 'work_dir'
    getattr(tiny_datasets, f'write_{dataset}')(data_root)
    torch.manual_seed(0)
    runner = build_runner(name, data_root, work_dir)
    head = runner.model.head
    assert head.fc_cls.out_features == num_joints + 1
    assert head.num_queries == (300 if num_joints == 133 else 100)
    head.init_weights()
    before = head.fc_cls.weight.detach().clone()
    runner.train()
    assert not torch.equal(head.fc_cls.weight, before)
    losses = runner.message_hub.get_scalar('train/loss')
    assert len(losses._log_history) == 1
    # it names a metric that the evaluation puts out
    assert len(list(work_dir.glob('best_*.pth'))) == 1

    random = runner.val_loop.run()
    answer_truth(head, monkeypatch)
    truth = runner.val_loop.run()
    for metric, value in perfect.items():
        assert truth[metric] == pytest.approx(value, abs=1e-3), metric
        assert random[metric] != pytest.approx(value, abs=0.1), metric
