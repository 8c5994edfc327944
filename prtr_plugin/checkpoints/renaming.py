"""Renaming the keys of state dicts by tables of templates."""

import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from .errors import CheckpointError

Rules = Sequence[tuple[str, str]]

_FIELDS = dict(i=r'\d+', p=r'weight|bias', part=r'encoder|decoder', rest=r'.+')


def rename(state_dict: Mapping[str, Tensor], rules: Rules, message: str) -> OrderedDict:
    """Rename every key by the first rule that matches.

    Args:
        state_dict (Mapping[str, Tensor]): Weights
        rules (Sequence[tuple[str, str]]): Pairs of templates for the old and
            the new key. ``{i}`` is a number, ``{p}`` weight or bias,
            ``{part}`` encoder or decoder, ``{rest}`` any ending
        message (str): Start of the error message

    Raises:
        CheckpointError: If a key matches no rule. The message names all such
            keys.
    """
    patterns = [(_compile(old), new) for old, new in rules]
    renamed, unknown = OrderedDict(), []
    for key, value in state_dict.items():
        found = ((pattern.fullmatch(key), new) for pattern, new in patterns)
        match, new = next((pair for pair in found if pair[0]), (None, ''))
        if match:
            renamed[new.format(**match.groupdict())] = value
        else:
            unknown.append(key)
    if unknown:
        raise CheckpointError(message, {'unknown': unknown})
    return renamed


def _compile(template: str) -> re.Pattern:
    """Make a template a regular expression."""
    pattern = re.escape(template)
    for name, regex in _FIELDS.items():
        pattern = pattern.replace(re.escape(f'{{{name}}}'), f'(?P<{name}>{regex})')
    return re.compile(pattern)


def transformer_rules(theirs: str, ours: str) -> Rules:
    """Rules for DETR's transformer, without its projection.

    Args:
        theirs (str): Prefix in DETR's and the authors' code, such as
            ``'transformer.'``
        ours (str): Prefix here, such as ``'head.transformer.'``

    Returns:
        Sequence[tuple[str, str]]: Pairs of templates, see :func:`rename`.
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


def add_counters(state_dict: Mapping[str, Tensor]) -> OrderedDict:
    """Add ``num_batches_tracked`` of batch norms as 0 where it is missing.

    The frozen batch norms of DETR and of the authors have none.
    """
    result = OrderedDict()
    for key, value in state_dict.items():
        result[key] = value
        counter = re.sub(r'running_var$', 'num_batches_tracked', key)
        if counter != key and counter not in state_dict:
            result[counter] = torch.zeros((), dtype=torch.int64)
    return result


def count_layers(state_dict: Mapping[str, Tensor], prefix: str) -> int:
    """Number of layers, from the highest index after ``prefix``."""
    pattern = re.compile(re.escape(prefix) + r'(\d+)\.')
    found = filter(None, map(pattern.match, state_dict))
    return max((int(match[1]) + 1 for match in found), default=0)
