"""Where the queries of a deformable two-stage PRTR sample the features."""

from collections.abc import Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from mmengine.model import BaseModel
from mmpose.structures import PoseDataSample

from ..models.transformers import DeformablePRTRTransformer
from .layers import check_model, crop_region, read_layers, record_arguments, to_index
from .style import crop_panels, joint_colors, joint_indices, joint_names


class JointSampling(NamedTuple):
    """Sampling locations for the joints of one person.

    Args:
        layer (int): Decoder layer, counted from 1
        sample (:obj:`PoseDataSample`): Data sample of the person
        keypoints (np.ndarray): Joints in pixels of the image, in shape (K, 2)
        locations (np.ndarray): Sampling locations of the query of each joint,
            in pixels of the image, in shape
            (K, heads, feature levels, points, 2)
        weights (np.ndarray): Their weights in shape
            (K, heads, feature levels, points), which sum to 1 for each head
    """

    layer: int
    sample: PoseDataSample
    keypoints: np.ndarray
    locations: np.ndarray
    weights: np.ndarray


@torch.no_grad()
def sample_joints(
    model: BaseModel, data_batch: dict, layer: int | None = None
) -> list[JointSampling]:
    """Run a deformable two-stage model and record the locations its joints sample.

    Args:
        model (BaseModel): See :func:`read_layers`, with
            :class:`DeformablePRTRTransformer`
        data_batch (dict): See :func:`read_layers`
        layer (int, optional): Decoder layer, counted from 1, whose sampling
            and whose joints are returned. Defaults to the last one

    Returns:
        List[JointSampling]: One per person.

    Raises:
        TypeError: If the model is of another kind.
        ValueError: If there is no such layer.
    """
    layers = check_model(model, DeformablePRTRTransformer).transformer.decoder.layers
    index = to_index('layer', layer, len(layers))
    attention = layers[index].cross_attn
    with record_arguments(attention) as recorded:
        outputs = read_layers(model, data_batch)
    names = ('query', 'query_pos', 'reference_points', 'levels')
    sampled = attention.sampling(*(recorded[attention][name] for name in names))

    people = []
    for sample, keypoints, queries, locations, weights in zip(
        outputs.data_samples,
        outputs.keypoints[index],
        outputs.queries[index],
        *(x.cpu().numpy() for x in sampled),
    ):
        x1, y1, x2, y2 = crop_region(sample.metainfo)
        locations = locations[queries] * (x2 - x1, y2 - y1) + (x1, y1)
        people.append(JointSampling(index + 1, sample, keypoints, locations, weights[queries]))
    return people


def draw_sampling(
    image: np.ndarray,
    sampling: JointSampling,
    dataset_meta: dict,
    head: int | None = None,
    joints: Sequence[str] | None = None,
) -> Figure:
    """Draw the locations that the joints of a person are sampled from.

    Args:
        image (np.ndarray): RGB picture in shape (H, W, 3)
        sampling (:obj:`JointSampling`): Sampling locations of the person
        dataset_meta (dict): Names and sides of the joints
        head (int, optional): Attention head, counted from 1. Defaults to all
        joints (Sequence[str], optional): Names of the joints to draw.
            Defaults to all

    Returns:
        Figure: One panel for each joint.

    Raises:
        ValueError: If there is no such head or joint.
    """
    num_heads, num_levels = sampling.weights.shape[1:3]
    shown = slice(None) if head is None else [to_index('head', head, num_heads)]
    indices = joint_indices(joints, dataset_meta)
    names, colors = joint_names(dataset_meta), joint_colors(dataset_meta)
    palette = matplotlib.colormaps['plasma'](np.linspace(0, 0.9, num_levels))

    figure, axes = crop_panels(image, crop_region(sampling.sample.metainfo), len(indices))
    for axis, k in zip(axes, indices):
        for i, color in enumerate(palette):
            x, y = sampling.locations[k, shown, i].reshape(-1, 2).T
            areas = 40 * sampling.weights[k, shown, i].flatten()
            axis.scatter(x, y, areas, color=color, linewidths=0, zorder=2)
        axis.plot(*sampling.keypoints[k], 'o', color=colors[k], mec='white', ms=6)
        axis.set_title(names[k], fontsize=7, color=colors[k])
    handles = [
        Line2D([], [], color=color, marker='o', linestyle='none', label=f'feature level {i + 1}')
        for i, color in enumerate(palette)
    ]
    figure.legend(handles=handles, loc='outside lower center', ncols=4, fontsize=8, frameon=False)
    heads = 'all heads' if head is None else f'head {head}'
    figure.suptitle(
        f'sampled by decoder layer {sampling.layer}, {heads}; areas are '
        'weights, the white-rimmed point is the joint',
        fontsize=8,
    )
    return figure
