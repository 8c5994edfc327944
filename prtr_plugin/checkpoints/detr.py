"""Conversion of published DETRs to the person detector of a cascade.

DETR was trained on **RGB** pixels with ImageNet's mean and std, so the data
preprocessor of the cascade needs::

    mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
    bgr_to_rgb=True

and its detector ``positional_encoding=dict(num_feats=128, normalize=True)``
(mmdet and facebookresearch use the same encoding, without offset) and 8
heads. The weights show neither these settings nor whether the backbone is
dilated (facebookresearch's DC5 files), so they cannot be checked.
"""

import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
from mmpose.models.backbones import ResNet
from torch import Tensor

from .comparison import check_state_dict
from .errors import CheckpointError
from .reading import get_state_dict
from .renaming import add_counters, count_layers, rename, transformer_rules

# facebookresearch's keys, and those of mmdet and our detector
FACEBOOK_RULES = (
    ('backbone.0.body.{rest}', 'backbone.{rest}'),
    ('input_proj.{p}', 'neck.convs.0.conv.{p}'),
    ('query_embed.weight', 'query_embedding.weight'),
    *transformer_rules('transformer.', ''),
    ('class_embed.{p}', 'bbox_head.fc_cls.{p}'),
    ('bbox_embed.layers.0.{p}', 'bbox_head.reg_ffn.layers.0.0.{p}'),
    ('bbox_embed.layers.1.{p}', 'bbox_head.reg_ffn.layers.1.{p}'),
    ('bbox_embed.layers.2.{p}', 'bbox_head.fc_reg.{p}'),
)

# For each origin: a key that only its files have, the number of rows of its
# class layer, and the row of "person". facebookresearch's rows are COCO's ids 0
# to 90, mmdet's are the 80 classes in order of their ids. The last is "none".
ORIGINS = dict(mmdet=('bbox_head.fc_cls.weight', 81, 0), facebook=('class_embed.weight', 92, 1))

# Other kinds of files, recognised by their keys.
_OTHERS = (
    (
        r'^(detr\.|mask_head\.|bbox_attention\.)',
        'a segmentation file, whose DETR may have other classes. Give the detection file with the '
        'same backbone.',
    ),
    (
        r'^bbox_head\.transformer\.',
        'a file of mmdet 2.x, which is not supported. Give one of mmdet 3.x or of '
        'facebookresearch/detr.',
    ),
    (
        r'^transformer_kpt\.',
        "a sequential PRTR file of the authors. Convert it as kind 'sequential' "
        '(sequential_to_prtr_cascade.py).',
    ),
    (r'^detector\.', 'already a file of PRTRCascade. It needs no conversion.'),
    (r'^(kpt_embed\.|head\.)', 'a two-stage PRTR file, which has no detector. Give a DETR.'),
    (
        r'sampling_offsets|^bbox_head\.cls_branches\.|^rpn_head\.',
        'a detector other than the plain DETR. Give a plain DETR.',
    ),
)


def convert_detr(
    checkpoint: Any, model: dict | None = None, origin: str = 'auto', person_row: int | None = None
) -> tuple[OrderedDict, str]:
    """Convert the weights of a DETR to those of the detector of a cascade.

    The checkpoints of mmdet 3.x (such as detr_r50_8xb2-150e_coco) and of
    facebookresearch/detr (such as detr-r50-e632da11.pth) are told apart by
    their keys. Only two rows of the class layer are kept, "person" and "none".
    Without the other classes a car, say, can get a higher person score than
    from DETR, until the detector has been trained a little.

    Args:
        checkpoint (Any): State dict, or a checkpoint that holds one
        model (dict, optional): Config of the ``PRTRCascade`` whose detector
            the result must fit. Defaults to one with the sizes found in the
            file, so that the lack of a whole last layer is not noticed
        origin (str): ``'mmdet'``, ``'facebook'`` or ``'auto'``. Defaults to
            ``'auto'``
        person_row (int, optional): Row of "person" in a class layer with any
            number of classes. Defaults to that of COCO

    Returns:
        tuple[OrderedDict, str]: Weights with the prefix ``detector.``, and a
        description of them.

    Raises:
        CheckpointError: If a key is unknown, missing or of the wrong shape, or
            the file is something else.
        ValueError: If ``origin`` or ``person_row`` does not fit the file, or
            the model has no detector.
    """
    state_dict = get_state_dict(checkpoint)
    found = _find_origin(state_dict)
    key, num_rows, row = ORIGINS[found]
    if origin not in ('auto', found):
        raise ValueError(
            f'The origin (--source) is {origin}, but the file has "{key}", the key of {found}.'
        )
    if person_row is not None:
        num_rows, row = len(state_dict[key]), person_row
        if not 0 <= row < num_rows - 1:
            raise ValueError(
                f'person_row (--person-row) is {row}, but the class layer has the classes 0 to '
                f'{num_rows - 2}, and "none" after them.'
            )
    if found == 'facebook':
        state_dict = rename(
            state_dict, FACEBOOK_RULES, 'The file is not a plain DETR of facebookresearch.'
        )
    state_dict = _keep_person(add_counters(state_dict), num_rows, row)
    if model and 'detector' not in model:
        raise ValueError(
            'The model of the config (--config) has no detector: give the config of a PRTRCascade.'
        )
    if model:
        check_state_dict(
            model['detector'],
            state_dict,
            'The file does not fit the detector of the config (--config). Use a config with its '
            'backbone, width, layers and queries.',
        )
    else:
        message = 'The file is not a complete DETR. Download it again.'
        check_state_dict(infer_detector(state_dict), state_dict, message)
    summary = (
        f'DETR of {found}: {len(state_dict["query_embedding.weight"])} queries, '
        f'{count_layers(state_dict, "encoder.layers.")} encoder and '
        f'{count_layers(state_dict, "decoder.layers.")} decoder layers\n'
        f'class layer: rows {row} (person) and {num_rows - 1} (none) kept, {num_rows - 2} dropped'
    )
    return OrderedDict((f'detector.{key}', value) for key, value in state_dict.items()), summary


def _find_origin(state_dict: Mapping[str, Tensor]) -> str:
    """Find out where a DETR comes from, ``'mmdet'`` or ``'facebook'``.

    Raises:
        CheckpointError: If the file is something else. The message says what.
    """
    for pattern, name in _OTHERS:
        found = list(filter(re.compile(pattern).search, state_dict))
        if found:
            raise CheckpointError(f'The file (it has "{found[0]}") is {name}')
    for origin, (key, *_) in ORIGINS.items():
        if key in state_dict:
            return origin
    keys = ', '.join(f'"{key}" ({origin})' for origin, (key, *_) in ORIGINS.items())
    raise CheckpointError(f'The file is not a DETR: it has none of the class layers {keys}.')


def _keep_person(state_dict: Mapping[str, Tensor], num_rows: int, row: int) -> OrderedDict:
    """Cut the class layer down to "person" and "none".

    Args:
        state_dict (Mapping[str, Tensor]): Weights with the keys of
            ``PersonDETR``
        num_rows (int): Rows that the layer must have
        row (int): Row of "person". "None" is the last one

    Raises:
        CheckpointError: If the layer has another number of rows.
    """
    result = OrderedDict(state_dict)
    for key in ('bbox_head.fc_cls.weight', 'bbox_head.fc_cls.bias'):
        value = state_dict.get(key)
        if value is None:
            continue  # reported later, with all missing keys
        if len(value) != num_rows:
            raise CheckpointError(
                f'The class layer has {len(value)} rows ({key}), but a DETR for COCO has '
                f'{num_rows}. If this one was trained on other classes, give the row of "person" '
                'as person_row (--person-row).'
            )
        result[key] = value[[row, num_rows - 1]].clone()
    return result


def infer_detector(state_dict: Mapping[str, Tensor]) -> dict:
    """Config of a detector with the sizes of given weights.

    For names and shapes only: the number of attention heads, strides and
    dilations cannot be read from weights.

    Args:
        state_dict (Mapping[str, Tensor]): Weights with the keys of
            ``PersonDETR``

    Returns:
        dict: Config of a ``PersonDETR`` with a ResNet.

    Raises:
        CheckpointError: If a key that shows a size is missing, or the backbone
            is not a ResNet.
    """

    def shape(key: str) -> torch.Size:
        if key not in state_dict:
            raise CheckpointError('The file lacks keys.', dict(missing=[key]))
        return state_dict[key].shape

    num_queries, embed_dims = shape('query_embedding.weight')
    attention = dict(embed_dims=embed_dims, num_heads=1)
    ffn_weight = shape('decoder.layers.0.ffn.layers.0.0.weight')
    layer = dict(
        self_attn_cfg=attention,
        ffn_cfg=dict(embed_dims=embed_dims, feedforward_channels=ffn_weight[0]),
    )
    shape('encoder.layers.0.self_attn.attn.in_proj_weight')
    blocks = tuple(count_layers(state_dict, f'backbone.layer{i}.') for i in range(1, 5))
    bottleneck = 'backbone.layer1.0.conv3.weight' in state_dict
    depths = [
        depth
        for depth, (block, num) in ResNet.arch_settings.items()
        if num == blocks and (block.__name__ == 'Bottleneck') == bottleneck
    ]
    if not depths:
        raise CheckpointError(
            f'The backbone has {blocks} blocks in its stages, unlike ResNet-18, 34, 50, 101 and '
            '152. If the file is complete, give the config of the cascade (--config).'
        )
    return dict(
        type='PersonDETR',
        num_queries=num_queries,
        backbone=dict(
            type='mmpose.ResNet',
            depth=depths[0],
            stem_channels=shape('backbone.conv1.weight')[0],
            base_channels=shape('backbone.layer1.0.conv1.weight')[0],
        ),
        neck=dict(
            type='mmdet.ChannelMapper',
            in_channels=[shape('neck.convs.0.conv.weight')[1]],
            kernel_size=1,
            out_channels=embed_dims,
            act_cfg=None,
            norm_cfg=None,
        ),
        encoder=dict(num_layers=count_layers(state_dict, 'encoder.layers.'), layer_cfg=layer),
        decoder=dict(
            num_layers=count_layers(state_dict, 'decoder.layers.'),
            layer_cfg=dict(cross_attn_cfg=attention, **layer),
        ),
        positional_encoding=dict(num_feats=embed_dims // 2, normalize=True),
        bbox_head=dict(type='mmpose.PersonDETRHead', embed_dims=embed_dims),
    )
