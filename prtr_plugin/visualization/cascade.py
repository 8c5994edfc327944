"""What the cascade looks at: boxes, sampling grids and joints."""

from collections.abc import Iterator
from contextlib import contextmanager
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
from .style import joint_colors, new_figure, show_image, side_handles


@contextmanager
def record_grids(model: PRTRCascade) -> Iterator[list[torch.Tensor]]:
    """Record where the crops of a cascade are sampled.

    Args:
        model (PRTRCascade): The model, which stays as it is

    Yields:
        List[Tensor]: Filled as the model runs: for each image of the last
        batch the positions [x, y] of its P_i people in the padded image,
        where the image spans [-1, 1], in shape (P_i, y_res, x_res, 2).
    """
    recorded = []

    def record(crop, args):
        _, boxes, valid_hw = args
        recorded[:] = [crop.grids(b[None].detach(), hw[None])[0] for b, hw in zip(boxes, valid_hw)]

    hook = model.crop.register_forward_pre_hook(record)
    try:
        yield recorded
    finally:
        hook.remove()


class CascadeResult(NamedTuple):
    """What a cascade found in an image.

    Args:
        sample (:obj:`PoseDataSample`): With the ``pred_instances`` of P people
        grids (np.ndarray): Sampling positions of their crops, in pixels of
            the image, in shape (P, y_res, x_res, 2)
    """

    sample: PoseDataSample
    grids: np.ndarray


@torch.no_grad()
def find_people(model: PRTRCascade, data_batch: dict) -> list[CascadeResult]:
    """Find people and record where their crops are sampled.

    Args:
        model (PRTRCascade): The model. Its ``test_cfg`` tells whom it keeps
        data_batch (dict): ``inputs`` and ``data_samples``, as the dataloader
            gives them

    Returns:
        List[CascadeResult]: One per image.

    Raises:
        TypeError: If the model is another one.
    """
    if not isinstance(model, PRTRCascade):
        raise TypeError(
            f'This needs PRTRCascade, but the model is {type(model).__name__}.'
            ' For two-stage models there are the other scripts of '
            'tools/visualizations.'
        )
    with record_grids(model) as recorded:
        samples = model.test_step(data_batch)
    results = []
    for i, sample in enumerate(samples):
        # without people in the whole batch nothing is cropped
        grids = np.zeros((0, *model.crop.resolution[::-1], 2))
        if recorded:
            height, width = sample.batch_input_shape
            # from the padded input to the image that it was resized from
            scale = np.divide(sample.ori_shape, sample.img_shape)[::-1]
            grids = (recorded[i].cpu().numpy() + 1) / 2
            grids = grids * (width, height) * scale
        results.append(CascadeResult(sample, grids))
    return results


def draw_cascade(image: np.ndarray, result: CascadeResult, dataset_meta: dict) -> Figure:
    """Draw boxes and sampling grids, and beside them the joints.

    Args:
        image (np.ndarray): RGB picture in shape (H, W, 3)
        result (:obj:`CascadeResult`): What was found in it
        dataset_meta (dict): Tells sides and links of the joints

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
    for i, (grid, box) in enumerate(zip(result.grids, people.bboxes)):
        color = palette(i % palette.N)
        found.plot(*grid.reshape(-1, 2).T, '.', color=color, markersize=2.5)
        for axis, line_width in ((found, 1.5), (read, 0.6)):
            boxes.append(
                Rectangle(
                    box[:2], *(box[2:] - box[:2]), fill=False, edgecolor=color, linewidth=line_width
                )
            )
            axis.add_patch(boxes[-1])
    for keypoints in people.keypoints:
        draw_pose(read, keypoints, dataset_meta)

    style = dict(fontsize=8, frameon=False)
    figure.legend(
        boxes[::2],
        [f'{score:.2f}' for score in people.bbox_scores],
        title='score',
        title_fontsize=8,
        loc='outside right upper',
        **style,
    )
    sampled = Line2D([], [], color='black', marker='.', linestyle='none', label='sampled place')
    handles = [sampled, *side_handles(dataset_meta)]
    figure.legend(handles=handles, loc='outside lower center', ncols=len(handles), **style)
    return figure


def draw_pose(axis: Axes, keypoints: np.ndarray, dataset_meta: dict) -> None:
    """Draw the joints of a person and the links between them.

    Args:
        axis (Axes): What to draw on
        keypoints (np.ndarray): Joints in pixels of the image in shape (K, 2)
        dataset_meta (dict): Tells sides and links of the joints
    """
    colors = joint_colors(dataset_meta)
    for a, b in dataset_meta['skeleton_links']:
        axis.plot(*keypoints[[a, b]].T, color='white', linewidth=2.2)
        axis.plot(*keypoints[[a, b]].T, color='dimgray', linewidth=0.9)
    axis.scatter(*keypoints.T, 14, color=colors, edgecolor='white', lw=0.5, zorder=3)
