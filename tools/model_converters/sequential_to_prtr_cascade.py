"""Turn a sequential PRTR checkpoint of the authors into one of PRTRCascade.

Example::

    python tools/model_converters/sequential_to_prtr_cascade.py \
        sequential.pth cascade.pth

The input is the state dict of the authors' end-to-end notebook, bare or under
``state_dict`` or ``model``, with or without the ``module.`` prefix. Every key
is used and every parameter is filled, or nothing is written and the error
names the keys.

The notebook's read-out takes the **first** keypoint class as background, but
the two-stage code and this project the last. By default the class layer is
rolled by one row, so that the joints read out are those of the notebook; for
weights that were trained with the other convention give ``--background
last``. The person classes are [person, none] in both.
"""

import argparse
from collections import OrderedDict

from converter_utils import (
    add_counters,
    check_paths,
    compare_with_model,
    load_checkpoint,
    rename,
    save_checkpoint,
    summarize,
    transformer_rules,
    unwrap,
)
from detr_to_prtr_cascade import FACEBOOK_RULES, count, infer_detector
from mmengine.config import Config
from torch import Tensor

RULES = (
    ('transformer_kpt.query_embed.weight', 'head.transformer.query_embedding.weight'),
    ('transformer_kpt.input_proj.{p}', 'head.transformer.input_proj.{p}'),
    *transformer_rules('transformer_kpt.transformer.', 'head.transformer.'),
    ('transformer_kpt.class_predictor.{p}', 'head.fc_cls.{p}'),
    ('transformer_kpt.coord_predictor.{rest}', 'head.kpt_branches.0.{rest}'),
    # columns are counted along a row
    ('row_embed.weight', 'head.transformer.positional_encoding.x_embed'),
    ('col_embed.weight', 'head.transformer.positional_encoding.y_embed'),
    *((theirs, f'detector.{ours}') for theirs, ours in FACEBOOK_RULES),
)


def infer_model(state_dict: dict[str, Tensor]) -> dict:
    """Config of a cascade with the sizes of given weights.

    For names and shapes only, see :func:`infer_detector`.

    Args:
        state_dict (dict): Weights with the keys of ``PRTRCascade``.

    Returns:
        dict: Config of a ``PRTRCascade``.

    Raises:
        ValueError: If a key that tells a size is missing.
    """
    needed = [
        f'head.{name}'
        for name in (
            'transformer.query_embedding.weight',
            'transformer.input_proj.weight',
            'fc_cls.bias',
            'transformer.positional_encoding.x_embed',
            'transformer.positional_encoding.y_embed',
            'transformer.decoder.layers.0.ffn.layers.0.0.weight',
        )
    ]
    missing = [key for key in needed if key not in state_dict]
    if missing:
        raise ValueError(
            f'The file has too few keys.\nmissing ({len(missing)}):\n  ' + '\n  '.join(missing)
        )
    query, proj, classes, x_embed, y_embed, ffn = (state_dict[key].shape for key in needed)
    prefix = 'detector.'
    detector = OrderedDict(
        (key[len(prefix) :], value) for key, value in state_dict.items() if key.startswith(prefix)
    )
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
                num_encoder_layers=count(state_dict, 'head.transformer.encoder.layers.'),
                num_decoder_layers=count(state_dict, 'head.transformer.decoder.layers.'),
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


def convert_state_dict(
    checkpoint: dict, background: str = 'first', model: dict | None = None
) -> OrderedDict:
    """Convert the weights of the notebook to those of ``PRTRCascade``.

    Args:
        checkpoint (dict): State dict, or a checkpoint that holds one.
        background (str): Keypoint class that the weights take as "no
            keypoint", ``'first'`` or ``'last'``.
        model (dict, optional): Model config that the result has to fit.
            Defaults to one of the sizes that the file has, so that a last
            layer that is missing as a whole is not noticed.

    Returns:
        OrderedDict: Weights that load with ``strict=True``.

    Raises:
        ValueError: If a key is unknown, missing or of the wrong shape.
    """
    state_dict = unwrap(checkpoint)
    if not any(key.startswith('transformer_kpt.') for key in state_dict):
        raise ValueError(
            'This is no sequential PRTR checkpoint of the authors (no key '
            'starts with "transformer_kpt."). prtr_to_mmpose.py converts '
            'the two-stage ones, detr_to_prtr_cascade.py a DETR.'
        )
    result = add_counters(
        rename(state_dict, RULES, 'This is no sequential PRTR checkpoint of the authors.')
    )
    if background == 'first':
        for key in ('head.fc_cls.weight', 'head.fc_cls.bias'):
            if key in result:
                result[key] = result[key].roll(-1, dims=0)
    if model:
        remedy = 'The file does not fit the model of --config.'
    else:
        model = infer_model(result)
        remedy = 'The file is no complete sequential PRTR: get it again.'
    compare_with_model(result, model, remedy)
    return result


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Turn a sequential PRTR checkpoint of the authors into one of PRTRCascade.'
    )
    parser.add_argument('input', metavar='IN', help='checkpoint to read')
    parser.add_argument('output', metavar='OUT', help='checkpoint to write')
    parser.add_argument(
        '--background',
        choices=['first', 'last'],
        default='first',
        help='keypoint class that is background in IN (default: first, as in the notebook)',
    )
    parser.add_argument('--config', help='config whose model the weights have to fit')
    parser.add_argument(
        '--trust',
        action='store_true',
        help='unpickle Python objects in IN, which runs code of its author',
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    check_paths(args.input, args.output)
    try:
        model = Config.fromfile(args.config).model if args.config else None
        result = convert_state_dict(load_checkpoint(args.input, args.trust), args.background, model)
    except (ValueError, FileNotFoundError) as error:
        raise SystemExit(f'Cannot convert "{args.input}": {error}')
    save_checkpoint(
        dict(meta=dict(converter='sequential_to_prtr_cascade'), state_dict=result), args.output
    )

    print(f'{args.input} -> {args.output}: {len(result):,} keys written')
    print(summarize(result))


if __name__ == '__main__':
    main()
