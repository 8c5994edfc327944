"""Convert the PRTR authors' two-stage checkpoints to mmpose's layout and back.

Example::

    python tools/model_converters/prtr_to_mmpose.py final_state.pth prtr.pth
    python tools/model_converters/prtr_to_mmpose.py --reverse prtr.pth back.pth

The input is a bare ``state_dict`` or a training checkpoint that holds one
under ``state_dict``, with or without the ``module.`` prefix of
``DataParallel``. The backbone (ResNet-50, 101, 152 or HRNet-W32) and the
number of joints are read from the file, all else is as in the published
models; for weights of another size name the config with ``--config``. Every
key of the file is used and every parameter of the mmpose model is filled, or
nothing is written and the error names the keys.

The output holds tensors and plain Python values only, so that
``torch.load(..., weights_only=True)`` reads it.
"""
import argparse
import os
import pickle
import re
from collections import OrderedDict
from pathlib import Path
from typing import Dict, List, Optional

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpose.registry import MODELS
from torch import Tensor

import prtr_plugin  # noqa: F401

_ANY = 'transformer.{part}.layers.{i}.'
_DEC = 'transformer.decoder.layers.{i}.'

# The whole map, read in both directions; the first template that fits wins.
# {i} is a number, {p} weight or bias, {part} encoder or decoder, {rest} any
# ending.
RULES = (
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

CONFIGS = Path(__file__).resolve().parents[2] / 'configs/body_2d_keypoint/prtr'

# Start of a key that tells a model from those below it, and its config.
PUBLISHED = (
    ('backbone.stage2.', 'coco/td-prtr_hrnet-w32_4xb16-200e_coco-384x288.py'),
    ('backbone.layer3.35.', 'mpii/td-prtr_res152_4xb32-200e_mpii-256x256.py'),
    ('backbone.layer3.22.', 'coco/td-prtr_res101_4xb32-200e_coco-384x288.py'),
    ('backbone.layer3.', 'coco/td-prtr_res50_4xb32-200e_coco-384x288.py'),
)

REMEDY = ('Without --config only the published models fit (100 queries, 6 '
          'encoder and 6 decoder layers, width 256): give the config of this '
          'model if it is another one, or else get the file again.')

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


def _list_keys(title: str, keys: List[str]) -> str:
    """A titled list of keys for an error message ('' when there are none)."""
    if not keys:
        return ''
    lines = [f'\n{title} ({len(keys)}):', *keys[:30]]
    if len(keys) > 30:
        lines.append('...')
    return '\n  '.join(lines)


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
    state_dict = checkpoint
    if isinstance(checkpoint, dict):
        state_dict = checkpoint.get('state_dict', checkpoint)
    if not isinstance(state_dict, dict) or not state_dict:
        raise ValueError('The file must hold a dict of tensors, or a '
                         'checkpoint with such a dict under "state_dict", '
                         f'but there is {state_dict!r:.80}.')
    wrong = [str(k) for k, v in state_dict.items() if not torch.is_tensor(v)]
    if wrong:
        raise ValueError('This is no state dict: give a file that holds '
                         'tensors only, or has the key "state_dict".' +
                         _list_keys('keys that hold no tensor', wrong))
    prefixed = all(key.startswith('module.') for key in state_dict)
    start = len('module.') if prefixed else 0
    return OrderedDict((key[start:], value.detach().cpu())
                       for key, value in state_dict.items())


def infer_model(state_dict: Dict[str, Tensor]) -> dict:
    """Config of the published model that converted weights belong to.

    Args:
        state_dict (dict): Weights in the mmpose layout.

    Returns:
        dict: Model config with the number of joints of the weights, and
        without the data preprocessor, which has no weights.

    Raises:
        ValueError: When there is no backbone of a published model.
    """
    for prefix, path in PUBLISHED:
        if any(key.startswith(prefix) for key in state_dict):
            break
    else:
        raise ValueError('The file has no backbone of a published model '
                         '(ResNet-50, 101, 152 or HRNet-W32). ' + REMEDY)
    model = Config.fromfile(CONFIGS / path).model
    del model['data_preprocessor']
    if 'head.fc_cls.bias' in state_dict:
        num_keypoints = len(state_dict['head.fc_cls.bias']) - 1
        model.head.out_channels = num_keypoints
        model.head.decoder.num_keypoints = num_keypoints
    return model


def check_complete(state_dict: Dict[str, Tensor],
                   model: Optional[dict] = None) -> None:
    """Compare keys and shapes with the model they belong to, both ways.

    Args:
        state_dict (dict): Converted weights.
        model (dict, optional): Model config to compare with. Defaults to
            the published one, see :func:`infer_model`.

    Raises:
        ValueError: Names missing, unexpected and mis-shaped keys.
    """
    # shapes only, no memory and no values
    with DefaultScope.overwrite_default_scope('mmpose'), \
            torch.device('meta'):
        expected = MODELS.build(model or infer_model(state_dict)).state_dict()
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
            ('The file does not fit the model of --config: use a config of '
             'the same variant.' if model else
             'The file does not fit the published model that it resembles. ' +
             REMEDY) +
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
            Defaults to the published one, see :func:`infer_model`.

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
        # backbone, neck, head.fc_cls, head.transformer.encoder, ...
        name = re.match(r'(head\.(transformer\.)?)?\w+', key)[0]
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
        help='config whose model the weights have to fit (default: that of '
        'the published model)')
    parser.add_argument(
        '--trust',
        action='store_true',
        help='unpickle Python objects in IN, which runs code of its author; '
        'a checkpoint.pth of training holds a NumPy score and needs this')
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
