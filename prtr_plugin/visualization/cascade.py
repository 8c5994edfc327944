"""Boxes, sampling grids and joints of the cascade."""

from typing import NamedTuple

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from mmpose.structures import PoseDataSample

from ..models.estimators import PRTRCascade
from .layers import record_arguments
from .style import joint_colors, new_figure, show_image, side_handles


class CascadeResult(NamedTuple):
    """People that a cascade found in an image.

    Args:
        sample (:obj:`PoseDataSample`): Data sample with the ``pred_instances``
            of P people
        grids (np.ndarray): Sampling locations of their crops, in pixels of
            the image, in shape (P, y_res, x_res, 2)
    """

    sample: PoseDataSample
    grids: np.ndarray


@torch.no_grad()
def find_people(
    model: PRTRCascade, data_batch: dict, score_thr: float = 0.3
) -> list[CascadeResult]:
    """Find people and record where their crops are sampled.

    Args:
        model (PRTRCascade): The model
        data_batch (dict): ``inputs`` and ``data_samples``, as from a
            dataloader
        score_thr (float): Score above which a person is kept. Defaults to 0.3

    Returns:
        List[CascadeResult]: One per image.

    Raises:
        TypeError: If the model is not a :class:`PRTRCascade`.
    """
    if not isinstance(model, PRTRCascade):
        raise TypeError(
            f'This needs PRTRCascade, but the model is {type(model).__name__}. '
            'For two-stage models use the other scripts in tools/visualizations.'
        )
    crop = model.crop
    with record_arguments(crop) as recorded, model.score_threshold(score_thr):
        samples = model.test_step(data_batch)
    results = []
    for i, sample in enumerate(samples):
        # nothing is cropped if there are no people in the whole batch
        grids = np.zeros((0, *crop.resolution[::-1], 2))
        if crop in recorded:
            boxes, valid_hw = (recorded[crop][name][i] for name in ('boxes', 'valid_hw'))
            relative = (crop.grids(boxes[None], valid_hw[None])[0].cpu().numpy() + 1) / 2
            height, width = sample.batch_input_shape
            # from the padded input to the image that it was resized from
            scale = np.divide(sample.ori_shape, sample.img_shape)[::-1]
            grids = relative * (width, height) * scale
        results.append(CascadeResult(sample, grids))
    return results


def draw_cascade(image: np.ndarray, result: CascadeResult, dataset_meta: dict) -> Figure:
    """Draw boxes and sampling grids, and beside them the joints.

    Args:
        image (np.ndarray): RGB picture in shape (H, W, 3)
        result (:obj:`CascadeResult`): The people in it
        dataset_meta (dict): Sides and links of the joints

    Returns:
        Figure: The picture.
    """
    height, width = image.shape[:2]
    figure = new_figure(9.5, 4.2 * height / width + 0.8)
    found, read = figure.subplots(1, 2)
    for axis, title in ((found, 'boxes and where their crops are sampled'), (read, 'joints')):
        show_image(axis, image, (0, 0, width, height), alpha=0.6)
        axis.set_title(title, fontsize=9)

    people = result.sample.pred_instances
    palette = matplotlib.colormaps['tab10' if len(people) <= 10 else 'tab20']
    boxes = []
    for i, (grid, (x1, y1, x2, y2)) in enumerate(zip(result.grids, people.bboxes)):
        color = palette(i % palette.N)
        found.plot(*grid.reshape(-1, 2).T, '.', color=color, markersize=2.5)
        for axis, line_width in ((read, 0.6), (found, 1.5)):
            box = Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, ec=color, lw=line_width)
            axis.add_patch(box)
        boxes.append(box)
    for keypoints in people.keypoints:
        draw_pose(read, keypoints, dataset_meta)

    style = dict(fontsize=8, frameon=False)
    figure.legend(
        boxes,
        [f'{score:.2f}' for score in people.bbox_scores],
        title='score',
        title_fontsize=8,
        loc='outside right upper',
        **style,
    )
    sampled = Line2D([], [], color='black', marker='.', linestyle='none', label='sampling location')
    handles = [sampled, *side_handles(dataset_meta)]
    figure.legend(handles=handles, loc='outside lower center', ncols=len(handles), **style)
    return figure


def draw_pose(axis: Axes, keypoints: np.ndarray, dataset_meta: dict) -> None:
    """Draw the joints of a person, in shape (K, 2), and the links between them."""
    colors = joint_colors(dataset_meta)
    for a, b in dataset_meta['skeleton_links']:
        axis.plot(*keypoints[[a, b]].T, color='white', linewidth=2.2)
        axis.plot(*keypoints[[a, b]].T, color='dimgray', linewidth=0.9)
    x, y = keypoints.T
    axis.scatter(x, y, 14, color=colors, edgecolor='white', lw=0.5, zorder=3)
