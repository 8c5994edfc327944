"""Maps of the queries of a two-stage PRTR+."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from mmengine.model import BaseModel
from mmpose.structures import PoseDataSample

from ..models.transformers import PixelPRTRTransformer, softmax_maps
from .layers import check_model, crop_region, read_layers, record_results, to_index
from .style import crop_panels, joint_colors, joint_indices, joint_names, overlay


class JointMaps(NamedTuple):
    """Where the queries of one person see their joints.

    Args:
        layer (int): Decoder layer, counted from 1
        sample (:obj:`PoseDataSample`): Data sample of the person
        keypoints (np.ndarray): Joints in pixels of the image, in shape (K, 2)
        queries (np.ndarray): The query that is assigned to each joint, in
            shape (K, )
        maps (np.ndarray): Probabilities over the h x w pixels of its map, in
            shape (K, h, w)
    """

    layer: int
    sample: PoseDataSample
    keypoints: np.ndarray
    queries: np.ndarray
    maps: np.ndarray


@torch.no_grad()
def map_joints(model: BaseModel, data_batch: dict, layer: int | None = None) -> list[JointMaps]:
    """Run a two-stage PRTR+ and keep the maps that joints are read from.

    Args:
        model (BaseModel): See :func:`read_layers`, with
            :class:`PixelPRTRTransformer`
        data_batch (dict): See :func:`read_layers`
        layer (int, optional): Decoder layer, counted from 1. Defaults to the
            last one

    Returns:
        List[JointMaps]: One per person.

    Raises:
        TypeError: If the model is of another kind.
        ValueError: If there is no such layer.
    """
    transformer = check_model(model, PixelPRTRTransformer).transformer
    index = to_index('layer', layer, transformer.num_decoder_layers)
    with record_results(transformer) as recorded:
        outputs = read_layers(model, data_batch)
    maps = softmax_maps(recorded[transformer].maps[index]).cpu().numpy()
    return [
        JointMaps(index + 1, sample, keypoints, queries, person[queries])
        for sample, keypoints, queries, person in zip(
            outputs.data_samples, outputs.keypoints[index], outputs.queries[index], maps
        )
    ]


def draw_maps(
    image: np.ndarray, maps: JointMaps, dataset_meta: dict, joints: Sequence[str] | None = None
) -> Figure:
    """Draw the map of each joint of a person over the image.

    Args:
        image (np.ndarray): RGB picture in shape (H, W, 3)
        maps (:obj:`JointMaps`): Maps of the person
        dataset_meta (dict): Names and sides of the joints
        joints (Sequence[str], optional): Names of the joints to draw.
            Defaults to all

    Returns:
        Figure: One panel for each joint.

    Raises:
        ValueError: If there is no such joint.
    """
    indices = joint_indices(joints, dataset_meta)
    names, colors = joint_names(dataset_meta), joint_colors(dataset_meta)
    region = crop_region(maps.sample.metainfo)
    figure, axes = crop_panels(image, region, len(indices))
    for axis, k in zip(axes, indices):
        overlay(axis, maps.maps[k], region)
        title = f'{names[k]}, query {maps.queries[k]}\nlargest {maps.maps[k].max():.2f}'
        axis.set_title(title, fontsize=7, color=colors[k])
        axis.plot(*maps.keypoints[k], 'o', color=colors[k], mec='white', markersize=4)
    figure.supxlabel(
        '● where the joint is read out\nprobabilities of the pixels after decoder layer '
        f'{maps.layer}; the darkest is the largest of a panel',
        fontsize=8,
    )
    return figure
