"""Convert the PRTR authors' two-stage checkpoints to mmpose's layout and back.

Example::

    python tools/model_converters/prtr_to_mmpose.py final_state.pth prtr.pth
    python tools/model_converters/prtr_to_mmpose.py --reverse prtr.pth back.pth

The input is a bare ``state_dict`` or a training checkpoint that holds one
under ``state_dict``, with or without the ``module.`` prefix of
``DistributedDataParallel``. Backbone (ResNet or HRNet), sizes, numbers of
layers, joints and queries are read from the file. The conversion is strict:
every key of the file is used and every parameter of the mmpose model is
filled, or nothing is written and the error names the keys.

The output holds tensors and plain Python values only, so that
``torch.load(..., weights_only=True)`` reads it.
"""
import argparse
import os
import pickle
import re
from collections import OrderedDict
from typing import Dict, List, Optional, Tuple

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpose.models.backbones import ResNet
from mmpose.registry import MODELS
from torch import Tensor

import prtr_plugin  # noqa: F401

_ANY = 'transformer.{part}.layers.{i}.'
_DEC = 'transformer.decoder.layers.{i}.'

# The whole map, read in both directions; the first template that fits wins.
# {i} is a number, {p} weight or bias, {part} encoder or decoder, {rest} any
# ending.
RULES: Tuple[Tuple[str, str], ...] = (
    # The authors' HRNet class ends with what is the neck here.
    ('backbone.0.body.incre_modules.{rest}', 'neck.incre_modules.{rest}'),
    ('backbone.0.body.downsamp_modules.{rest}',
     'neck.downsamp_modules.{rest}'),
    ('backbone.0.body.final_layer.{rest}', 'neck.final_layer.{rest}'),
    ('backbone.0.body.{rest}', 'backbone.{rest}'),
    ('input_proj.{p}', 'head.input_proj.{p}'),
    ('query_embed.weight', 'head.query_embedding.weight'),
    (_ANY + 'self_attn.{rest}', f'head.{_ANY}self_attn.attn.{{rest}}'),
    (_ANY + 'linear1.{p}', f'head.{_ANY}ffn.layers.0.0.{{p}}'),
    (_ANY + 'linear2.{p}', f'head.{_ANY}ffn.layers.1.{{p}}'),
    (_ANY + 'norm1.{p}', f'head.{_ANY}norms.0.{{p}}'),
    (_ANY + 'norm2.{p}', f'head.{_ANY}norms.1.{{p}}'),
    (_DEC + 'multihead_attn.{rest}', f'head.{_DEC}cross_attn.attn.{{rest}}'),
    (_DEC + 'norm3.{p}', f'head.{_DEC}norms.2.{{p}}'),
    ('transformer.{part}.norm.{p}', 'head.transformer.{part}.post_norm.{p}'),
    ('class_embed.{p}', 'head.fc_cls.{p}'),
    ('kpt_embed.layers.{i}.{p}', 'head.kpt_branch.layers.{i}.{p}'),
)

_FIELDS = dict(i=r'\d+', p=r'weight|bias', part=r'encoder|decoder', rest=r'.+')

# Keys that only the deformable and the sequential variant have.
_OTHER_VARIANTS = dict(
    deformable=re.compile(r'transformer\.level_embed$|\.sampling_offsets\.|'
                          r'^(class_embed|kpt_embed|input_proj)\.\d+\.'),
    sequential=re.compile(r'^(transformer_kpt|bbox_embed)\.'))


def _compile(template: str) -> 're.Pattern':
    """A template of ``RULES`` as a regular expression."""
    pattern = re.escape(template)
    for name, regex in _FIELDS.items():
        pattern = pattern.replace(
            re.escape(f'{{{name}}}'), f'(?P<{name}>{regex})')
    return re.compile(pattern)


_FORWARD = [(_compile(theirs), ours) for theirs, ours in RULES]
_BACKWARD = [(_compile(ours), theirs) for theirs, ours in RULES]


def _list_keys(title: str, keys: List[str], limit: int = 30) -> str:
    """A titled list of keys for an error message ('' when there are none)."""
    if not keys:
        return ''
    lines = [f'{title} ({len(keys)}):']
    lines += [f'  {key}' for key in keys[:limit]]
    if len(keys) > limit:
        lines.append(f'  ... and {len(keys) - limit} more')
    return '\n' + '\n'.join(lines)


def _rename(state_dict: Dict[str, Tensor], rules, remedy: str) -> OrderedDict:
    """Rename every key by the first rule that fits.

    Raises:
        ValueError: When a key fits no rule; names all such keys.
    """
    renamed, unknown = OrderedDict(), []
    for key, value in state_dict.items():
        for pattern, template in rules:
            match = pattern.fullmatch(key)
            if match:
                renamed[template.format(**match.groupdict())] = value
                break
        else:
            unknown.append(key)
    if unknown:
        raise ValueError(remedy + _list_keys('keys without a place', unknown))
    return renamed


def unwrap(checkpoint: dict) -> OrderedDict:
    """Take the bare state dict out of a checkpoint.

    Args:
        checkpoint (dict): A state dict, or a dict that holds one under
            ``state_dict``; keys may start with ``module.``.

    Returns:
        OrderedDict: Keys without prefix to tensors on the CPU.

    Raises:
        ValueError: When there is no state dict, or a value is no tensor.
    """
    if not isinstance(checkpoint, dict):
        raise ValueError('The file must hold a dict of tensors or a '
                         'checkpoint with the key "state_dict", but holds a '
                         f'{type(checkpoint).__name__}.')
    state_dict = checkpoint.get('state_dict', checkpoint)
    if not isinstance(state_dict, dict) or not state_dict:
        raise ValueError('"state_dict" must be a non-empty dict of tensors, '
                         f'got {type(state_dict).__name__}.')
    wrong = [str(k) for k, v in state_dict.items() if not torch.is_tensor(v)]
    if wrong:
        raise ValueError('This is no state dict: give a file that holds '
                         'tensors only, or has the key "state_dict".' +
                         _list_keys('keys that hold no tensor', wrong))
    if all(key.startswith('module.') for key in state_dict):
        prefix = len('module.')
    else:
        prefix = 0
    return OrderedDict((key[prefix:], value.detach().cpu())
                       for key, value in state_dict.items())


def _count(keys, template: str) -> int:
    """Number of different ``{i}`` for which a key fits the template."""
    pattern = _compile(template)
    return len({m['i'] for m in map(pattern.fullmatch, keys) if m})


def _size(state_dict: Dict[str, Tensor], key: str, axis: int = 0) -> int:
    """Size of one axis of a tensor, with a plain error if it is missing."""
    if key not in state_dict:
        raise ValueError(
            f'The file is incomplete: no key for "{key}", from which the '
            'size of the model is read. Download it again, or check that '
            'this is a two-stage PRTR checkpoint.')
    return state_dict[key].shape[axis]


def _infer_resnet(state_dict: Dict[str, Tensor]) -> dict:
    """The ResNet whose numbers of blocks are those of the file."""
    blocks = tuple(
        _count(state_dict, f'backbone.layer{stage}.{{i}}.conv1.weight')
        for stage in (1, 2, 3, 4))
    kind = ('Bottleneck' if 'backbone.layer1.0.conv3.weight' in state_dict else
            'BasicBlock')
    for depth, (block, stages) in ResNet.arch_settings.items():
        if tuple(stages) == blocks and block.__name__ == kind:
            return dict(type='ResNet', depth=depth)
    raise ValueError(
        f'No ResNet has {blocks} {kind} in its four stages. Known: ' +
        ', '.join(f'{d}: {tuple(s)}'
                  for d, (_, s) in ResNet.arch_settings.items()))


def _infer_hrnet(state_dict: Dict[str, Tensor]) -> Tuple[dict, dict]:
    """HRNet and neck; the width is that of the first branch."""
    width = _size(state_dict, 'backbone.stage2.0.branches.0.0.conv1.weight')
    widths = tuple(width * 2**i for i in range(4))

    def stage(num_modules, num_branches):
        return dict(
            num_modules=num_modules,
            num_branches=num_branches,
            block='BASIC',
            num_blocks=(4, ) * num_branches,
            num_channels=widths[:num_branches])

    extra = dict(
        stage1=dict(
            num_modules=1,
            num_branches=1,
            block='BOTTLENECK',
            num_blocks=(4, ),
            num_channels=(64, )),
        stage2=stage(1, 2),
        stage3=stage(4, 3),
        stage4=dict(stage(3, 4), multiscale_output=True))
    neck = dict(
        type='HRNetClsNeck',
        in_channels=widths,
        mid_channels=tuple(
            _size(state_dict, f'neck.incre_modules.{i}.0.conv3.weight')
            for i in range(4)),
        out_channels=_size(state_dict, 'neck.final_layer.0.weight'))
    return dict(type='HRNet', in_channels=3, extra=extra), neck


def infer_model(state_dict: Dict[str, Tensor]) -> dict:
    """Model config that fits a converted state dict.

    Args:
        state_dict (dict): Converted weights (keys of mmpose's layout).

    Returns:
        dict: Config of a ``TopdownPoseEstimator``, complete as far as keys
        and shapes go (a checkpoint does not tell the number of attention
        heads or the input size).
    """
    if any(key.startswith('backbone.stage2.') for key in state_dict):
        backbone, neck = _infer_hrnet(state_dict)
    else:
        backbone, neck = _infer_resnet(state_dict), None

    part = 'head.transformer.{}.layers.{{i}}.norms.0.weight'
    embed_dims = _size(state_dict, 'head.input_proj.weight')
    num_keypoints = _size(state_dict, 'head.fc_cls.weight') - 1
    head = dict(
        type='PRTRHead',
        in_channels=_size(state_dict, 'head.input_proj.weight', 1),
        out_channels=num_keypoints,
        num_queries=_size(state_dict, 'head.query_embedding.weight'),
        embed_dims=embed_dims,
        transformer=dict(
            num_encoder_layers=_count(state_dict, part.format('encoder')),
            num_decoder_layers=_count(state_dict, part.format('decoder')),
            feedforward_channels=_size(
                state_dict, 'head.transformer.decoder.layers.0.'
                'ffn.layers.0.0.weight'),
            # post-norm encoders end without a norm of their own
            pre_norm='head.transformer.encoder.post_norm.weight'
            in state_dict),
        positional_encoding=dict(
            type='mmdet.SinePositionalEncoding',
            num_feats=embed_dims // 2,
            normalize=True),
        decoder=dict(
            type='HungarianKeypointCodec',
            input_size=(288, 384),  # any: no weight depends on it
            num_keypoints=num_keypoints))
    model = dict(type='TopdownPoseEstimator', backbone=backbone, head=head)
    if neck is not None:
        model['neck'] = neck
    return model


def check_complete(state_dict: Dict[str, Tensor],
                   model: Optional[dict] = None) -> None:
    """Compare keys and shapes with the model they belong to, both ways.

    Args:
        state_dict (dict): Converted weights.
        model (dict, optional): Model config to compare with. Defaults to
            the one that :func:`infer_model` reads from the weights.

    Raises:
        ValueError: Names missing, unexpected and mis-shaped keys.
    """
    if model is None:
        model = infer_model(state_dict)
    # shapes only, no memory and no values
    with DefaultScope.overwrite_default_scope('mmpose'), \
            torch.device('meta'):
        expected = MODELS.build(model).state_dict()
    missing = [key for key in expected if key not in state_dict]
    unexpected = [key for key in state_dict if key not in expected]
    shapes = [
        f'{key}: file {tuple(value.shape)}, '
        f'model {tuple(expected[key].shape)}'
        for key, value in state_dict.items()
        if key in expected and value.shape != expected[key].shape
    ]
    if missing or unexpected or shapes:
        raise ValueError(
            'The checkpoint does not fit the model; use an undamaged file '
            'and, with --config, the config of the same variant.' +
            _list_keys('missing', missing) +
            _list_keys('unexpected', unexpected) +
            _list_keys('wrong shape', shapes))


def convert_state_dict(checkpoint: dict,
                       model: Optional[dict] = None) -> OrderedDict:
    """Convert the authors' weights to the layout of the mmpose model.

    The authors' ResNets carry frozen batch norms without a step counter;
    ``num_batches_tracked`` is added as 0.

    Args:
        checkpoint (dict): State dict or training checkpoint of the authors.
        model (dict, optional): Model config that the result has to fit.
            Defaults to the one read from the weights.

    Returns:
        OrderedDict: Weights for ``TopdownPoseEstimator`` with ``PRTRHead``;
        loads with ``strict=True``.

    Raises:
        ValueError: When a key is unknown, missing or of the wrong shape, or
            the file belongs to another variant.
    """
    state_dict = unwrap(checkpoint)
    for variant, pattern in _OTHER_VARIANTS.items():
        found = list(filter(pattern.search, state_dict))
        if found:
            raise ValueError(
                f'This is a {variant} PRTR checkpoint (it has "{found[0]}"), '
                'which is not supported by this version: it converts the '
                'plain two-stage models only.')
    if any(key.startswith('head.') for key in state_dict):
        raise ValueError('The file has the mmpose layout already (keys start '
                         'with "head."); use --reverse for the way back.')
    renamed = _rename(state_dict, _FORWARD,
                      'This is no two-stage PRTR checkpoint of the authors.')
    result = OrderedDict()
    for key, value in renamed.items():
        result[key] = value
        counter = re.sub(r'running_var$', 'num_batches_tracked', key)
        if counter != key and counter not in renamed:
            result[counter] = torch.zeros((), dtype=torch.int64)
    check_complete(result, model)
    return result


def revert_state_dict(checkpoint: dict,
                      model: Optional[dict] = None) -> OrderedDict:
    """Convert weights of the mmpose model back to the authors' layout.

    Args:
        checkpoint (dict): State dict or checkpoint of this project.
        model (dict, optional): Model config that the weights have to fit.
            Defaults to the one read from the weights.

    Returns:
        OrderedDict: Weights with the authors' keys. The step counters of
        batch norm are left out for ResNets, as the authors' frozen batch
        norms have none.

    Raises:
        ValueError: When a key is unknown, missing or of the wrong shape.
    """
    state_dict = unwrap(checkpoint)
    if any(key.startswith('backbone.0.body.') for key in state_dict):
        raise ValueError('The file has the authors\' layout already (keys '
                         'start with "backbone.0.body."); leave out '
                         '--reverse to convert it.')
    check_complete(state_dict, model)
    if not any(key.startswith('neck.') for key in state_dict):
        state_dict = OrderedDict((key, value)
                                 for key, value in state_dict.items()
                                 if not key.endswith('num_batches_tracked'))
    return _rename(state_dict, _BACKWARD,
                   'These weights are not those of a two-stage PRTR model.')


def summarize(state_dict: Dict[str, Tensor]) -> str:
    """Table of groups: number of keys, parameters and buffer entries.

    Args:
        state_dict (dict): Weights in the mmpose layout.
    """
    groups = OrderedDict()
    for key, value in state_dict.items():
        depth = 1
        if key.startswith('head.'):
            depth = 3 if key.startswith('head.transformer.') else 2
        name = '.'.join(key.split('.')[:depth])
        row = groups.setdefault(name, [0, 0, 0])
        is_buffer = re.search(r'running_(mean|var)$|num_batches_tracked$', key)
        row[0] += 1
        row[2 if is_buffer else 1] += value.numel()
    rows = sorted(groups.items())
    rows.append(('total', [sum(column) for column in zip(*groups.values())]))
    lines = [f'{"group":<26}{"keys":>8}{"parameters":>14}{"buffers":>10}']
    lines += [f'{n:<26}{r[0]:>8,}{r[1]:>14,}{r[2]:>10,}' for n, r in rows]
    return '\n'.join(lines)


def load_checkpoint(path: str, trust: bool = False) -> dict:
    """Read a checkpoint file to the CPU.

    Raises:
        ValueError: When the file is missing, damaged, or holds Python
            objects and ``trust`` is not set.
    """
    if not os.path.isfile(path):
        raise ValueError(f'There is no file "{path}".')
    try:
        return torch.load(path, map_location='cpu', weights_only=not trust)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f'"{path}" holds more than tensors and plain values, or is '
            'damaged. If you trust its source, add --trust to unpickle '
            f'everything in it. ({str(error).splitlines()[0]})') from error
    except (RuntimeError, EOFError, OSError) as error:
        raise ValueError(f'"{path}" is no readable PyTorch checkpoint '
                         f'({str(error).splitlines()[0]}). Download it '
                         'again.') from error


def save_checkpoint(checkpoint: dict, path: str) -> None:
    """Write a file in one step, so that no half-written file remains."""
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    temporary = f'{path}.{os.getpid()}.tmp'
    try:
        torch.save(checkpoint, temporary)
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Convert a two-stage PRTR checkpoint of the authors to '
        'the mmpose layout (or back).')
    parser.add_argument('input', metavar='IN', help='checkpoint to read')
    parser.add_argument('output', metavar='OUT', help='checkpoint to write')
    parser.add_argument(
        '--reverse',
        action='store_true',
        help='from the mmpose layout to the authors\'')
    parser.add_argument(
        '--config',
        help='config whose model the weights have to fit (default: the '
        'model is read from the file)')
    parser.add_argument(
        '--trust',
        action='store_true',
        help='unpickle Python objects in IN; runs code of its author')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    if os.path.realpath(args.input) == os.path.realpath(args.output):
        raise SystemExit(f'OUT must not be IN ("{args.input}"): give '
                         'another path to write to.')
    try:
        model = Config.fromfile(args.config).model if args.config else None
        checkpoint = load_checkpoint(args.input, args.trust)
        if args.reverse:
            ours = unwrap(checkpoint)
            result = revert_state_dict(ours, model)
            output = result
        else:
            ours = result = convert_state_dict(checkpoint, model)
            output = dict(
                meta=dict(converter='prtr_to_mmpose'), state_dict=result)
    except (ValueError, FileNotFoundError) as error:
        raise SystemExit(f'Cannot convert "{args.input}": {error}')
    save_checkpoint(output, args.output)

    print(f'{args.input} -> {args.output}: {len(result):,} keys written')
    print(summarize(ours))


if __name__ == '__main__':
    main()
