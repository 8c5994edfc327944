"""Attention of the queries and the tokens of a two-stage PRTR.

The model uses ``scaled_dot_product_attention``, which returns no weights. Here
they are computed from the same inputs.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from mmengine.model import BaseModel
from mmpose.structures import PoseDataSample
from torch import Tensor

from ..models.layers import FusedMultiheadAttention
from ..models.transformers import PixelPRTRTransformer, PRTRTransformer
from .layers import check_model, crop_region, read_layers, record_arguments, to_index
from .style import crop_panels, joint_colors, joint_indices, joint_names, overlay


def attention_weights(
    module: FusedMultiheadAttention,
    query: Tensor,
    key: Tensor | None = None,
    query_pos: Tensor | None = None,
    key_pos: Tensor | None = None,
    key_padding_mask: Tensor | None = None,
) -> Tensor:
    """Compute the attention weights of a module.

    Args:
        module (FusedMultiheadAttention): The module
        query (Tensor): See :meth:`FusedMultiheadAttention.forward`
        key (Tensor, optional): See there
        query_pos (Tensor, optional): See there
        key_pos (Tensor, optional): See there
        key_padding_mask (Tensor, optional): See there

    Returns:
        Tensor: Weights in shape (B, heads, Nq, Nk), whose rows sum to 1.
    """
    q, k, _ = module.project(query, key, query_pos, key_pos)
    logits = q @ k.mT * q.shape[-1] ** -0.5
    if key_padding_mask is not None:
        logits = logits.masked_fill(key_padding_mask.bool()[:, None, None], float('-inf'))
    return logits.softmax(dim=-1)


class JointAttention(NamedTuple):
    """Attention from the joints of one person to the image tokens.

    The feature map is H x W, with one token for each of its cells.

    Args:
        layer (int): Decoder layer, counted from 1
        sample (:obj:`PoseDataSample`): Data sample of the person
        keypoints (np.ndarray): Joints in pixels of the image, in shape (K, 2)
        decoder (np.ndarray): Weights over the tokens, for the query that is
            assigned to each joint, in shape (heads, K, H, W)
        encoder (np.ndarray, optional): Weights over the tokens, for each
            token, in shape (heads, H, W, H, W). None without an encoder
    """

    layer: int
    sample: PoseDataSample
    keypoints: np.ndarray
    decoder: np.ndarray
    encoder: np.ndarray | None


@torch.no_grad()
def attend_joints(
    model: BaseModel, data_batch: dict, layer: int | None = None, encoder_layer: int | None = None
) -> list[JointAttention]:
    """Run a two-stage model and record the attention of its joints.

    Args:
        model (BaseModel): See :func:`read_layers`, with
            :class:`PRTRTransformer` or :class:`PixelPRTRTransformer`
        data_batch (dict): See :func:`read_layers`
        layer (int, optional): Decoder layer, counted from 1, whose attention
            and whose joints are returned. Defaults to the last one
        encoder_layer (int, optional): Encoder layer, counted from 1. Defaults
            to the last one

    Returns:
        List[JointAttention]: One per person.

    Raises:
        TypeError: If the model is of another kind. For
            :class:`DeformablePRTRTransformer` see :func:`sample_joints`.
        ValueError: If there is no such layer.
    """
    transformer = check_model(model, PRTRTransformer, PixelPRTRTransformer).transformer
    encoder, decoder = transformer.encoder, transformer.decoder
    index = to_index('layer', layer, len(decoder.layers))
    modules = [decoder.layers[index].cross_attn]
    if encoder is not None:
        number = to_index('encoder_layer', encoder_layer, len(encoder.layers))
        modules.append(encoder.layers[number].self_attn)
    with record_arguments(*modules) as recorded:
        outputs = read_layers(model, data_batch)

    maps: list[Tensor] = []
    for module in modules:
        # the residual connection does not matter for the weights
        inputs = {k: v for k, v in recorded[module].items() if k != 'identity'}
        weights = attention_weights(module, **inputs).cpu()
        maps.append(weights.unflatten(-1, outputs.feats[-1].shape[-2:]))
    people = []
    for i, sample in enumerate(outputs.data_samples):
        tokens = None
        if encoder is not None:
            tokens = maps[1][i].unflatten(1, maps[1].shape[-2:]).numpy()
        answering = maps[0][i].numpy()[:, outputs.queries[index, i]]
        keypoints = outputs.keypoints[index, i]
        people.append(JointAttention(index + 1, sample, keypoints, answering, tokens))
    return people


def choose_head(weights: np.ndarray, head: int | None) -> np.ndarray:
    """Choose a head of weights in shape (heads, ...), or their mean for None.

    Raises:
        ValueError: If there is no such head.
    """
    return weights.mean(0) if head is None else weights[to_index('head', head, len(weights))]


def weights_at(attention: JointAttention, point: Sequence[float], head: int | None) -> np.ndarray:
    """Weights of the encoder's token at a point of the image.

    Args:
        attention (:obj:`JointAttention`): Attention of a person
        point (Sequence[float]): Point [x, y] in pixels of the image
        head (int, optional): See :func:`choose_head`

    Returns:
        np.ndarray: Weights over the tokens in shape (H, W).

    Raises:
        ValueError: If the model has no encoder, or the point is outside the
            crop.
    """
    if attention.encoder is None:
        raise ValueError(
            'There is no encoder (num_encoder_layers=0) whose attention at a point could be '
            'drawn. Leave out the point.'
        )
    height, width = attention.encoder.shape[-2:]
    x1, y1, x2, y2 = crop_region(attention.sample.metainfo)
    column = int(np.floor((point[0] - x1) / (x2 - x1) * width))
    row = int(np.floor((point[1] - y1) / (y2 - y1) * height))
    if not (0 <= column < width and 0 <= row < height):
        raise ValueError(
            f'The point {tuple(point)} is outside of the crop, which extends '
            f'from ({x1:.0f}, {y1:.0f}) to ({x2:.0f}, {y2:.0f}).'
        )
    return choose_head(attention.encoder, head)[row, column]


def draw_attention(
    image: np.ndarray,
    attention: JointAttention,
    dataset_meta: dict,
    head: int | None = None,
    joints: Sequence[str] | None = None,
    point: Sequence[float] | None = None,
) -> Figure:
    """Draw the attention of the joints of a person over the image.

    Args:
        image (np.ndarray): RGB picture in shape (H, W, 3)
        attention (:obj:`JointAttention`): Attention of the person
        dataset_meta (dict): Names and sides of the joints
        head (int, optional): Attention head, counted from 1. Defaults to the
            mean over all
        joints (Sequence[str], optional): Names of the joints to draw.
            Defaults to all
        point (Sequence[float], optional): Point [x, y] in pixels of the image
            whose attention in the encoder is drawn first

    Returns:
        Figure: One panel for each joint.

    Raises:
        ValueError: If there is no such head or joint, no encoder for the
            point, or the point is outside the crop.
    """
    names, colors = joint_names(dataset_meta), joint_colors(dataset_meta)
    panels: list[tuple] = []
    markers = '● where the joint is read out'
    if point is not None:
        title = f'encoder at ({point[0]:g}, {point[1]:g})'
        panels.append((weights_at(attention, point, head), title, 'black', point, '*'))
        markers = f'★ the given point   {markers}'
    decoder = choose_head(attention.decoder, head)
    for k in joint_indices(joints, dataset_meta):
        panels.append((decoder[k], names[k], colors[k], attention.keypoints[k], 'o'))

    region = crop_region(attention.sample.metainfo)
    figure, axes = crop_panels(image, region, len(panels))
    for axis, (weights, title, color, location, marker) in zip(axes, panels):
        overlay(axis, weights, region)
        axis.set_title(f'{title}\nlargest {weights.max():.2f}', fontsize=7, color=color)
        axis.plot(*location, marker, color=color, mec='white', markersize=6)
    heads = 'mean over the heads' if head is None else f'head {head}'
    figure.supxlabel(
        f'{markers}\nweights of decoder layer {attention.layer}, {heads}; '
        'the darkest is the largest of a panel',
        fontsize=8,
    )
    return figure
