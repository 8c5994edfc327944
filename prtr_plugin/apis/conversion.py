from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ..checkpoints import (
    CheckpointError,
    convert_detr,
    convert_sequential,
    convert_two_stage,
    get_state_dict,
    read_checkpoint,
    revert_two_stage,
    summarize,
)
from ..fileio import write_file
from .config import load_config

_CONVERTERS: dict[str, Callable] = dict(
    two_stage=convert_two_stage, detr=convert_detr, sequential=convert_sequential
)


def convert_checkpoint(
    source: str | Path,
    target: str | Path,
    kind: str,
    reverse: bool = False,
    config: str | None = None,
    trust: bool = False,
    **options: Any,
) -> str:
    """Convert a checkpoint of other code to one of this plugin.

    Every key of the file is used and every parameter of the model is filled,
    or nothing is written and the error names the keys.

    Args:
        source (str | Path): Checkpoint to read: a state dict, or a dict that
            holds one under ``state_dict`` or ``model``
        target (str | Path): Checkpoint to write, of tensors and plain values
            only
        kind (str): What ``source`` is: ``'two_stage'`` or ``'sequential'`` for
            the models of PRTR's authors, ``'detr'`` for a DETR of mmdet or
            facebookresearch, which becomes the detector of a cascade
        reverse (bool): Whether to convert to the layout of the authors
            instead. Only for ``'two_stage'``. Defaults to ``False``
        config (str, optional): Config file whose model the weights have to
            fit. Defaults to None, for a published model or, except for
            ``'two_stage'``, any that is complete in itself
        trust (bool): Whether to unpickle any Python object in ``source``,
            which can run code of its author. Defaults to ``False``
        **options: Further arguments of :func:`convert_detr` (``origin``,
            ``person_row``) and :func:`convert_sequential` (``background``)

    Returns:
        str: What was written, and a table of its parts.

    Raises:
        FileNotFoundError: If ``source`` or ``config`` is missing.
        CheckpointError: If ``source`` cannot be read or converted.
        ValueError: If there is no such kind, the options do not fit, or
            ``target`` is ``source``.

    Example:
        >>> from prtr_plugin.apis import convert_checkpoint
        >>> print(convert_checkpoint('theirs.pth', 'ours.pth', 'two_stage'))
    """
    if kind not in _CONVERTERS:
        raise ValueError(f'kind must be one of {", ".join(_CONVERTERS)}, but got {kind!r}.')
    if reverse and kind != 'two_stage':
        raise ValueError(f"reverse=True needs kind='two_stage', but kind is {kind!r}.")
    if Path(source).resolve() == Path(target).resolve():
        raise ValueError(f'OUT must not be IN ("{source}"). Give another path to write to.')
    model = load_config(config).get('model') if config else None
    if config and not model:
        raise ValueError(f'The config {config} has no model. Give one of a pose estimator.')
    checkpoint = read_checkpoint(source, trust)
    convert = revert_two_stage if reverse else _CONVERTERS[kind]
    try:
        result = convert(checkpoint, model, **options)
    except CheckpointError as error:
        raise CheckpointError(f'Cannot convert "{source}": {error}') from None
    state_dict, *notes = result if kind == 'detr' else (result,)
    ours = get_state_dict(checkpoint) if reverse else state_dict
    with write_file(target) as file:
        meta = dict(converter=f'prtr_plugin, {kind}')
        torch.save(state_dict if reverse else dict(meta=meta, state_dict=state_dict), file)
    written = f'{source} -> {target}: {len(state_dict):,} keys written'
    return '\n'.join([written, *notes, summarize(ours)])
