"""What can be wrong with a config, said before anything runs."""

import difflib
import inspect
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.config import Config
from mmengine.model import is_model_wrapper
from mmengine.registry import DefaultScope, Registry
from mmengine.runner import Runner
from mmpose import registry
from mmpose.datasets.datasets.utils import parse_pose_metainfo

from ..models.estimators import PRTRCascade

# what mmpose's TopdownPoseEstimator and its heads read, of which PRTRHead needs
# only the first, but which a base config may have set
_TEST_CFG = (
    'flip_test',
    'flip_mode',
    'shift_heatmap',
    'shift_coords',
    'output_heatmaps',
    'output_keypoint_indices',
)
_SPLITS = ('train', 'val', 'test')
# what mmengine's runner and this package read from the top level of a config
_SETTINGS = {
    *inspect.signature(Runner).parameters,
    'activation_checkpointing',
    'check_pictures',
    'compile',
    'efficient_conv_bn_eval',
    'find_unused_parameters',
    'model_wrapper_cfg',
    'sync_bn',
} - {'cfg'}
_VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


@contextmanager
def explain_build_errors(cfg: Config) -> Iterator[None]:
    """Say what to do when mmengine cannot build a part of a config.

    Raises:
        ValueError: If a type is not registered or has other arguments.
    """
    try:
        yield
    except (KeyError, TypeError) as error:
        message = str(error.args[0]) if error.args else ''
        unknown = re.search(r'(\S+) is not in the (\S+) registry', message)
        if unknown:
            raise ValueError(
                f'The config {cfg.filename} has the type {unknown[1]!r}, which is not in the '
                f'registry {unknown[2]}. Correct the name or, if it is one of your own, let the '
                "config import its module: custom_imports=dict(imports=['my_module'])."
            ) from error
        if 'argument' in message and '__init__()' in message:
            raise ValueError(
                f'The config {cfg.filename} cannot be built: {message}.{_nearest_argument(message)}'
            ) from error
        raise


def _nearest_argument(message: str) -> str:
    """The argument that was meant, or else all there are, from Python's message."""
    found = re.search(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'", message)
    if not found:
        return ''
    registries = [value for value in vars(registry).values() if isinstance(value, Registry)]
    names = (found[1], f'mmdet.{found[1]}')
    built = [each.get(name) for name in names for each in registries]
    known = {name for one in built if inspect.isclass(one) for name in _arguments(one)}
    known -= {found[2], 'self'}
    takes = f' {found[1]} takes {", ".join(sorted(known))}.' if known else ''
    return did_you_mean(found[2], known) or takes


def _arguments(built: type) -> Iterator[str]:
    """Arguments of a class, and of its parents as long as it passes others on."""
    for parent in built.__mro__:
        if '__init__' in vars(parent):
            parameters = inspect.signature(vars(parent)['__init__']).parameters.values()
            variable = [each.kind for each in parameters if each.kind in _VARIABLE]
            yield from (each.name for each in parameters if each.kind not in _VARIABLE)
            if inspect.Parameter.VAR_KEYWORD not in variable:
                return


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question for the name that is most like another one, empty if none is."""
    close = difflib.get_close_matches(name, sorted(known), n=1)
    return f' Did you mean {close[0]}?' if close else ''


def check_overrides(cfg: Config, options: Iterable[str]) -> None:
    """Check that overriding settings of a config would have an effect.

    Args:
        cfg (Config): Config of a model; another one is not looked at
        options (Iterable[str]): Names of the settings, such as
            ``'train_cfg.max_epochs'``

    Raises:
        ValueError: If nothing reads one of them, or it is a variable that
            settings were made from when the config was read.
    """
    place = f'the config {cfg.filename}' if cfg.filename else 'the config'
    for key in options:
        name = key.partition('.')[0]
        if name in _SETTINGS or 'model' not in cfg:
            continue
        if name == 'custom_imports':
            raise ValueError(
                f'custom_imports is only read with the file, so that it cannot be overridden. '
                f'Write it into {place}, or a config that has it as _base_.'
            )
        if name not in cfg:
            raise ValueError(
                f'There is no {name!r} in {place}, and neither mmengine nor prtr_plugin reads '
                f'one.{did_you_mean(name, _SETTINGS)}'
            )
        made = list(_copies(name, cfg))[:3]
        raise ValueError(
            f'{name!r} is a variable of {place}, which neither mmengine nor prtr_plugin reads: '
            f'overriding {key!r} would not change the settings that were made from it. Override '
            + (f'them instead: {", ".join(made)}.' if made else 'those, or edit the file.')
        )


def _copies(name: str, cfg: Config) -> Iterator[str]:
    """Paths of settings with the name of a variable, or equal to its dict or list."""
    value = cfg[name]

    def search(parent: Any, path: str) -> Iterator[str]:
        items: Iterable = ()
        if isinstance(parent, dict):
            items = parent.items()
        elif isinstance(parent, list | tuple):
            items = enumerate(parent)
        for key, child in items:
            # other values may be equal by chance
            is_copy = isinstance(child, dict | list | tuple) and child and child == value
            if key == name or is_copy:
                yield f'{path}.{key}'
            else:
                yield from search(child, f'{path}.{key}')

    for key in sorted(_SETTINGS.intersection(cfg)):
        yield from search(cfg[key], key)


def check_config(cfg: Config, splits: Sequence[str] = _SPLITS) -> None:
    """Check that the settings of a config agree with each other.

    Args:
        cfg (Config): Config of a pose estimator
        splits (Sequence[str]): Dataloaders to compare with. Defaults to all

    Raises:
        ValueError: If it has no model, the numbers of joints or the sizes of
            the crops differ between codec, pipelines, head and datasets,
            ``model.test_cfg`` has an unknown key, or one of ``default_hooks``
            no type. The message names the places.
    """
    model: dict = cfg.get('model') or {}
    if 'type' not in model:
        raise ValueError(
            f'The config {cfg.filename} has no model. Give the config of a pose estimator.'
        )
    head = model.get('head') or {}
    codec = head.get('decoder') or {}
    ours = head.get('type') == 'PRTRHead'
    unknown = sorted(set(model.get('test_cfg') or ()).difference(_TEST_CFG))
    if ours and unknown and model['type'] == 'TopdownPoseEstimator':
        raise ValueError(
            f'model.test_cfg has unknown keys {unknown}. It takes {", ".join(_TEST_CFG)}.'
        )
    hooks = {name: hook for name, hook in (cfg.get('default_hooks') or {}).items() if hook}
    for name, hook in hooks.items():
        if isinstance(hook, dict) and 'type' not in hook:
            others = [other for other in hooks if other != name]
            raise ValueError(
                f'default_hooks.{name} of the config {cfg.filename} has no type, only '
                f'{dict(hook)}.'
                + (
                    did_you_mean(name, others)
                    or f' Add type, or change one of those that have a type: {", ".join(others)}.'
                )
            )
    joints = {}
    if ours:
        joints['model.head.out_channels'] = head.get('out_channels')
        joints['num_keypoints of model.head.decoder, the codec,'] = codec.get('num_keypoints')
    sizes = {'model.head.decoder, the codec,': codec}
    if 'input_size' in head:
        sizes['model.head'] = head
    for split in splits:
        where = f'{split}_dataloader.dataset'
        for dataset in _datasets((cfg.get(f'{split}_dataloader') or {}).get('dataset') or {}):
            if ours:
                joints[f'the metainfo of {where}'] = _num_keypoints(dataset)
            for step in dataset.get('pipeline') or ():
                if step.get('type') == 'TopdownAffine':
                    sizes[f'TopdownAffine in the pipeline of {where}'] = step
                encoder = step.get('encoder')
                if step.get('type') == 'GenerateTarget' and isinstance(encoder, dict):
                    sizes[f'the encoder of GenerateTarget in {where}'] = encoder
                    if ours:
                        joints[f'num_keypoints of that encoder in {where}'] = encoder.get(
                            'num_keypoints'
                        )
            _compare(joints, 'The number of joints', 'to that of the dataset')
    for name in ('input_size', 'heatmap_size', 'simcc_split_ratio'):
        values = {f'{name} of {place}': found.get(name) for place, found in sizes.items()}
        _compare(values, f'The {name}', 'to the same')


def _compare(values: dict, what: str, remedy: str) -> None:
    """Refuse values that differ; None is one that is not known."""
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if v is not None}
    if len(set(values.values())) > 1:
        found = ', '.join(f'{place} {value}' for place, value in values.items())
        raise ValueError(f'{what} must be the same everywhere, but has: {found}. Set all {remedy}.')


def _datasets(cfg: dict) -> Iterator[dict]:
    """A dataset config and those inside of it."""
    yield cfg
    for child in (cfg.get('dataset'), *cfg.get('datasets', ())):
        if isinstance(child, dict):
            yield from _datasets(child)


def _num_keypoints(dataset: dict) -> int | None:
    """Joints that a dataset config gives to the model, None if it does not say."""
    for step in dataset.get('pipeline') or ():
        if step.get('type') == 'KeypointConverter':
            return step.get('num_keypoints')
    metainfo = dataset.get('metainfo')
    if metainfo is None and dataset.get('type'):
        with DefaultScope.overwrite_default_scope('mmpose'):
            metainfo = getattr(registry.DATASETS.get(dataset['type']), 'METAINFO', None)
    if not metainfo:
        return None
    return parse_pose_metainfo(dict(metainfo))['num_keypoints']


@torch.no_grad()
def check_shapes(runner: Runner) -> None:
    """Send an empty image through the model of a runner, if its parts fit.

    Raises:
        ValueError: If the channels or sizes of its parts do not fit.
    """
    model = runner.model
    if is_model_wrapper(model):
        model = model.module
    head = getattr(model, 'head', None)
    codec = getattr(head, 'decoder', None)
    if codec is None:
        return
    # a cascade takes images of any size
    width, height = (64, 64) if isinstance(model, PRTRCascade) else codec.input_size
    image = torch.zeros(1, 3, height, width, device=next(model.parameters()).device)
    training = model.training
    model.eval()
    try:
        output = model(image, None, mode='tensor')
    except (RuntimeError, ValueError) as error:
        raise ValueError(
            f'The model of {runner.cfg.filename} does not run for an image of {width}x{height} '
            f'pixels: {error}'
        ) from error
    finally:
        model.train(training)
    expected = getattr(codec, 'heatmap_size', None)
    if expected is not None and torch.is_tensor(output):
        found = tuple(output.shape[:-3:-1])
        if tuple(expected) != found:
            raise ValueError(
                f'heatmap_size of model.head.decoder, the codec, is {tuple(expected)}, but the '
                f'head puts out {found} for an image of {width}x{height} pixels. Set it to that.'
            )


def check_batches(runner: Runner) -> None:
    """Check that the training data fill at least one batch.

    Raises:
        ValueError: If they do not.
    """
    loader = runner.train_dataloader
    if not len(loader):
        samples = len(loader.dataset)
        raise ValueError(
            f'train_dataloader.batch_size is {loader.batch_size}, but train_dataloader.dataset has '
            f'only {samples} samples in {runner.world_size} processes, and drop_last=True drops '
            f'what does not fill a batch. Set train_dataloader.batch_size to at most '
            f'{max(1, samples // runner.world_size)}, or train_dataloader.drop_last=False.'
        )
