"""Predictions beside ground truth."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import mmcv
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from mmengine.dataset import BaseDataset, pseudo_collate
from mmengine.model import BaseModel
from mmengine.structures import InstanceData
from mmpose.structures import PoseDataSample, merge_data_samples
from mmpose.visualization import PoseLocalVisualizer

from .style import new_figure


def annotated_people(infos: Sequence[dict]) -> InstanceData:
    """The people of an image as annotated, in pixels of the image.

    Those in the data samples have gone through the pipeline, which resizes
    whole images together with the people in them.

    Args:
        infos (Sequence[dict]): All entries of the dataset for this image

    Returns:
        InstanceData: ``bboxes``, ``keypoints`` and ``keypoints_visible``,
        without crowds. It is empty for an image without people.
    """
    people = []
    for info in infos:
        if 'bbox' in info:
            visible = info['keypoints_visible']
            if visible.ndim == 3:  # beside weights, of joints that mmpose has converted
                visible = visible[..., 0]
            found = InstanceData(
                bboxes=info['bbox'], keypoints=info['keypoints'], keypoints_visible=visible
            )
            crowd = info.get('iscrowd', np.zeros(len(found)))
            people.append(found[np.atleast_1d(crowd) == 0])
    return InstanceData.cat(people) if people else InstanceData()


@torch.no_grad()
def predict_images(
    model: BaseModel, dataset: BaseDataset, num_images: int, score_thr: float = 0.3
) -> Iterator[PoseDataSample]:
    """Predict all people in evenly spaced images of a dataset.

    Args:
        model (BaseModel): Model with mmpose's ``test_step``
        dataset (BaseDataset): Whole images or people
        num_images (int): Maximum number of images
        score_thr (float): Score above which a person is kept. Defaults to 0.3

    Yields:
        PoseDataSample: The ``gt_instances`` and ``pred_instances`` of a whole
        image.
    """
    entries = defaultdict(list)
    for i in range(len(dataset)):
        entries[dataset.get_data_info(i)['img_id']].append(i)
    images = list(entries.values())
    chosen = np.linspace(0, len(images) - 1, min(num_images, len(images)))
    for i in chosen.round().astype(int):
        batch = pseudo_collate([dataset[j] for j in images[i]])
        sample = merge_data_samples(model.test_step(batch))
        sample.gt_instances = annotated_people([dataset.get_data_info(j) for j in images[i]])
        found = sample.pred_instances
        sample.pred_instances = found[found.bbox_scores > score_thr]
        yield sample


def draw_scores(axis: Axes, found: InstanceData, left: float) -> None:
    """Write ``bbox_scores`` into the corners of ``bboxes``, ``left`` pixels to the right."""
    style = dict(facecolor='white', edgecolor='none', alpha=0.7, pad=0.5)
    for (x, y, *_), score in zip(found.bboxes, found.bbox_scores):
        axis.text(left + x, y, f'{score:.2f}', va='top', fontsize=6, bbox=style)


def draw_predictions(
    samples: Sequence[PoseDataSample],
    dataset_meta: dict,
    columns: int = 2,
    kpt_thr: float = 0.3,
    with_boxes: bool = False,
) -> Figure:
    """Draw the predictions of images beside their ground truth.

    Args:
        samples (Sequence[:obj:`PoseDataSample`]): See :func:`predict_images`
        dataset_meta (dict): Colours and links of the joints
        columns (int): Number of pairs in a row. Defaults to 2
        kpt_thr (float): Lowest score of a joint that is drawn. Defaults to 0.3
        with_boxes (bool): Whether to draw boxes, and the scores of predicted
            ones. Defaults to ``False``

    Returns:
        Figure: One panel for each pair.
    """
    visualizer = PoseLocalVisualizer(line_width=2, radius=3)
    visualizer.set_dataset_meta(dataset_meta)
    rows = -(-len(samples) // columns)
    figure = new_figure(6.4 * columns, 2.6 * rows)
    for i, sample in enumerate(samples):
        axis = figure.add_subplot(rows, columns, i + 1)
        axis.axis('off')
        axis.set_title(f'{Path(sample.img_path).name}: truth  |  prediction', fontsize=9)
        image = mmcv.imread(sample.img_path, channel_order='rgb')
        visualizer.add_datasample('pair', image, sample, draw_bbox=with_boxes, kpt_thr=kpt_thr)
        axis.imshow(visualizer.get_image())
        if with_boxes:
            draw_scores(axis, sample.pred_instances, image.shape[1])
    return figure
