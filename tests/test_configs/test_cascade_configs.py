"""The configs of the cascade: data, metrics and schedules fit together."""

import itertools

import pytest
from mmengine.dataset import Compose
from mmengine.hub import get_config
from mmengine.optim import build_optim_wrapper

from helpers.catalog import CASCADE_PLUS, FILES, build_without_memory, load

CASCADE = [name for name in FILES if name.startswith('prtr-cascade')]
CASCADE_COCO = [name for name in CASCADE if '_coco-800x1333' in name]


@pytest.mark.parametrize('name', CASCADE)
def test_cascade_data(name, mmpose_scope):
    """Whole images with everybody, and both metrics of both evaluations."""
    cfg = load(name)
    assert cfg.data_mode == 'bottomup'
    for split in ('train', 'val', 'test'):
        dataset = cfg[f'{split}_dataloader'].dataset
        assert dataset.type == 'CocoPersonDataset'
        assert dataset.get('test_mode', False) == (split != 'train')
        steps = Compose(dataset.pipeline).transforms
        types = [type(step).__name__ for step in steps]
        assert types[0] == 'LoadImage' and types[-1] == 'PackPersonInputs'
        if split != 'train':
            # anything else would misplace the people
            assert types[1:-1] == ['BottomupRandomChoiceResize']
            assert len(dataset.pipeline[1].scales) == 1
    keypoints, boxes = cfg.test_evaluator
    assert keypoints.type == 'SafeCocoMetric'
    assert keypoints.nms_mode == 'none'
    assert boxes.type == 'PersonBoxMetric'
    # test_configs.py compares their files with those of the data
    assert 'ann_file' in keypoints and 'ann_file' in boxes


@pytest.mark.parametrize('name', CASCADE_COCO)
def test_cascade_training(name):
    cfg = load(name)
    model = build_without_memory(name)
    frozen = 'frozen' in name
    assert model.freeze_detector == frozen
    assert frozen != any(p.requires_grad for p in model.detector.parameters())
    assert all(p.requires_grad for p in model.head.parameters())
    # nothing else may be downloaded, and nothing trained from random weights
    pretrained = cfg.model.detector.backbone.get('init_cfg')
    if 'hrnet' in name:
        assert cfg.load_from is None and pretrained.type == 'Pretrained'
        # it adds maps of stride 4 to enlarged ones of stride 32
        assert cfg.model.data_preprocessor.pad_size_divisor == 32
    else:
        depth = cfg.model.detector.backbone.depth
        assert f'_res{depth}_' in name.replace('-deformable', '')
        assert cfg.load_from.endswith(f'detr_r{depth}_person.pth')
        assert pretrained is None
    keep_empty = not cfg.train_dataloader.dataset.filter_cfg.filter_empty_gt
    assert keep_empty != frozen

    (scheduler,) = cfg.param_scheduler
    assert scheduler.milestones[-1] < scheduler.end
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    rates = {p: group['lr'] for group in wrapper.optimizer.param_groups for p in group['params']}
    slow = 'detector.backbone.' if 'hrnet' in name else 'detector.'
    for key, param in model.named_parameters():
        if param.requires_grad:
            where = 'reference_points' in key or 'sampling_offsets' in key
            expected = 1e-5 if key.startswith(slow) or where else 1e-4
            assert rates[param] == pytest.approx(expected), key


def test_cascade_augmentation():
    """DETR's, as mmdet's config has it."""
    detr = get_config('mmdet::detr/detr_r50_8xb2-150e_coco.py')
    detr = {step.type: step for step in detr.train_pipeline}
    for name in CASCADE_COCO:
        ours = {step.type: step for step in load(name).train_dataloader.dataset.pipeline}
        assert list(ours) == ['LoadImage', 'RandomFlip', 'RandomChoice', 'PackPersonInputs']
        assert ours['RandomFlip'] == dict(type='RandomFlip', direction='horizontal')
        theirs = [[dict(step) for step in branch] for branch in detr['RandomChoice'].transforms]
        for step in itertools.chain.from_iterable(theirs):
            step['type'] = dict(
                RandomChoiceResize='BottomupRandomChoiceResize', RandomCrop='PersonRandomCrop'
            )[step['type']]
        assert ours['RandomChoice'].transforms == theirs
        # the optimizer is DETR's too, apart from what is trained how fast
        wrapper = load(name).optim_wrapper
        assert wrapper.optimizer == dict(type='AdamW', lr=1e-4, weight_decay=1e-4)
        assert wrapper.clip_grad.max_norm == 0.1


@pytest.mark.parametrize('name', CASCADE_PLUS)
def test_head_of_prtr_plus(name):
    """That of the two-stage model of this backbone, on maps that fit together."""
    cfg = load(name)
    small = 'res18' in name
    two_stage = load(
        'td-prtr-plus_res18_1xb16-5e_synthetic-128x96'
        if small
        else 'td-prtr-plus_res50_4xb32-210e_coco-256x192'
    )
    head, theirs = (dict(c.model.head, decoder=None) for c in (cfg, two_stage))
    assert head == theirs
    assert cfg.codec.include_background and tuple(cfg.codec.input_size) == (1, 1)
    crops = cfg.model.crop
    assert [crop.levels for crop in crops] == [(i,) for i in range(3 if small else 4)]
    assert {(crop.zoom, crop.align_corners) for crop in crops} == {(1.25, False)}
    for fine, coarse in itertools.pairwise(crops):
        assert [2 * n for n in coarse.resolution] == list(fine.resolution)
    # everything else is that of the paper's head
    base = load('prtr-cascade_res50_8xb2-50e_coco-800x1333')
    if small:
        base = load('prtr-cascade_res18_1xb8-24e_synthetic-144x192')
    for key in ('train_dataloader', 'val_dataloader', 'val_evaluator', 'data_preprocessor'):
        assert cfg.get(key) == base.get(key), key
    detectors = [c.model.detector.to_dict() for c in (cfg, base)]
    for detector in detectors:
        # mmdet adds them when another test builds the model
        for key in ('train_cfg', 'test_cfg'):
            detector['bbox_head'].pop(key, None)
    assert detectors[0]['bbox_head'].pop('num_proposal_matches', 1) == (4 if small else 1)
    assert detectors[0] == detectors[1]


def test_cascade_parts_are_the_same():
    """Detectors can be exchanged between the variants of a backbone."""
    for depth in (50, 101):
        joint, frozen = [
            dict(load(name).model)
            for name in sorted(CASCADE_COCO)
            if f'cascade_res{depth}_' in name
        ]
        assert joint.pop('freeze_detector') != frozen.pop('freeze_detector')
        assert joint == frozen
