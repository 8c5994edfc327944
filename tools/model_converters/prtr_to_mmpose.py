"""Convert the PRTR authors' two-stage checkpoints to mmpose's layout and back.

Example::

    python tools/model_converters/prtr_to_mmpose.py final_state.pth prtr.pth
    python tools/model_converters/prtr_to_mmpose.py --reverse prtr.pth back.pth

The input is a bare ``state_dict`` or a training checkpoint that holds one
under ``state_dict``, with or without the ``module.`` prefix of
``DataParallel``. The backbone (ResNet-50, 101, 152 or HRNet-W32), the number
of joints and whether attention is deformable are read from the file, all else
is as in the published models; for weights of another size name the config
with ``--config``. Every key of the file is used and every parameter of the
mmpose model is filled, or nothing is written and the error names the keys.

The output holds tensors and plain Python values only, so that
``torch.load(..., weights_only=True)`` reads it.
"""

import argparse
import re
from collections import OrderedDict
from pathlib import Path

import torch
from converter_utils import (
    add_counters,
    check_paths,
    compare_with_model,
    list_keys,
    load_checkpoint,
    rename,
    save_checkpoint,
    summarize,
    transformer_rules,
    unwrap,
)
from mmengine.config import Config
from torch import Tensor

# The whole maps, read in both directions; the first template that fits wins.
RULES = (
    # The authors' HRNet class ends with what is the neck here.
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
    # three maps of the backbone, and a level made of the last one
    ('input_proj.3.0.{p}', 'head.transformer.input_proj.extra_convs.0.conv.{p}'),
    ('input_proj.3.1.{p}', 'head.transformer.input_proj.extra_convs.0.gn.{p}'),
    ('input_proj.{i}.0.{p}', 'head.transformer.input_proj.convs.{i}.conv.{p}'),
    ('input_proj.{i}.1.{p}', 'head.transformer.input_proj.convs.{i}.gn.{p}'),
    ('query_embed.weight', 'head.transformer.query_embedding.weight'),
    ('transformer.level_embed', 'head.transformer.level_embed'),
    ('transformer.reference_points.{p}', 'head.transformer.reference_points_fc.{p}'),
    (f'{_ENCODER}self_attn.{{rest}}', f'head.{_ENCODER}self_attn.{{rest}}'),
    (f'{_DECODER}cross_attn.{{rest}}', f'head.{_DECODER}cross_attn.{{rest}}'),
    # they count the norms from cross-attention, which comes second
    (f'{_DECODER}norm1.{{p}}', f'head.{_DECODER}norms.1.{{p}}'),
    (f'{_DECODER}norm2.{{p}}', f'head.{_DECODER}norms.0.{{p}}'),
    *transformer_rules('transformer.', 'head.transformer.'),
    ('class_embed.0.{p}', 'head.fc_cls.{p}'),
    ('kpt_embed.0.layers.{i}.{p}', 'head.kpt_branches.0.layers.{i}.{p}'),
)

CONFIGS = Path(__file__).resolve().parents[2] / 'configs/body_2d_keypoint/prtr'

# Start of a key that tells a model from those below it, and its config.
DEFORMABLE = (
    ('backbone.layer3.22.', 'coco/td-deformable-prtr_res101_4xb16-100e_coco-384x288.py'),
    ('backbone.layer3.', 'coco/td-deformable-prtr_res50_4xb16-100e_coco-384x288.py'),
)
PUBLISHED = (
    ('backbone.stage2.', 'coco/td-prtr_hrnet-w32_4xb16-200e_coco-384x288.py'),
    ('backbone.layer3.35.', 'mpii/td-prtr_res152_4xb32-200e_mpii-256x256.py'),
    ('backbone.layer3.22.', 'coco/td-prtr_res101_4xb32-200e_coco-384x288.py'),
    ('backbone.layer3.', 'coco/td-prtr_res50_4xb32-200e_coco-384x288.py'),
)

REMEDY = (
    'Without --config only the published models fit (100 queries, 6 '
    'encoder and 6 decoder layers, width 256): give the config of this '
    'model if it is another one, or else get the file again.'
)

# Keys that only the sequential variant has.
_SEQUENTIAL = re.compile(r'(transformer_kpt|bbox_embed)\.')

# Layers of the deformable variant that are stored more than once.
_SHARED = re.compile(r'(class_embed|kpt_embed)\.(\d+)\.(.+)')


def _is_deformable(state_dict: dict[str, Tensor]) -> bool:
    """Whether weights, in either layout, are those of the deformable model."""
    return any('.sampling_offsets.' in key for key in state_dict)


def _add_copies(state_dict: dict[str, Tensor]) -> OrderedDict:
    """The authors' deformable model stores the class and coordinate layers
    once for each decoder layer, though all of these share them; here are the
    copies of the first ones."""
    layers = OrderedDict.fromkeys(
        key.split('.')[3] for key in state_dict if key.startswith('transformer.decoder.layers.')
    )
    result = OrderedDict()
    for key, value in state_dict.items():
        match = _SHARED.fullmatch(key)
        if not match:
            result[key] = value
        elif match[2] == '0':
            for i in layers:
                result[f'{match[1]}.{i}.{match[3]}'] = value
    return result


def _drop_copies(state_dict: dict[str, Tensor]) -> OrderedDict:
    """Undo :func:`_add_copies`.

    Raises:
        ValueError: When a copy is missing or not the same as the first.
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
        raise ValueError(
            'The decoder layers of the published deformable models share '
            'class_embed and kpt_embed, of which a file has one copy for each '
            'layer. Get the file again.'
            + list_keys('missing copies', missing)
            + list_keys('copies unlike that of layer 0', other)
        )
    return OrderedDict(
        (key, value)
        for key, value in state_dict.items()
        if not re.match(r'(class_embed|kpt_embed)\.[1-9]', key)
    )


def infer_model(state_dict: dict[str, Tensor]) -> dict:
    """Config of the published model that converted weights belong to.

    Args:
        state_dict (dict): Weights in the mmpose layout.

    Returns:
        dict: Model config with the number of joints of the weights, and
        without the data preprocessor, which has no weights.

    Raises:
        ValueError: When there is no backbone of a published model.
    """
    published = DEFORMABLE if _is_deformable(state_dict) else PUBLISHED
    for prefix, path in published:
        if any(key.startswith(prefix) for key in state_dict):
            break
    else:
        raise ValueError(
            'The file has no backbone of a published model '
            '(ResNet-50, 101, 152 or HRNet-W32; deformable: '
            'ResNet-50 or 101). ' + REMEDY
        )
    model = Config.fromfile(CONFIGS / path).model
    del model['data_preprocessor']
    if 'head.fc_cls.bias' in state_dict:
        num_keypoints = len(state_dict['head.fc_cls.bias']) - 1
        model.head.out_channels = num_keypoints
        model.head.decoder.num_keypoints = num_keypoints
    return model


def check_complete(state_dict: dict[str, Tensor], model: dict | None = None) -> None:
    """Compare keys and shapes with the model they belong to, both ways.

    Args:
        state_dict (dict): Converted weights.
        model (dict, optional): Model config to compare with. Defaults to
            the published one, see :func:`infer_model`.

    Raises:
        ValueError: Names missing, unexpected and mis-shaped keys.
    """
    if model:
        remedy = 'The file does not fit the model of --config: use a config of the same variant.'
    else:
        model = infer_model(state_dict)
        remedy = 'The file does not fit the published model that it resembles. ' + REMEDY
    compare_with_model(state_dict, model, remedy)


def convert_state_dict(checkpoint: dict, model: dict | None = None) -> OrderedDict:
    """Convert the authors' weights to the layout of the mmpose model.

    The authors' ResNets carry frozen batch norms without a step counter;
    ``num_batches_tracked`` is added as 0.

    Args:
        checkpoint (dict): State dict or training checkpoint of the authors.
        model (dict, optional): Model config that the result has to fit.
            Defaults to the published one, see :func:`infer_model`.

    Returns:
        OrderedDict: Weights for ``TopdownPoseEstimator`` with ``PRTRHead`` or
        ``DeformablePRTRTransformer``; loads with ``strict=True``.

    Raises:
        ValueError: When a key is unknown, missing or of the wrong shape, or
            the file belongs to another variant.
    """
    state_dict = unwrap(checkpoint)
    found = [key for key in state_dict if _SEQUENTIAL.match(key)]
    if found:
        raise ValueError(
            f'This is a sequential PRTR checkpoint (it has "{found[0]}"), '
            'which is not supported by this script. Use '
            'sequential_to_prtr_cascade.py.'
        )
    if any(key.startswith('head.') for key in state_dict):
        raise ValueError(
            'The file has the mmpose layout already (keys start '
            'with "head."); use --reverse for the way back.'
        )
    rules = RULES
    if _is_deformable(state_dict):
        rules = DEFORMABLE_RULES
        state_dict = _drop_copies(state_dict)
    result = add_counters(
        rename(state_dict, rules, 'This is no two-stage PRTR checkpoint of the authors.')
    )
    check_complete(result, model)
    return result


def revert_state_dict(checkpoint: dict, model: dict | None = None) -> OrderedDict:
    """Convert weights of the mmpose model back to the authors' layout.

    Args:
        checkpoint (dict): State dict or checkpoint of this project.
        model (dict, optional): Model config that the weights have to fit.
            Defaults to the published one, see :func:`infer_model`.

    Returns:
        OrderedDict: Weights with the authors' keys. The step counters of
        batch norm are left out for ResNets, as the authors' frozen batch
        norms have none.

    Raises:
        ValueError: When a key is unknown, missing or of the wrong shape.
    """
    state_dict = unwrap(checkpoint)
    if any(key.startswith('backbone.0.body.') for key in state_dict):
        raise ValueError(
            "The file has the authors' layout already (keys "
            'start with "backbone.0.body."); leave out '
            '--reverse to convert it.'
        )
    check_complete(state_dict, model)
    if not any(key.startswith('neck.') for key in state_dict):
        state_dict = OrderedDict(
            (key, value)
            for key, value in state_dict.items()
            if not key.endswith('num_batches_tracked')
        )
    deformable = _is_deformable(state_dict)
    rules = DEFORMABLE_RULES if deformable else RULES
    result = rename(
        state_dict,
        [(ours, theirs) for theirs, ours in rules],
        'These weights are not those of a two-stage PRTR model.',
    )
    return _add_copies(result) if deformable else result


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Convert a two-stage PRTR checkpoint of the authors to '
        'the mmpose layout (or back).'
    )
    parser.add_argument('input', metavar='IN', help='checkpoint to read')
    parser.add_argument('output', metavar='OUT', help='checkpoint to write')
    parser.add_argument(
        '--reverse', action='store_true', help="from the mmpose layout to the authors'"
    )
    parser.add_argument(
        '--config',
        help='config whose model the weights have to fit (default: that of the published model)',
    )
    parser.add_argument(
        '--trust',
        action='store_true',
        help='unpickle Python objects in IN, which runs code of its author; '
        'a checkpoint.pth of training holds a NumPy score and needs this',
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    check_paths(args.input, args.output)
    try:
        model = Config.fromfile(args.config).model if args.config else None
        checkpoint = load_checkpoint(args.input, args.trust)
        if args.reverse:
            ours = unwrap(checkpoint)
            result = revert_state_dict(ours, model)
            output = result
        else:
            ours = result = convert_state_dict(checkpoint, model)
            output = dict(meta=dict(converter='prtr_to_mmpose'), state_dict=result)
    except (ValueError, FileNotFoundError) as error:
        raise SystemExit(f'Cannot convert "{args.input}": {error}')
    save_checkpoint(output, args.output)

    print(f'{args.input} -> {args.output}: {len(result):,} keys written')
    print(summarize(ours))


if __name__ == '__main__':
    main()
