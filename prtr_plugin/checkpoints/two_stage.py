"""Conversion of the authors' two-stage checkpoints, in both directions."""

import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor

from ..model_index import config_paths
from .comparison import check_state_dict
from .errors import CheckpointError
from .reading import get_state_dict
from .renaming import add_counters, rename, transformer_rules

# Used in both directions; the first template that matches wins.
RULES = (
    # The last part of the authors' HRNet is the neck here.
    ('backbone.0.body.incre_modules.{rest}', 'neck.incre_modules.{rest}'),
    ('backbone.0.body.downsamp_modules.{rest}', 'neck.downsamp_modules.{rest}'),
    ('backbone.0.body.final_layer.{rest}', 'neck.final_layer.{rest}'),
    ('backbone.0.body.{rest}', 'backbone.{rest}'),
    ('input_proj.{p}', 'head.transformer.input_proj.{p}'),
    ('query_embed.weight', 'head.transformer.query_embedding.weight'),
    *transformer_rules('transformer.', 'head.transformer.'),
    ('class_embed.{p}', 'head.fc_cls.{p}'),
    ('kpt_embed.layers.{i}.{p}', 'head.kpt_branches.0.layers.{i}.{p}'),
)

_ENCODER = 'transformer.encoder.layers.{i}.'
_DECODER = 'transformer.decoder.layers.{i}.'
DEFORMABLE_RULES = (
    ('backbone.0.body.{rest}', 'backbone.{rest}'),
    # three feature levels of the backbone, and one made from the last of them
    ('input_proj.3.0.{p}', 'head.transformer.input_proj.extra_convs.0.conv.{p}'),
    ('input_proj.3.1.{p}', 'head.transformer.input_proj.extra_convs.0.gn.{p}'),
    ('input_proj.{i}.0.{p}', 'head.transformer.input_proj.convs.{i}.conv.{p}'),
    ('input_proj.{i}.1.{p}', 'head.transformer.input_proj.convs.{i}.gn.{p}'),
    ('query_embed.weight', 'head.transformer.query_embedding.weight'),
    ('transformer.level_embed', 'head.transformer.level_embed'),
    ('transformer.reference_points.{p}', 'head.transformer.reference_points_fc.{p}'),
    (f'{_ENCODER}self_attn.{{rest}}', f'head.{_ENCODER}self_attn.{{rest}}'),
    (f'{_DECODER}cross_attn.{{rest}}', f'head.{_DECODER}cross_attn.{{rest}}'),
    # their norm1 belongs to cross-attention, which comes second
    (f'{_DECODER}norm1.{{p}}', f'head.{_DECODER}norms.1.{{p}}'),
    (f'{_DECODER}norm2.{{p}}', f'head.{_DECODER}norms.0.{{p}}'),
    *transformer_rules('transformer.', 'head.transformer.'),
    ('class_embed.0.{p}', 'head.fc_cls.{p}'),
    ('kpt_embed.0.layers.{i}.{p}', 'head.kpt_branches.0.layers.{i}.{p}'),
)

# Start of a key that only this model and those above it have, and the model's name.
DEFORMABLE = (
    ('backbone.layer3.22.', 'td-deformable-prtr_res101_4xb16-100e_coco-384x288'),
    ('backbone.layer3.', 'td-deformable-prtr_res50_4xb16-100e_coco-384x288'),
)
PUBLISHED = (
    ('backbone.stage2.', 'td-prtr_hrnet-w32_4xb16-200e_coco-384x288'),
    ('backbone.layer3.35.', 'td-prtr_res152_4xb32-200e_mpii-256x256'),
    ('backbone.layer3.22.', 'td-prtr_res101_4xb32-200e_coco-384x288'),
    ('backbone.layer3.', 'td-prtr_res50_4xb32-200e_coco-384x288'),
)

REMEDY = (
    'Without a config (--config) only the published models fit (100 queries, 6 encoder and 6 '
    'decoder layers, width 256): give the config if this is another model, or else download the '
    'file again.'
)


def convert_two_stage(checkpoint: Any, model: dict | None = None) -> OrderedDict:
    """Convert the authors' weights to those of a ``TopdownPoseEstimator``.

    The step counters of batch norms, which the authors' frozen ones lack, are
    added as 0.

    Args:
        checkpoint (Any): State dict or training checkpoint of the authors
        model (dict, optional): Model config that the result must fit. Defaults
            to the published one, see :func:`infer_model`

    Returns:
        OrderedDict: Weights for a model with :class:`PRTRHead`; loads with
        ``strict=True``.

    Raises:
        CheckpointError: If a key is unknown, missing or of the wrong shape, or
            the file belongs to another variant.
    """
    state_dict = get_state_dict(checkpoint)
    found = [key for key in state_dict if key.startswith(('transformer_kpt.', 'bbox_embed.'))]
    if found:
        raise CheckpointError(
            f'This is a sequential PRTR checkpoint (it has "{found[0]}") and not a two-stage one. '
            "Convert it as kind 'sequential' (sequential_to_prtr_cascade.py)."
        )
    if any(key.startswith('head.') for key in state_dict):
        raise CheckpointError(
            'The file already has the mmpose layout (keys start with "head."). To convert it back, '
            'use --reverse (reverse=True).'
        )
    rules = RULES
    if _is_deformable(state_dict):
        rules = DEFORMABLE_RULES
        state_dict = _drop_copies(state_dict)
    message = 'The file is not a two-stage PRTR checkpoint of the authors.'
    result = rename(state_dict, rules, message)
    result = add_counters(result)
    _check_complete(result, model)
    return result


def revert_two_stage(checkpoint: Any, model: dict | None = None) -> OrderedDict:
    """Convert weights of a ``TopdownPoseEstimator`` to the authors' layout.

    Args:
        checkpoint (Any): State dict or checkpoint of this plugin
        model (dict, optional): Model config that the weights must fit. Defaults
            to the published one, see :func:`infer_model`

    Returns:
        OrderedDict: Weights with the authors' keys. The step counters of
        batch norm are left out for ResNets, as the authors' frozen batch
        norms have none.

    Raises:
        CheckpointError: If a key is unknown, missing or of the wrong shape.
    """
    state_dict = get_state_dict(checkpoint)
    if any(key.startswith('backbone.0.body.') for key in state_dict):
        raise CheckpointError(
            'The file already has the authors\' layout (keys start with "backbone.0.body."). '
            'To convert it, leave out --reverse (reverse=True).'
        )
    _check_complete(state_dict, model)
    if not any(key.startswith('neck.') for key in state_dict):
        counters = [key for key in state_dict if key.endswith('num_batches_tracked')]
        for key in counters:
            del state_dict[key]
    deformable = _is_deformable(state_dict)
    rules = [(ours, theirs) for theirs, ours in (DEFORMABLE_RULES if deformable else RULES)]
    result = rename(state_dict, rules, 'These weights are not those of a two-stage PRTR model.')
    return _add_copies(result) if deformable else result


def infer_model(state_dict: Mapping[str, Tensor]) -> dict:
    """Config of the published model that converted weights belong to.

    Args:
        state_dict (Mapping[str, Tensor]): Weights in the mmpose layout

    Returns:
        dict: Model config with the number of joints of the weights, and without
        the data preprocessor, which has no weights.

    Raises:
        CheckpointError: If there is no backbone of a published model.
    """
    published = DEFORMABLE if _is_deformable(state_dict) else PUBLISHED
    names = (name for start, name in published if any(key.startswith(start) for key in state_dict))
    name = next(names, None)
    if name is None:
        raise CheckpointError(
            'The file has no backbone of a published model (ResNet-50, 101, 152 or HRNet-W32; '
            f'deformable: ResNet-50 or 101). {REMEDY}'
        )
    model = Config.fromfile(config_paths()[name]).model
    del model['data_preprocessor']
    if 'head.fc_cls.bias' in state_dict:
        num_keypoints = len(state_dict['head.fc_cls.bias']) - 1
        model.head.out_channels = num_keypoints
        model.head.decoder.num_keypoints = num_keypoints
    return model


def _check_complete(state_dict: Mapping[str, Tensor], model: dict | None) -> None:
    """Compare weights with a model config, or the published one."""
    message = 'The file does not fit the model of the config (--config). Use the matching config.'
    if not model:
        model = infer_model(state_dict)
        message = f'The file does not fit the published model that it resembles. {REMEDY}'
    check_state_dict(model, state_dict, message)


def _is_deformable(state_dict: Mapping[str, Tensor]) -> bool:
    """Whether weights, in either layout, belong to the deformable model."""
    return any('.sampling_offsets.' in key for key in state_dict)


def _add_copies(state_dict: Mapping[str, Tensor]) -> OrderedDict:
    """Add the copies that the authors' deformable model stores.

    All decoder layers share the class and coordinate layers, but the authors'
    model stores them once for each.
    """
    prefix = 'transformer.decoder.layers.'
    layers = {key.removeprefix(prefix).split('.')[0] for key in state_dict if prefix in key}
    result = OrderedDict()
    for key, value in state_dict.items():
        match = re.fullmatch(r'(class_embed|kpt_embed)\.(\d+)\.(.+)', key)
        if not match:
            result[key] = value
        elif match[2] == '0':
            for i in sorted(layers):
                result[f'{match[1]}.{i}.{match[3]}'] = value
    return result


def _drop_copies(state_dict: Mapping[str, Tensor]) -> OrderedDict:
    """Undo :func:`_add_copies`.

    Raises:
        CheckpointError: If a copy is missing or not the same as the first.
    """
    expected = _add_copies(state_dict)
    missing = [key for key in expected if key not in state_dict]
    other = [
        key
        for key, value in state_dict.items()
        if key not in expected
        or (value is not expected[key] and not torch.equal(value, expected[key]))
    ]
    if missing or other:
        raise CheckpointError(
            'The decoder layers of the published deformable models share class_embed and '
            'kpt_embed, and the file must have a copy for each layer. Download it again.',
            {'missing copies': missing, 'copies unlike that of layer 0': other},
        )
    return OrderedDict(
        (key, value)
        for key, value in state_dict.items()
        if not re.match(r'(class_embed|kpt_embed)\.[1-9]', key)
    )
