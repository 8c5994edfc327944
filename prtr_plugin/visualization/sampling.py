"""Where the queries of a deformable two-stage PRTR sample the features."""

from collections.abc import Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from mmpose.structures import PoseDataSample
from torch import nn

from ..models.transformers import DeformablePRTRTransformer
from .attention import level_index, panel_grid, show_gray
from .levels import check_model, extract_feat, match_queries, read_out
from .style import crop_region, joint_colors, joint_names


class JointSampling(NamedTuple):
    """Where the joints of one person come from.

    Args:
        level (int): Decoder level, counted from 1
        sample (:obj:`PoseDataSample`): Data sample of the person
        keypoints (np.ndarray): Joints in pixels of the image, in shape (K, 2)
        places (np.ndarray): Points that the query of each joint samples, in
            pixels of the image, in shape (K, heads, feature levels, points, 2)
        weights (np.ndarray): Their weights in shape
            (K, heads, feature levels, points), which sum to 1 for each head
    """

    level: int
    sample: PoseDataSample
    keypoints: np.ndarray
    places: np.ndarray
    weights: np.ndarray


@torch.no_grad()
def sample_joints(
    model: nn.Module, data_batch: dict, level: int | None = None
) -> list[JointSampling]:
    """Run a deformable two-stage model and record what its joints sample.

    Args:
        model (nn.Module): See :func:`extract_feat`, with
            :class:`DeformablePRTRTransformer`
        data_batch (dict): See :func:`extract_feat`
        level (int, optional): Decoder level, counted from 1. Its queries are
            read out, too. Defaults to the last one

    Returns:
        List[JointSampling]: One per person.

    Raises:
        TypeError: If the model is another one.
        ValueError: If there is no such level.
    """
    check_model(model)
    if not isinstance(model.head.transformer, DeformablePRTRTransformer):
        raise TypeError(
            f'This needs DeformablePRTRTransformer, but the head is {type(model.head).__name__}.'
        )
    samples, feats = extract_feat(model, data_batch)
    layers = model.head.transformer.decoder.layers
    index = level_index('level', level, len(layers))
    recorded = []

    def record(module, args, kwargs):
        recorded.extend(
            module.sampling(
                *args, kwargs['query_pos'], kwargs['reference_points'], kwargs['levels']
            )
        )

    hook = layers[index].cross_attn.register_forward_pre_hook(record, with_kwargs=True)
    try:
        cls_logits, coords = model.head.forward_layers(feats)
    finally:
        hook.remove()
    keypoints = read_out(model, samples, cls_logits, coords)[:, index]
    queries = match_queries(model, cls_logits[index])
    people = []
    for sample, joints, query, places, weights in zip(
        samples, keypoints, queries, *(x.cpu().numpy() for x in recorded)
    ):
        x1, y1, x2, y2 = crop_region(sample.metainfo)
        places = places[query] * (x2 - x1, y2 - y1) + (x1, y1)
        people.append(JointSampling(index + 1, sample, joints, places, weights[query]))
    return people


def draw_sampling(
    image: np.ndarray,
    sampling: JointSampling,
    dataset_meta: dict,
    head: int | None = None,
    joints: Sequence[int] | None = None,
) -> Figure:
    """Draw the points that the joints of a person are sampled from.

    Args:
        image (np.ndarray): RGB picture in shape (H, W, 3)
        sampling (:obj:`JointSampling`): Of the person
        dataset_meta (dict): Tells names and sides of the joints
        head (int, optional): Number of the attention head, counted from 1.
            Defaults to all heads
        joints (Sequence[int], optional): Joints to draw. Defaults to all

    Returns:
        Figure: One panel for each joint.

    Raises:
        ValueError: If there is no such head.
    """
    num_heads, num_levels = sampling.weights.shape[1:3]
    if head is not None and not 1 <= head <= num_heads:
        raise ValueError(f'head={head} does not exist. The model has the heads 1 to {num_heads}.')
    shown = slice(None) if head is None else slice(head - 1, head)
    names, colors = joint_names(dataset_meta), joint_colors(dataset_meta)
    joints = range(len(names)) if joints is None else joints
    palette = matplotlib.colormaps['plasma'](np.linspace(0, 0.9, num_levels))

    metainfo = sampling.sample.metainfo
    figure, axes = panel_grid(metainfo, len(joints))
    for axis, k in zip(axes, joints):
        show_gray(axis, image, crop_region(metainfo))
        for i, color in enumerate(palette):
            points = sampling.places[k, shown, i].reshape(-1, 2)
            areas = 40 * sampling.weights[k, shown, i].flatten()
            axis.scatter(*points.T, areas, color=color, linewidths=0, zorder=2)
        axis.plot(*sampling.keypoints[k], 'o', color=colors[k], mec='white', ms=6)
        axis.set_title(names[k], fontsize=7)
        axis.title.set_color(colors[k])
    handles = [
        Line2D([], [], color=color, marker='o', linestyle='none', label=f'feature level {i + 1}')
        for i, color in enumerate(palette)
    ]
    figure.legend(handles=handles, loc='outside lower center', ncols=4, fontsize=8, frameon=False)
    heads = 'all heads' if head is None else f'head {head}'
    figure.suptitle(
        f'sampled by decoder level {sampling.level}, {heads}; areas are '
        'weights, the white-rimmed point is the joint',
        fontsize=8,
    )
    return figure
