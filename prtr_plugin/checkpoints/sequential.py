"""Conversion of the authors' sequential checkpoints."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from .comparison import check_state_dict
from .detr import FACEBOOK_RULES, infer_detector
from .errors import CheckpointError
from .reading import get_state_dict
from .renaming import add_counters, count_layers, rename, transformer_rules

RULES = (
    ('transformer_kpt.query_embed.weight', 'head.transformer.query_embedding.weight'),
    ('transformer_kpt.input_proj.{p}', 'head.transformer.input_proj.{p}'),
    *transformer_rules('transformer_kpt.transformer.', 'head.transformer.'),
    ('transformer_kpt.class_predictor.{p}', 'head.fc_cls.{p}'),
    ('transformer_kpt.coord_predictor.{rest}', 'head.kpt_branches.0.{rest}'),
    # row_embed is indexed by x, col_embed by y
    ('row_embed.weight', 'head.transformer.positional_encoding.x_embed'),
    ('col_embed.weight', 'head.transformer.positional_encoding.y_embed'),
    *((theirs, f'detector.{ours}') for theirs, ours in FACEBOOK_RULES),
)


def convert_sequential(
    checkpoint: Any, model: dict | None = None, background: str = 'first'
) -> OrderedDict:
    """Convert the weights of the authors' notebook to those of a cascade.

    The notebook's read-out takes the **first** keypoint class as background,
    the two-stage code and this plugin the last one. By default the class layer
    is rolled by one row, so that the same joints are read out as in the
    notebook. The person classes are [person, none] in both.

    Args:
        checkpoint (Any): State dict, or a checkpoint that holds one
        model (dict, optional): Model config that the result must fit. Defaults
            to one with the sizes found in the file, so that the lack of a
            whole last layer is not noticed
        background (str): Which keypoint class of the weights is "no keypoint",
            ``'first'`` or ``'last'``. Defaults to ``'first'``

    Returns:
        OrderedDict: Weights for a ``PRTRCascade``; loads with ``strict=True``.

    Raises:
        CheckpointError: If a key is unknown, missing or of the wrong shape.
        ValueError: If ``background`` is neither of the two.
    """
    if background not in ('first', 'last'):
        raise ValueError(f"background must be 'first' or 'last', but got {background!r}.")
    state_dict = get_state_dict(checkpoint)
    if not any(key.startswith('transformer_kpt.') for key in state_dict):
        raise CheckpointError(
            'The file is not a sequential PRTR checkpoint of the authors (no key starts with '
            '"transformer_kpt."). Convert a two-stage one as kind \'two_stage\' '
            "(prtr_to_mmpose.py) and a DETR as kind 'detr' (detr_to_prtr_cascade.py)."
        )
    result = rename(
        state_dict, RULES, 'The file is not a sequential PRTR checkpoint of the authors.'
    )
    result = add_counters(result)
    if background == 'first':
        for key in ('head.fc_cls.weight', 'head.fc_cls.bias'):
            if key in result:
                result[key] = result[key].roll(-1, dims=0)
    message = 'The file does not fit the model of the config (--config).'
    if not model:
        model = infer_cascade(result)
        message = 'The file is not a complete sequential PRTR. Download it again.'
    check_state_dict(model, result, message)
    return result


def infer_cascade(state_dict: Mapping[str, Tensor]) -> dict:
    """Config of a cascade with the sizes of given weights.

    For names and shapes only, see :func:`infer_detector`.

    Args:
        state_dict (Mapping[str, Tensor]): Weights with the keys of
            ``PRTRCascade``

    Returns:
        dict: Config of a ``PRTRCascade``.

    Raises:
        CheckpointError: If a key that shows a size is missing.
    """
    needed = [
        'head.transformer.query_embedding.weight',
        'head.transformer.input_proj.weight',
        'head.fc_cls.bias',
        'head.transformer.positional_encoding.x_embed',
        'head.transformer.positional_encoding.y_embed',
        'head.transformer.decoder.layers.0.ffn.layers.0.0.weight',
    ]
    missing = [key for key in needed if key not in state_dict]
    if missing:
        raise CheckpointError('The file lacks keys.', dict(missing=missing))
    query, proj, classes, x_embed, y_embed, ffn = (state_dict[key].shape for key in needed)
    detector = {
        key.removeprefix('detector.'): value
        for key, value in state_dict.items()
        if key.startswith('detector.')
    }
    size = (x_embed[1], y_embed[1])
    num_keypoints = classes[0] - 1
    return dict(
        type='PRTRCascade',
        detector=infer_detector(detector),
        crop=dict(resolution=size),
        head=dict(
            type='PRTRHead',
            in_channels=proj[1],
            out_channels=num_keypoints,
            num_queries=query[0],
            embed_dims=query[1],
            transformer=dict(
                type='PRTRTransformer',
                num_encoder_layers=count_layers(state_dict, 'head.transformer.encoder.layers.'),
                num_decoder_layers=count_layers(state_dict, 'head.transformer.decoder.layers.'),
                num_heads=1,
                feedforward_channels=ffn[0],
                positional_encoding=dict(
                    type='SineLearnedPositionalEncoding', num_feats=x_embed[0], size=size
                ),
            ),
            decoder=dict(
                type='HungarianKeypointCodec', input_size=(1, 1), num_keypoints=num_keypoints
            ),
        ),
    )
