"""Where the queries and the places of a two-stage PRTR look.

The model attends through ``scaled_dot_product_attention``, which has no
weights. Here they are computed beside it, by PyTorch's own module.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import matplotlib
import mmcv
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from mmpose.structures import PoseDataSample
from torch import Tensor, nn

from ..models.layers.attention import FusedMultiheadAttention
from ..models.transformers import DeformablePRTRTransformer
from .levels import check_model, extract_feat, match_queries, read_out
from .style import crop_region, joint_colors, joint_names, new_figure, show_image


def attention_weights(
    module: FusedMultiheadAttention,
    query: Tensor,
    key: Tensor | None = None,
    query_pos: Tensor | None = None,
    key_pos: Tensor | None = None,
    key_padding_mask: Tensor | None = None,
) -> Tensor:
    """The weights with which a module attends.

    Args:
        module (FusedMultiheadAttention): The module
        query (Tensor): See :meth:`FusedMultiheadAttention.forward`
        key (Tensor, optional): The same
        query_pos (Tensor, optional): The same
        key_pos (Tensor, optional): The same
        key_padding_mask (Tensor, optional): The same

    Returns:
        Tensor: Weights in shape (B, heads, Nq, Nk), whose rows sum to 1.
    """
    if key is None:
        key, key_pos = query, query_pos
    query = query if query_pos is None else query + query_pos
    key = key if key_pos is None else key + key_pos
    # nn.MultiheadAttention wants the batch as second axis here
    query, key = query.transpose(0, 1), key.transpose(0, 1)
    _, weights = module.attn(
        query,
        key,
        key,
        key_padding_mask=key_padding_mask,
        need_weights=True,
        average_attn_weights=False,
    )
    return weights


@contextmanager
def record_attention(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Record the attention weights of all modules inside a model.

    Args:
        model (nn.Module): With :class:`FusedMultiheadAttention` inside. Its
            own computation stays as it is

    Yields:
        Dict[str, Tensor]: Filled as the model runs: by the name of a module
        in the model its weights in shape (B, heads, Nq, Nk), of its last
        call. Empty outside of the ``with`` block for what did not run.
    """
    recorded, hooks = {}, []
    for name, module in model.named_modules():
        if isinstance(module, FusedMultiheadAttention):

            def record(module, args, kwargs, name=name):
                # what the output is added to tells nothing about weights
                kwargs = {k: v for k, v in kwargs.items() if k != 'identity'}
                with torch.no_grad():
                    recorded[name] = attention_weights(module, *args, **kwargs)

            hooks.append(module.register_forward_pre_hook(record, with_kwargs=True))
    try:
        yield recorded
    finally:
        for hook in hooks:
            hook.remove()


class JointAttention(NamedTuple):
    """Where the joints of one person come from.

    Args:
        level (int): Decoder level, counted from 1
        sample (:obj:`PoseDataSample`): Data sample of the person
        keypoints (np.ndarray): Joints in pixels of the image, in shape (K, 2)
        decoder (np.ndarray): Weights of the query that answers to each joint
            over the places of the feature map, in shape (heads, K, H, W)
        encoder (np.ndarray, optional): Weights of each place over the places
            in shape (heads, H, W, H, W). None without an encoder
    """

    level: int
    sample: PoseDataSample
    keypoints: np.ndarray
    decoder: np.ndarray
    encoder: np.ndarray | None


@torch.no_grad()
def attend_joints(
    model: nn.Module, data_batch: dict, level: int | None = None, encoder_level: int | None = None
) -> list[JointAttention]:
    """Run a two-stage model and record where its joints come from.

    Args:
        model (nn.Module): See :func:`extract_feat`
        data_batch (dict): See :func:`extract_feat`
        level (int, optional): Decoder level, counted from 1. Its queries are
            read out, too. Defaults to the last one
        encoder_level (int, optional): Encoder level, counted from 1. Defaults
            to the last one

    Returns:
        List[JointAttention]: One per person.

    Raises:
        TypeError: If the model is another one or has deformable attention.
        ValueError: If there is no such level.
    """
    check_model(model)
    if isinstance(model.head.transformer, DeformablePRTRTransformer):
        raise TypeError(
            'DeformablePRTRTransformer samples the features at a few points instead '
            'of weighing all places: use sample_joints and draw_sampling.'
        )
    samples, feats = extract_feat(model, data_batch)
    transformer = model.head.transformer
    index = level_index('level', level, len(transformer.decoder.layers))
    with record_attention(transformer) as recorded:
        cls_logits, coords = model.head.forward_layers(feats)
    keypoints = read_out(model, samples, cls_logits, coords)[:, index]
    queries = torch.from_numpy(match_queries(model, cls_logits[index]))

    size = feats[-1].shape[-2:]
    cross = recorded[f'decoder.layers.{index}.cross_attn'].cpu()
    decoder = [weights[:, q].unflatten(-1, size).numpy() for weights, q in zip(cross, queries)]
    encoder = [None] * len(samples)
    if transformer.encoder is not None:
        index = level_index('encoder_level', encoder_level, len(transformer.encoder.layers))
        weights = recorded[f'encoder.layers.{index}.self_attn'].cpu()
        encoder = weights.unflatten(-1, size).unflatten(2, size).numpy()
    return [
        JointAttention(level or len(coords), *person)
        for person in zip(samples, keypoints, decoder, encoder)
    ]


def level_index(name: str, level: int | None, num_levels: int) -> int:
    """Index of a level that is counted from 1, or of the last one.

    Raises:
        ValueError: If there is no such level.
    """
    if level is None:
        return num_levels - 1
    if not 1 <= level <= num_levels:
        raise ValueError(
            f'{name}={level} does not exist. The model has the levels 1 to {num_levels}.'
        )
    return level - 1


def choose_head(weights: np.ndarray, head: int | None) -> np.ndarray:
    """Take the weights of a head, or their mean over the heads.

    Args:
        weights (np.ndarray): Weights in shape (heads, ...)
        head (int, optional): Number of the head, counted from 1, or None for
            the mean

    Returns:
        np.ndarray: Weights without the first axis.

    Raises:
        ValueError: If there is no such head.
    """
    if head is None:
        return weights.mean(axis=0)
    if not 1 <= head <= len(weights):
        raise ValueError(
            f'head={head} does not exist. The model has the heads 1 to {len(weights)}.'
        )
    return weights[head - 1]


def weights_at(attention: JointAttention, point: Sequence[float], head: int | None) -> np.ndarray:
    """Weights of the encoder at a point of the image.

    Args:
        attention (:obj:`JointAttention`): Of a person
        point (Sequence[float]): Point [x, y] in pixels of the image
        head (int, optional): See :func:`choose_head`

    Returns:
        np.ndarray: Weights over the places of the feature map in shape
        (H, W).

    Raises:
        ValueError: If the model has no encoder, or does not see the point.
    """
    if attention.encoder is None:
        raise ValueError(
            'The model has no encoder (num_encoder_layers=0), so '
            'that its places do not attend to each other.'
        )
    height, width = attention.encoder.shape[-2:]
    x1, y1, x2, y2 = crop_region(attention.sample.metainfo)
    column = int(np.floor((point[0] - x1) / (x2 - x1) * width))
    row = int(np.floor((point[1] - y1) / (y2 - y1) * height))
    if not (0 <= column < width and 0 <= row < height):
        raise ValueError(
            f'The point {tuple(point)} is outside of the crop, which reaches '
            f'from ({x1:.0f}, {y1:.0f}) to ({x2:.0f}, {y2:.0f}).'
        )
    return choose_head(attention.encoder, head)[row, column]


def show_gray(axis: Axes, image: np.ndarray, region: Sequence[float]) -> None:
    """Show a part of an image in grey, so that all colour is attention."""
    gray = mmcv.gray2rgb(mmcv.rgb2gray(image, keepdim=True))
    show_image(axis, gray, region, alpha=0.7)


def panel_grid(metainfo: dict, number: int) -> tuple[Figure, list[Axes]]:
    """A figure of panels that show a crop each, with room for titles.

    Args:
        metainfo (dict): Meta information of the data sample of the crop
        number (int): Number of panels

    Returns:
        tuple[Figure, List[Axes]]: The figure and its panels, row by row.
    """
    width, height = metainfo['input_size']
    columns = min(number, 6 if number <= 24 else 12)
    rows = -(-number // columns)
    figure = new_figure(max(1.5 * columns, 4.5), (1.4 * height / width + 0.45) * rows + 0.6)
    return figure, [figure.add_subplot(rows, columns, i + 1) for i in range(number)]


def draw_weights(
    axis: Axes, image: np.ndarray, metainfo: dict, weights: np.ndarray, title: str, color: str
) -> None:
    """Lay attention weights over the crop of a person.

    Args:
        axis (Axes): What to draw on
        image (np.ndarray): RGB picture in shape (H, W, 3)
        metainfo (dict): Meta information of the data sample
        weights (np.ndarray): Weights over the places in shape (h, w)
        title (str): What the weights are of. The largest is written below
        color (str): Colour of the title
    """
    x1, y1, x2, y2 = region = crop_region(metainfo)
    show_gray(axis, image, region)
    relative = weights / weights.max()
    overlay = matplotlib.colormaps['YlOrRd'](0.3 + 0.7 * relative)
    overlay[..., 3] = 0.85 * relative
    axis.imshow(overlay, extent=(x1, x2, y2, y1))
    axis.set_title(f'{title}\nlargest {weights.max():.2f}', fontsize=7)
    axis.title.set_color(color)


def draw_attention(
    image: np.ndarray,
    attention: JointAttention,
    dataset_meta: dict,
    head: int | None = None,
    joints: Sequence[int] | None = None,
    point: Sequence[float] | None = None,
) -> Figure:
    """Draw where the joints of a person come from.

    Args:
        image (np.ndarray): RGB picture in shape (H, W, 3)
        attention (:obj:`JointAttention`): Of the person
        dataset_meta (dict): Tells names and sides of the joints
        head (int, optional): See :func:`choose_head`
        joints (Sequence[int], optional): Joints to draw. Defaults to all
        point (Sequence[float], optional): Point [x, y] in pixels of the image
            whose attention in the encoder is drawn first

    Returns:
        Figure: One panel for each joint.
    """
    names, colors = joint_names(dataset_meta), joint_colors(dataset_meta)
    joints = range(len(names)) if joints is None else joints
    panels = []
    if point is not None:
        panels.append(
            (
                weights_at(attention, point, head),
                point,
                f'encoder at ({point[0]:g}, {point[1]:g})',
                'black',
                '*',
            )
        )
    weights = choose_head(attention.decoder, head)
    for k in joints:
        panels.append((weights[k], attention.keypoints[k], names[k], colors[k], 'o'))

    metainfo = attention.sample.metainfo
    figure, axes = panel_grid(metainfo, len(panels))
    for axis, (heat, place, title, color, marker) in zip(axes, panels):
        draw_weights(axis, image, metainfo, heat, title, color)
        axis.plot(*place, marker, color=color, mec='white', markersize=6)
    markers = '● where the joint is read out'
    if point is not None:
        markers = f'★ the given point   {markers}'
    heads = 'mean over the heads' if head is None else f'head {head}'
    figure.supxlabel(
        f'{markers}\nweights of decoder level {attention.level}, {heads}; '
        'the darkest is the largest of a panel',
        fontsize=8,
    )
    return figure
