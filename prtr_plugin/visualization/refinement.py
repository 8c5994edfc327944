"""Pictures of what the decoder levels of a two-stage PRTR read out."""

from collections.abc import Sequence

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from mmengine.structures import InstanceData
from mmpose.evaluation.functional import keypoint_nme, keypoint_pck_accuracy
from mmpose.structures import PoseDataSample
from mmpose.utils.typing import SampleList

from .style import (
    FONT_SIZE,
    LABEL_MARGIN,
    crop_region,
    joint_colors,
    joint_names,
    label_points,
    new_figure,
    show_image,
    side_handles,
)


def level_errors(
    keypoints: np.ndarray,
    annotated: np.ndarray,
    visible: np.ndarray,
    bboxes: np.ndarray,
    thr: float,
) -> list[dict[str, float]]:
    """Errors of the decoder levels over the annotated joints of people.

    Distances count in units of the longer side of the person's box, as in
    mmpose's ``PCKAccuracy`` with ``norm_item='bbox'``.

    Args:
        keypoints (np.ndarray): Joints read out in shape (N, L, K, 2)
        annotated (np.ndarray): Annotated joints in shape (N, K, 2)
        visible (np.ndarray): Positive for annotated joints, in shape (N, K)
        bboxes (np.ndarray): [x1, y1, x2, y2] of the people in shape (N, 4)
        thr (float): Distance up to which a joint is found

    Returns:
        List[Dict[str, float]]: For each level its number, counted from 1, the
        mean distance ``NME`` and the share ``PCK`` of joints that are found,
        averaged over the kinds of joints.

    Raises:
        ValueError: If no joint is annotated.
    """
    mask = visible > 0
    if not mask.any():
        raise ValueError(
            'The dataset has no annotated joints. If its boxes are '
            'detections, set its bbox_file to "".'
        )
    size = (bboxes[:, 2:] - bboxes[:, :2]).max(axis=1, keepdims=True)
    size = np.repeat(size, 2, axis=1)
    errors = []
    for level, found in enumerate(keypoints.swapaxes(0, 1), 1):
        _, pck, _ = keypoint_pck_accuracy(found, annotated, mask, thr, size)
        nme = keypoint_nme(found, annotated, mask, size)
        errors.append(dict(level=level, NME=float(nme), PCK=float(pck)))
    return errors


def draw_errors(errors: list[dict[str, float]], thr: float) -> Figure:
    """Draw the errors of the levels as a curve.

    Args:
        errors (List[Dict[str, float]]): See :func:`level_errors`
        thr (float): See :func:`level_errors`

    Returns:
        Figure: The picture.
    """
    figure = new_figure(6, 2.6)
    levels = [e['level'] for e in errors]
    for axis, name, title in zip(
        figure.subplots(1, 2),
        ('NME', 'PCK'),
        ('mean distance / box size', f'share of joints within {thr:g} of it'),
    ):
        values = [e[name] for e in errors]
        axis.plot(levels, values, 'o-', color='tab:blue')
        axis.set_title(title, fontsize=9)
        axis.set_ylim(0, max(values) * 1.2 or 1)
        axis.set(xlabel='decoder level', xticks=levels)
        axis.margins(x=0.12)
        for level, value in zip(levels, values):
            axis.annotate(
                f'{value:.3f}',
                (level, value),
                xytext=(0, 5),
                textcoords='offset points',
                ha='center',
                fontsize=FONT_SIZE,
            )
    return figure


def annotated_joints(sample: PoseDataSample) -> np.ndarray:
    """Annotated joints of a person in shape (N, 2), possibly none."""
    person = sample.get('gt_instances', InstanceData())
    if 'keypoints' not in person:
        return np.zeros((0, 2))
    return person.keypoints[0][person.keypoints_visible[0] > 0]


def draw_person(
    axis: Axes, image: np.ndarray, keypoints: np.ndarray, sample: PoseDataSample, dataset_meta: dict
) -> None:
    """Draw how a person's joints move from level to level.

    Args:
        axis (Axes): What to draw on
        image (np.ndarray): RGB picture in shape (H, W, 3)
        keypoints (np.ndarray): Joints of the levels, in pixels of the
            picture, in shape (L, K, 2)
        sample (:obj:`PoseDataSample`): Data sample of the person
        dataset_meta (dict): Tells names and sides of the joints
    """
    region = crop_region(sample.metainfo)
    show_image(axis, image, region, alpha=0.55)
    colors = joint_colors(dataset_meta)
    outline = [patheffects.withStroke(linewidth=2.8, foreground='white')]
    for path, color in zip(keypoints.swapaxes(0, 1), colors):
        axis.plot(*path.T, color=color, linewidth=1.4, path_effects=outline)
        axis.plot(*path[:-1].T, '.', color=color, markersize=4)
    first, last = keypoints[0], keypoints[-1]
    axis.scatter(*first.T, 22, facecolor='white', edgecolor=colors, zorder=3)
    axis.scatter(*last.T, 34, color=colors, edgecolor='black', zorder=4)

    axis.plot(*annotated_joints(sample).T, 'kx', ms=4, mew=0.9, zorder=5)
    label_points(axis, region, last, joint_names(dataset_meta), colors)


def draw_refinement(
    images: Sequence[np.ndarray], keypoints: np.ndarray, samples: SampleList, dataset_meta: dict
) -> Figure:
    """Draw the refinement of one or more people side by side.

    Args:
        images (Sequence[np.ndarray]): RGB picture of each person
        keypoints (np.ndarray): See :func:`read_levels`
        samples (List[:obj:`PoseDataSample`]): See :func:`read_levels`
        dataset_meta (dict): Tells names and sides of the joints

    Returns:
        Figure: The picture.
    """
    width, height = samples[0].metainfo['input_size']
    figure = new_figure(3.7 * (width / height + 2 * LABEL_MARGIN) * len(samples), 4.2)
    axes = figure.subplots(1, len(samples), squeeze=False)[0]
    for axis, image, person, sample in zip(axes, images, keypoints, samples):
        draw_person(axis, image, person, sample, dataset_meta)

    handles = side_handles(dataset_meta)
    num_levels = keypoints.shape[1]
    markers = [('level 1', dict(marker='o', mfc='white')), ('between', dict(marker='.'))][
        : num_levels - 1
    ]
    markers.append((f'level {num_levels}', dict(marker='o', mec='black')))
    if any(len(annotated_joints(sample)) for sample in samples):
        markers.append(('annotated', dict(marker='x', mec='black')))
    handles += [
        Line2D([], [], color='dimgray', linestyle='none', label=label, **style)
        for label, style in markers
    ]
    figure.legend(
        handles=handles,
        loc='outside lower center',
        ncols=min(len(handles), 4 * len(samples)),
        fontsize=8,
        frameon=False,
    )
    return figure
