"""From an annotation file through the configs' pipelines into the cascade."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from mmpose.registry import DATASETS, MODELS

from prtr_plugin.apis import load_config
from prtr_plugin.models.estimators.cascade_data import split_ground_truth

CONFIGS = Path(__file__).resolve().parents[2] / 'configs/body_2d_keypoint/prtr_cascade'
SMALL = CONFIGS / 'synthetic/prtr-cascade_res18_1xb8-24e_synthetic-144x192.py'
COCO = CONFIGS / 'coco/prtr-cascade_res50_8xb2-50e_coco-800x1333.py'

pytestmark = pytest.mark.usefixtures('mmpose_scope')


@pytest.fixture(scope='module')
def people(synthetic_people, tmp_path_factory):
    """The synthetic people, with a crowd, and pictures of nobody."""
    folder = tmp_path_factory.mktemp('cascade')
    (folder / 'annotations').mkdir()
    for split in ('train2017', 'val2017'):
        (folder / split).symlink_to(synthetic_people / split)
        name = f'annotations/person_keypoints_{split}.json'
        data = json.loads((synthetic_people / name).read_text())
        first, second = [image['id'] for image in data['images'][:2]]
        data['annotations'] = [
            dict(a, iscrowd=int(a['image_id'] == second))
            for a in data['annotations']
            if a['image_id'] != first
        ]
        (folder / name).write_text(json.dumps(data))
    return folder


def config(path, folder, **options):
    return load_config(str(path), dict(data_root=f'{folder}/', **options))


def steps(pipeline, **changes):
    """The pipeline with other settings of the transforms of some types."""
    if isinstance(pipeline, (list, tuple)):
        return [steps(step, **changes) for step in pipeline]
    pipeline = dict(pipeline)
    if 'transforms' in pipeline:
        pipeline['transforms'] = steps(pipeline['transforms'], **changes)
    pipeline.update(changes.get(pipeline['type'], {}))
    return pipeline


def batches(cfg, loader, size):
    loader = dict(
        cfg[loader], batch_size=size, num_workers=0, persistent_workers=False, drop_last=False
    )
    return list(Runner.build_dataloader(loader, seed=0))


def test_flip_swaps_joints(people):
    """The whole image is mirrored, at full size."""
    cfg = config(SMALL, people)
    dataset = dict(cfg.val_dataloader.dataset)
    load, *_, pack = cfg.train_pipeline
    plain = DATASETS.build(dict(dataset, pipeline=[load, pack]))
    flipped = DATASETS.build(
        dict(dataset, pipeline=[load, dict(cfg.train_pipeline[1], prob=1.0), pack])
    )
    swap = plain.metainfo['flip_indices']
    assert swap != sorted(swap)
    # the first image is one of a crowd: those of nobody are the last
    for i in range(len(plain)):
        before, after = plain[i], flipped[i]
        torch.testing.assert_close(after['inputs'], before['inputs'].flip(2))
        before = before['data_samples'].gt_instance_labels
        after = after['data_samples'].gt_instance_labels
        assert after.keys() == before.keys()
        if not before.keys():
            continue
        x, y = before.keypoints[:, swap].unbind(-1)
        torch.testing.assert_close(after.keypoints, torch.stack((159 - x, y), dim=-1))
        torch.testing.assert_close(after.keypoints_visible, before.keypoints_visible[:, swap])
        torch.testing.assert_close(after.iscrowd, before.iscrowd)
        x1, y1, x2, y2 = before.bboxes.unbind(-1)
        torch.testing.assert_close(after.bboxes, torch.stack((159 - x2, y1, 159 - x1, y2), dim=-1))


@pytest.mark.parametrize('path, size', [(SMALL, (144, 192)), (COCO, (800, 1067))])
def test_test_images_are_plainly_resized(people, path, size):
    """Sizes without padding, in (h, w), and the category for
    CocoMetric; boxes and joints follow."""
    cfg = config(path, people)
    dataset = dict(cfg.test_dataloader.dataset)
    dataset['pipeline'] = cfg.val_pipeline
    dataset = DATASETS.build(dataset)
    assert len(dataset) == 4
    for i in range(4):
        item = dataset[i]
        sample = item['data_samples']
        assert item['inputs'].shape == (3, *size)
        assert sample.img_shape == size and sample.ori_shape == (120, 160)
        assert sample.category_id == 1
        persons, crowds = split_ground_truth(sample, 17, 'cpu')
        info = dataset.get_data_info(i)
        assert len(persons) + len(crowds) == len(info.get('bbox', ()))
        scale = np.array([size[1] / 160, size[0] / 120])
        found = InstanceData.cat([persons, crowds])
        if 'bbox' in info:
            np.testing.assert_allclose(found.bboxes, info['bbox'] * np.tile(scale, 2), rtol=1e-5)
            np.testing.assert_allclose(found.keypoints, info['keypoints'] * scale, rtol=1e-5)


@pytest.mark.parametrize('path, scales', [(SMALL, [(96, 72)]), (COCO, [(72, 128), (96, 128)])])
def test_augmented_batches_train_and_predict(people, path, scales):
    """Flips, crops and sizes as in the config, at a smaller scale."""
    cfg = config(path, people)
    cfg.train_dataloader.dataset.pipeline = steps(
        cfg.train_pipeline,
        BottomupRandomChoiceResize=dict(scales=scales),
        PersonRandomCrop=(dict(crop_size=(40, 60)) if path == COCO else dict()),
    )
    torch.manual_seed(0)
    model = MODELS.build(config(SMALL, people).model)
    np.random.seed(0)
    shapes, nobody = set(), 0
    for batch in batches(cfg, 'train_dataloader', 4):
        batch = model.data_preprocessor(batch, training=True)
        for image, sample in zip(batch['inputs'], batch['data_samples']):
            h, w = sample.img_shape
            assert (image[:, h:] == 0).all() and (image[:, :, w:] == 0).all()
            shapes.add((h, w))
            labels = sample.gt_instance_labels
            nobody += not labels.keys()
            if labels.keys():
                assert len(labels.iscrowd) == len(labels.bboxes)
                assert (labels.bboxes >= 0).all()
                assert (labels.bboxes[:, 2:] <= torch.tensor([w, h])).all()
        losses = model(**batch, mode='loss')
        total, _ = model.parse_losses(losses)
        assert total.isfinite()
        total.backward()
    assert nobody == 1
    assert len(shapes) > 1 if path == COCO else shapes == {(72, 96)}

    model.eval()
    with torch.no_grad():
        found = model(**model.data_preprocessor(batch, training=False), mode='predict')
    for sample in found:
        keypoints = sample.pred_instances.keypoints
        assert keypoints.shape[1:] == (17, 2)
        assert (keypoints >= 0).all()
        assert (keypoints <= sample.ori_shape[::-1]).all()


def test_pictures_of_nobody(people):
    """Kept for joint training, left out for a frozen detector."""
    sizes = {
        'frozen' in path.stem: len(DATASETS.build(config(path, people).train_dataloader.dataset))
        for path in COCO.parent.glob('*res50*.py')
    }
    assert sizes == {False: 8, True: 7}


def test_runner(people, run_tool, tmp_path):
    """Two iterations, then keypoints and boxes evaluated in one run."""
    options = {
        'data_root': f'{people}/',
        'train_cfg.max_epochs': 1,
        'train_cfg.val_interval': 1,
        'param_scheduler.0.end': 2,
        'default_hooks.checkpoint.interval': 1,
        'default_hooks.logger.interval': 1,
        'train_dataloader.batch_size': 4,
    }
    for split in ('train', 'val', 'test'):
        options[f'{split}_dataloader.num_workers'] = 0
        options[f'{split}_dataloader.persistent_workers'] = False
    done = run_tool('train.py', SMALL, '--work-dir', tmp_path, options=options)
    assert done.code == 0, done.error
    (log,) = tmp_path.glob('*/vis_data/scalars.json')
    *train, val = map(json.loads, log.read_text().splitlines())
    assert [line['iter'] for line in train] == [1, 2]
    assert all(np.isfinite(line['loss']) for line in train)
    assert {'coco/AP', 'coco/bbox_AP'} <= set(val)

    done = run_tool(
        'test.py',
        SMALL,
        tmp_path / 'epoch_1.pth',
        '--work-dir',
        tmp_path,
        '--out',
        tmp_path / 'metrics.json',
        options=options,
    )
    assert done.code == 0, done.error
    metrics = json.loads((tmp_path / 'metrics.json').read_text())
    for name in ('coco/AP', 'coco/bbox_AP'):
        assert metrics[name] == pytest.approx(val[name])
