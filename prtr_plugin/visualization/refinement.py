"""How the joints of a two-stage PRTR move from one decoder layer to the next."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import mmcv
import mmengine
import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from mmengine.model import BaseModel
from mmengine.structures import InstanceData
from mmpose.evaluation.functional import keypoint_nme, keypoint_pck_accuracy
from mmpose.structures import PoseDataSample
from mmpose.utils.typing import SampleList

from ..fileio import write_file
from .layers import crop_region, read_layers
from .style import (
    FONT_SIZE,
    LABEL_MARGIN,
    joint_colors,
    joint_names,
    label_points,
    new_figure,
    save_figure,
    show_image,
    side_handles,
)


def layer_errors(keypoints: np.ndarray, people: InstanceData, thr: float) -> list[dict[str, float]]:
    """Errors of the decoder layers over the annotated joints of people.

    Distances are in units of the longer side of the person's box, as in
    mmpose's ``PCKAccuracy`` with ``norm_item='bbox'``.

    Args:
        keypoints (np.ndarray): Predicted joints in shape (L, N, K, 2)
        people (InstanceData): Annotated ``keypoints``, ``keypoints_visible``
            and ``bboxes`` of the N people
        thr (float): Largest distance of a correct joint

    Returns:
        List[Dict[str, float]]: For each layer its number ``layer``, counted
        from 1, the mean distance ``NME`` and the share ``PCK`` of correct
        joints, averaged over the K joints.

    Raises:
        ValueError: If no joint is annotated.
    """
    mask = people.keypoints_visible > 0
    if not mask.any():
        raise ValueError(
            'The dataset has no annotated joints. If its boxes are '
            'detections, set its bbox_file to "".'
        )
    size = (people.bboxes[:, 2:] - people.bboxes[:, :2]).max(axis=1, keepdims=True)
    norm = size.repeat(2, axis=1)
    errors = []
    for layer, found in enumerate(keypoints, 1):
        _, pck, _ = keypoint_pck_accuracy(found, people.keypoints, mask, thr, norm)
        nme = keypoint_nme(found, people.keypoints, mask, norm)
        errors.append(dict(layer=layer, NME=float(nme), PCK=float(pck)))
    return errors


def save_errors(
    model: BaseModel, data_loader: Iterable[dict], out_dir: Path, thr: float
) -> list[dict[str, float]]:
    """Write ``curve.json`` and ``curve.png``, the errors over a dataset.

    Args:
        model (BaseModel): See :func:`read_layers`
        data_loader (Iterable[dict]): Batches, see :func:`read_layers`
        out_dir (Path): Folder to write to
        thr (float): See :func:`layer_errors`

    Returns:
        List[Dict[str, float]]: See :func:`layer_errors`.

    Raises:
        TypeError: If the model is of another kind.
        ValueError: If no joint is annotated.
    """
    keypoints, people = [], []
    for data_batch in data_loader:
        outputs = read_layers(model, data_batch)
        keypoints.append(outputs.keypoints)
        people += [sample.gt_instances for sample in outputs.data_samples]
    errors = layer_errors(np.concatenate(keypoints, axis=1), InstanceData.cat(people), thr)
    with write_file(out_dir / 'curve.json') as file:
        mmengine.dump(dict(thr=thr, layers=errors), file, indent=2)
    save_figure(draw_errors(errors, thr), out_dir / 'curve.png')
    return errors


def draw_errors(errors: list[dict[str, float]], thr: float) -> Figure:
    """Draw the errors of the layers as a curve.

    Args:
        errors (List[Dict[str, float]]): See :func:`layer_errors`
        thr (float): See :func:`layer_errors`

    Returns:
        Figure: The picture.
    """
    figure = new_figure(6, 2.6)
    layers = [e['layer'] for e in errors]
    for axis, name, title in zip(
        figure.subplots(1, 2),
        ('NME', 'PCK'),
        ('mean distance / box size', f'share of joints within {thr:g} of it'),
    ):
        values = [e[name] for e in errors]
        axis.plot(layers, values, 'o-', color='tab:blue')
        axis.set_title(title, fontsize=9)
        axis.set_ylim(0, max(values) * 1.2 or 1)
        axis.set(xlabel='decoder layer', xticks=layers)
        axis.margins(x=0.12)
        style = dict(textcoords='offset points', ha='center', fontsize=FONT_SIZE)
        for layer, value in zip(layers, values):
            axis.annotate(f'{value:.3f}', (layer, value), xytext=(0, 5), **style)
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
    """Draw how a person's joints, in shape (L, K, 2), move from layer to layer."""
    region = crop_region(sample.metainfo)
    show_image(axis, image, region, alpha=0.55)
    colors = joint_colors(dataset_meta)
    outline = [patheffects.withStroke(linewidth=2.8, foreground='white')]
    for path, color in zip(keypoints.swapaxes(0, 1), colors):
        axis.plot(*path.T, color=color, linewidth=1.4, path_effects=outline)
        axis.plot(*path[:-1].T, '.', color=color, markersize=4)
    (x1, y1), (x2, y2) = keypoints[0].T, keypoints[-1].T
    axis.scatter(x1, y1, 22, facecolor='white', edgecolor=colors, zorder=3)
    axis.scatter(x2, y2, 34, color=colors, edgecolor='black', zorder=4)
    axis.plot(*annotated_joints(sample).T, 'kx', ms=4, mew=0.9, zorder=5)
    label_points(axis, region, keypoints[-1], joint_names(dataset_meta), colors)


def draw_refinement(
    images: Sequence[np.ndarray], keypoints: np.ndarray, samples: SampleList, dataset_meta: dict
) -> Figure:
    """Draw the refinement of one or more people side by side.

    Args:
        images (Sequence[np.ndarray]): RGB picture of each person
        keypoints (np.ndarray): Joints after each decoder layer, in pixels of
            the pictures, in shape (L, B, K, 2)
        samples (List[:obj:`PoseDataSample`]): Data samples of the B people
        dataset_meta (dict): Names and sides of the joints

    Returns:
        Figure: The picture.
    """
    width, height = samples[0].metainfo['input_size']
    figure = new_figure(3.7 * (width / height + 2 * LABEL_MARGIN) * len(samples), 4.2)
    axes = figure.subplots(1, len(samples), squeeze=False)[0]
    for axis, image, person, sample in zip(axes, images, keypoints.swapaxes(0, 1), samples):
        draw_person(axis, image, person, sample, dataset_meta)

    def marker(label: str, **style: Any) -> Line2D:
        return Line2D([], [], color='dimgray', linestyle='none', label=label, **style)

    num_layers = len(keypoints)
    handles = side_handles(dataset_meta)
    if num_layers > 1:
        handles.append(marker('layer 1', marker='o', mfc='white'))
    if num_layers > 2:
        handles.append(marker('between', marker='.'))
    handles.append(marker(f'layer {num_layers}', marker='o', mec='black'))
    if any(len(annotated_joints(sample)) for sample in samples):
        handles.append(marker('annotated', marker='x', mec='black'))
    ncols = min(len(handles), 4 * len(samples))
    figure.legend(
        handles=handles, loc='outside lower center', ncols=ncols, fontsize=8, frameon=False
    )
    return figure


def save_refinement(
    model: BaseModel, data_batch: dict, out_dir: Path, columns: int = 1
) -> Iterator[Path]:
    """Write pictures of the refinement of the people of a batch.

    Args:
        model (BaseModel): See :func:`read_layers`
        data_batch (dict): See :func:`read_layers`. Its images must be files
        out_dir (Path): Folder to write to
        columns (int): Number of people in a picture. Defaults to 1

    Yields:
        Path: Each picture, named after its first person.
    """
    outputs = read_layers(model, data_batch)
    paths = [sample.img_path for sample in outputs.data_samples]
    for start in range(0, len(paths), columns):
        part = slice(start, start + columns)
        images = [mmcv.imread(path, channel_order='rgb') for path in paths[part]]
        keypoints, samples = outputs.keypoints[:, part], outputs.data_samples[part]
        path = out_dir / f'{start:03d}_{Path(paths[start]).stem}.png'
        save_figure(draw_refinement(images, keypoints, samples, model.dataset_meta), path)
        yield path
