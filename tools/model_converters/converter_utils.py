"""What the checkpoint converters of this folder share."""

import os
import pickle
import re
from collections import OrderedDict
from collections.abc import Sequence

import torch
from mmengine.registry import DefaultScope
from mmpose.registry import MODELS
from torch import Tensor

import prtr_plugin  # noqa: F401

_FIELDS = dict(i=r'\d+', p=r'weight|bias', part=r'encoder|decoder', rest=r'.+')


def transformer_rules(theirs: str, ours: str) -> tuple[tuple[str, str], ...]:
    """Templates of the keys of DETR's transformer, without its projection.

    Args:
        theirs (str): Prefix in DETR's and the authors' code, such as
            ``'transformer.'``.
        ours (str): Prefix here, such as ``'head.transformer.'``.

    Returns:
        tuple[tuple[str, str]]: Pairs of templates, see :func:`rename`.
    """
    layer, decoder = '{part}.layers.{i}.', 'decoder.layers.{i}.'
    return tuple(
        (theirs + left, ours + right)
        for left, right in (
            (layer + 'self_attn.{rest}', layer + 'self_attn.attn.{rest}'),
            (decoder + 'multihead_attn.{rest}', decoder + 'cross_attn.attn.{rest}'),
            (layer + 'linear1.{p}', layer + 'ffn.layers.0.0.{p}'),
            (layer + 'linear2.{p}', layer + 'ffn.layers.1.{p}'),
            (layer + 'norm1.{p}', layer + 'norms.0.{p}'),
            (layer + 'norm2.{p}', layer + 'norms.1.{p}'),
            (decoder + 'norm3.{p}', decoder + 'norms.2.{p}'),
            ('{part}.norm.{p}', '{part}.post_norm.{p}'),
        )
    )


def _compile(template: str) -> 're.Pattern':
    """A template as a regular expression."""
    pattern = re.escape(template)
    for name, regex in _FIELDS.items():
        pattern = pattern.replace(re.escape(f'{{{name}}}'), f'(?P<{name}>{regex})')
    return re.compile(pattern)


def list_keys(title: str, keys: list[str]) -> str:
    """A titled list of keys for an error message ('' when there are none)."""
    if not keys:
        return ''
    lines = [f'\n{title} ({len(keys)}):', *keys[:30]]
    if len(keys) > 30:
        lines.append('...')
    return '\n  '.join(lines)


def rename(
    state_dict: dict[str, Tensor], rules: Sequence[tuple[str, str]], remedy: str
) -> OrderedDict:
    """Rename every key by the first rule that fits.

    Args:
        state_dict (dict): Weights.
        rules (Sequence[tuple[str, str]]): Pairs of templates of the old and
            the new key. ``{i}`` is a number, ``{p}`` weight or bias,
            ``{part}`` encoder or decoder, ``{rest}`` any ending.
        remedy (str): Start of the error message.

    Raises:
        ValueError: When a key fits no rule; names all such keys.
    """
    rules = [(_compile(old), new) for old, new in rules]
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
        raise ValueError(remedy + list_keys('keys without a place', unknown))
    return renamed


def add_counters(state_dict: dict[str, Tensor]) -> OrderedDict:
    """Add ``num_batches_tracked``, which frozen batch norms of DETR and the
    authors lack, as 0 where it is missing."""
    result = OrderedDict()
    for key, value in state_dict.items():
        result[key] = value
        counter = re.sub(r'running_var$', 'num_batches_tracked', key)
        if counter != key and counter not in state_dict:
            result[counter] = torch.zeros((), dtype=torch.int64)
    return result


def unwrap(checkpoint: dict) -> OrderedDict:
    """Take the bare state dict out of a checkpoint.

    Args:
        checkpoint (dict): A state dict, or a dict that holds one under
            ``state_dict`` or ``model``; keys may start with ``module.``.

    Returns:
        OrderedDict: Keys without prefix to tensors on the CPU.

    Raises:
        ValueError: When there is no state dict, or a value is no tensor.
    """
    state_dict = checkpoint
    if isinstance(checkpoint, dict):
        state_dict = checkpoint.get('state_dict', checkpoint.get('model', checkpoint))
    if not isinstance(state_dict, dict) or not state_dict:
        raise ValueError(
            'The file must hold a dict of tensors, or a checkpoint with such '
            'a dict under "state_dict" or "model", but there is '
            f'{state_dict!r:.80}.'
        )
    wrong = [str(k) for k, v in state_dict.items() if not torch.is_tensor(v)]
    if wrong:
        raise ValueError(
            'This is no state dict: give a file that holds tensors only, or '
            'has the key "state_dict" or "model".' + list_keys('keys that hold no tensor', wrong)
        )
    prefixed = all(key.startswith('module.') for key in state_dict)
    start = len('module.') if prefixed else 0
    return OrderedDict((key[start:], value.detach().cpu()) for key, value in state_dict.items())


def compare_with_model(state_dict: dict[str, Tensor], model: dict, remedy: str) -> None:
    """Compare keys and shapes with the model they belong to, both ways.

    Args:
        state_dict (dict): Converted weights.
        model (dict): Model config.
        remedy (str): Start of the error message.

    Raises:
        ValueError: Names missing, unexpected and mis-shaped keys.
    """
    # shapes only, no memory and no values
    with DefaultScope.overwrite_default_scope('mmpose'), torch.device('meta'):
        expected = MODELS.build(model).state_dict()
    missing = [key for key in expected if key not in state_dict]
    unexpected = [key for key in state_dict if key not in expected]
    shapes = [
        f'{key}: file {tuple(value.shape)}, model {tuple(expected[key].shape)}'
        for key, value in state_dict.items()
        if key in expected and value.shape != expected[key].shape
    ]
    if missing or unexpected or shapes:
        raise ValueError(
            remedy
            + list_keys('missing', missing)
            + list_keys('unexpected', unexpected)
            + list_keys('wrong shape', shapes)
        )


def summarize(state_dict: dict[str, Tensor]) -> str:
    """Table of groups: number of keys, parameters and buffer entries.

    Args:
        state_dict (dict): Weights in the layout of this project.
    """
    groups = OrderedDict()
    for key, value in state_dict.items():
        # backbone, neck, head.fc_cls, head.transformer.encoder,
        # detector.bbox_head, ...
        name = re.match(r'((head|detector)\.(transformer\.)?)?\w+', key)[0]
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
            f'everything in it. ({str(error).splitlines()[0]})'
        ) from error
    except (RuntimeError, EOFError, OSError) as error:
        raise ValueError(
            f'"{path}" is no readable PyTorch checkpoint '
            f'({str(error).splitlines()[0]}). Download it '
            'again.'
        ) from error


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


def check_paths(source: str, target: str) -> None:
    """Stop when a converter would overwrite what it reads."""
    if os.path.realpath(source) == os.path.realpath(target):
        raise SystemExit(f'OUT must not be IN ("{source}"): give another path to write to.')
