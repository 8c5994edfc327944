import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from mmpose.registry import DATASETS
from mmpose.structures import PoseDataSample

from prtr_plugin.apis import load_config
from prtr_plugin.visualization import draw_predictions, figure_to_image, predict_images
from prtr_plugin.visualization.predictions import annotated_people, draw_scores


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
    # pipelines write into what they get
    dataset.get_data_info = lambda i: copy.deepcopy(infos[i])
    return dataset


def test_people_of_whole_images(whole_images):
    """Predictions above the score, and the ground truth in pixels of the
    image file, whatever the pipeline makes of it."""
    infos = [whole_images.get_data_info(i) for i in range(4)]
    samples = list(predict_images(FakeCascade(), whole_images, 10, score_thr=0.3))
    assert [sample.img_path for sample in samples] == [i['img_path'] for i in infos]
    for i, sample in enumerate(samples):
        assert sample.pred_instances.bbox_scores == [0.9]
        if i == 1:
            assert len(sample.gt_instances) == 0
        else:
            first = 1 if i == 0 else 0
            for name, key in (('bboxes', 'bbox'), ('keypoints', 'keypoints')):
                assert (sample.gt_instances[name] == infos[i][key][first:]).all()
    nobody = list(predict_images(FakeCascade(), whole_images, 1, score_thr=0.9))
    assert len(nobody) == 1 and len(nobody[0].pred_instances) == 0


def test_scores():
    texts = []
    axis = SimpleNamespace(text=lambda *args, **_: texts.append(args))
    draw_scores(
        axis,
        InstanceData(
            bboxes=np.array([[10, 20, 50, 100], [1, 2, 3, 4]]), bbox_scores=np.array([0.987, 0.5])
        ),
        160,
    )
    assert texts == [(170, 20, '0.99'), (161, 2, '0.50')]


def test_picture(whole_images):
    """Pairs of the size of two images, with the boxes' scores or without."""
    samples = list(predict_images(FakeCascade(), whole_images, 3))
    meta = whole_images.metainfo
    figure = draw_predictions(samples, meta, columns=2, with_boxes=True)
    assert figure_to_image(figure).shape[1] == 2 * 6.4 * 120
    assert [axis.images[0].get_array().shape for axis in figure.axes] == [(120, 320, 3)] * 3
    assert [text.get_text() for axis in figure.axes for text in axis.texts] == ['0.90'] * 3
    plain = draw_predictions(samples, meta, columns=2)
    assert not any(axis.texts for axis in plain.axes)
    pixels = [f.axes[1].images[0].get_array() for f in (figure, plain)]
    assert (pixels[0] != pixels[1]).any()
    unsure = draw_predictions(samples, meta, columns=2, kpt_thr=2)
    image = unsure.axes[1].images[0].get_array()
    # nobody is annotated in this image, and no joint is sure enough
    assert (image[:, :160] == image[:, 160:]).all()
    assert (pixels[1][:, :160] != pixels[1][:, 160:]).any()


def test_joints_that_mmpose_has_converted():
    """Their visibilities stand beside weights."""
    visible = np.array([[[1, 1], [0, 1]]])
    info = dict(bbox=np.ones((1, 4)), keypoints=np.ones((1, 2, 2)), keypoints_visible=visible)
    assert annotated_people([info]).keypoints_visible.tolist() == [[1, 0]]
