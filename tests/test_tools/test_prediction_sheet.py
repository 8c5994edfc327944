from types import SimpleNamespace

import matplotlib.image
import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from mmpose.registry import DATASETS
from mmpose.structures import PoseDataSample

from prtr_plugin.apis import load_config


@pytest.mark.parametrize('split', ['train', 'test'])
def test_picture(run_tool, each_config, train_an_epoch, quick_options, tmp_path, split):
    out = tmp_path / 'folder' / 'sheet.png'
    result = run_tool(
        'visualizations/prediction_sheet.py',
        each_config,
        train_an_epoch(each_config),
        out,
        '--num-images=3',
        f'--split={split}',
        '--score-thr=0',
        '--bbox-thr=0',
        options=quick_options,
    )
    assert result.code == 0
    # two pairs in a row, two rows
    height, width = matplotlib.image.imread(out).shape[:2]
    assert width == 2 * 6.4 * 120
    assert height == pytest.approx(2 * 2.6 * 120, abs=1)


class FakeCascade(torch.nn.Module):
    """Finds two people in every image, one of them by a low score."""

    def test_step(self, batch):
        (sample,) = batch['data_samples']
        assert isinstance(sample, PoseDataSample)
        sample.pred_instances = InstanceData(
            bboxes=np.array([[10, 20, 50, 100], [0, 0, 160, 120.0]]),
            bbox_scores=np.array([0.9, 0.1]),
            keypoints=np.full((2, 17, 2), 30.0),
            keypoint_scores=np.ones((2, 17)),
            keypoints_visible=np.ones((2, 17)),
        )
        return [sample]


@pytest.fixture
def whole_images(cascade_config, quick_options, mmpose_scope):
    """The validation images of the cascade; one shows a crowd besides its
    people, and one nobody."""
    cfg = load_config(cascade_config, quick_options).val_dataloader.dataset
    dataset = DATASETS.build(cfg)
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    for name in ('bbox', 'keypoints', 'keypoints_visible', 'iscrowd'):
        infos[0][name] = infos[0][name][[0, *range(len(infos[0][name]))]]
        infos[1].pop(name)
    infos[0]['iscrowd'][0] = 1
    dataset.get_data_info = lambda i: infos[i]
    return dataset


def test_people_of_whole_images(load_tool, whole_images):
    """Predictions above the score, and the ground truth in pixels of the
    image file, whatever the pipeline makes of it."""
    tool = load_tool('visualizations/prediction_sheet.py')
    infos = [whole_images.get_data_info(i) for i in range(4)]
    samples = list(tool.predict_images(FakeCascade(), whole_images, 10, bbox_thr=0.3))
    assert [path for path, _ in samples] == [i['img_path'] for i in infos]
    for i, (_, sample) in enumerate(samples):
        assert sample.pred_instances.bbox_scores == [0.9]
        if i == 1:
            assert len(sample.gt_instances) == 0
        else:
            first = 1 if i == 0 else 0
            for name, key in (('bboxes', 'bbox'), ('keypoints', 'keypoints')):
                assert (sample.gt_instances[name] == infos[i][key][first:]).all()
    nobody = list(tool.predict_images(FakeCascade(), whole_images, 1, bbox_thr=0.9))
    assert len(nobody) == 1 and len(nobody[0][1].pred_instances) == 0


def test_scores(load_tool):
    texts = []
    axis = SimpleNamespace(text=lambda *args, **_: texts.append(args))
    tool = load_tool('visualizations/prediction_sheet.py')
    tool.draw_scores(
        axis,
        InstanceData(
            bboxes=np.array([[10, 20, 50, 100], [1, 2, 3, 4]]), bbox_scores=np.array([0.987, 0.5])
        ),
        160,
    )
    assert texts == [(170, 20, '0.99'), (161, 2, '0.50')]


def test_needs_an_image(run_tool, small_config, checkpoint, capsys):
    result = run_tool(
        'visualizations/prediction_sheet.py',
        small_config,
        checkpoint,
        'sheet.png',
        '--num-images=0',
    )
    assert result.code == 2
    assert '--num-images' in capsys.readouterr().err
