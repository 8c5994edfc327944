from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from mmpose.apis.inference import dataset_meta_from_config
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.registry import DATASETS
from torch import Tensor

from ..checkpoints import (
    CheckpointError,
    convert_detr,
    convert_efficientnet_lite,
    convert_sequential,
    convert_two_stage,
    get_state_dict,
    joint_names,
    read_checkpoint,
    revert_two_stage,
    summarize,
)
from ..fileio import write_file
from .config import load_config

_CONVERTERS: dict[str, Callable] = dict(
    two_stage=convert_two_stage,
    detr=convert_detr,
    sequential=convert_sequential,
    efficientnet_lite=convert_efficientnet_lite,
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
    """Convert a checkpoint of PRTR's authors or of DETR to this plugin's keys.

    Every key of the file must be used and every parameter of the model must be
    filled; otherwise nothing is written and the error names the keys.

    Args:
        source (str | Path): Checkpoint to read: a state dict, or a dict that
            holds one under ``state_dict`` or ``model``
        target (str | Path): Checkpoint to write. It holds only tensors and
            plain values, the names of the joints among them
        kind (str): What ``source`` is: ``'two_stage'`` or ``'sequential'`` for
            the models of PRTR's authors, ``'detr'`` for a DETR of mmdet or
            facebookresearch, which becomes the detector of a cascade,
            ``'efficientnet_lite'`` for a backbone, see :func:`convert_efficientnet_lite`
        reverse (bool): Whether to convert to the authors' layout instead.
            Only for ``'two_stage'``. Defaults to ``False``
        config (str, optional): Config file whose model the weights must fit.
            Defaults to None, which accepts the published models and, for
            ``'detr'`` and ``'efficientnet_lite'``, any complete model
        trust (bool): Whether to unpickle any Python object in ``source``,
            which can run arbitrary code. Defaults to ``False``
        **options: Further arguments of :func:`convert_detr` (``origin``,
            ``person_row``) and :func:`convert_sequential` (``background``)

    Returns:
        str: Summary of what was written, with a table of its parts.

    Raises:
        FileNotFoundError: If ``source`` or ``config`` does not exist.
        CheckpointError: If ``source`` cannot be read or converted.
        TypeError: If the options do not fit ``kind``.
        ValueError: If ``kind`` is unknown, or ``target`` is ``source``.

    Example:
        >>> from prtr_plugin.apis import convert_checkpoint
        >>> print(convert_checkpoint('theirs.pth', 'ours.pth', 'two_stage'))
    """
    if kind not in _CONVERTERS:
        raise ValueError(f'kind must be one of {", ".join(_CONVERTERS)}, but got {kind!r}.')
    if reverse and kind != 'two_stage':
        raise ValueError(f"reverse=True needs kind='two_stage', but kind is {kind!r}.")
    if Path(source).resolve() == Path(target).resolve():
        raise ValueError(f'The output must not replace the input "{source}". Give another path.')
    model = load_config(config).get('model') if config else None
    if config and not model:
        raise ValueError(f'The config {config} has no model. Give the config of a pose estimator.')
    checkpoint = read_checkpoint(source, trust)
    convert = revert_two_stage if reverse else _CONVERTERS[kind]
    try:
        result = convert(checkpoint, model, **options)
    except CheckpointError as error:
        raise CheckpointError(f'Cannot convert "{source}": {error}') from None
    state_dict, *notes = result if kind == 'detr' else (result,)
    ours = get_state_dict(checkpoint) if reverse else state_dict
    with write_file(target) as file:
        meta: dict[str, Any] = dict(converter=f'prtr_plugin, {kind}')
        names = _keypoint_names(state_dict, config)
        if names:
            # write_initial_weights maps them to other joints
            meta['keypoint_names'] = names
        torch.save(state_dict if reverse else dict(meta=meta, state_dict=state_dict), file)
    written = f'{source} -> {target}: {len(state_dict):,} keys written'
    return '\n'.join([written, *notes, summarize(ours)])


def _keypoint_names(state_dict: Mapping[str, Tensor], config: str | None) -> list[str]:
    """The joints of a converted model, none for a detector or unknown ones."""
    rows = len(state_dict.get('head.fc_cls.bias', ()))
    # the published models are for COCO and MPII
    dataset = {18: 'CocoDataset', 17: 'MpiiDataset'}.get(rows)
    if config:
        meta = dataset_meta_from_config(load_config(config))
    else:
        meta = parse_pose_metainfo(DATASETS.get(dataset).METAINFO) if dataset else None
    return joint_names(meta) if meta and meta['num_keypoints'] == rows - 1 else []
