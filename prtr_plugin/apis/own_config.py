"""A config for own data or a changed schedule, written as a person would write it."""

import inspect
import math
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config

from ..datasets import OwnData
from ..fileio import write_file
from ..model_index import find_config
from ..models.heads import PRTRHead
from .checks import check_overrides
from .config import load_config

_LOGGERS = dict(
    tensorboard=('TensorboardVisBackend', 'tensorboard'),
    wandb=('WandbVisBackend', 'wandb'),
    mlflow=('MLflowVisBackend', 'mlflow'),
)
# a few thousand steps teach a small model; more data needs more, up to the epochs of COCO
_STEPS, _EPOCHS = 3000, (20, 200)


class _Code(str):
    """Text that stands in a config as it is."""


class Schedule(NamedTuple):
    """How long and in which steps a model is trained.

    Attributes:
        epochs (int): Number of epochs
        batch_size (int): People, or images for a cascade, in a step
        steps (int): Steps in an epoch
        drop_last (bool): Whether an incomplete last batch is left out
        warmup (int): Steps in which the learning rate grows
        lr (float): Largest learning rate
        val_interval (int): Epochs from one validation to the next
    """

    epochs: int
    batch_size: int
    steps: int
    drop_last: bool
    warmup: int
    lr: float
    val_interval: int


def plan_schedule(
    cfg: Config, num_samples: int, epochs: int | None = None, batch_size: int | None = None
) -> Schedule:
    """Choose a schedule by the size of a dataset.

    Args:
        cfg (Config): Config with ``train_dataloader`` and ``optim_wrapper``
        num_samples (int): Number of people or, for a cascade, of images
        epochs (int, optional): Number of epochs. Defaults to None, for 3000
            steps, in 20 to 200 epochs
        batch_size (int, optional): Size of a batch. Defaults to None, for
            that of the config, or less if an epoch had fewer than 8 steps

    Returns:
        Schedule: The schedule.

    Raises:
        ValueError: If ``epochs`` or ``batch_size`` is below 1.
    """
    for name, value in dict(epochs=epochs, batch=batch_size).items():
        if value is not None and value < 1:
            raise ValueError(f'{name} must be at least 1, but is {value}.')
    usual = cfg.train_dataloader.batch_size
    if batch_size is None:
        batch_size = min(usual, max(4, 2 ** int(math.log2(max(1, num_samples / 8)))))
    batch_size = min(batch_size, num_samples)
    drop_last = num_samples >= 10 * batch_size
    steps = num_samples // batch_size if drop_last else -(-num_samples // batch_size)
    if epochs is None:
        low, high = _EPOCHS
        epochs = min(max(round(_STEPS / steps), low), high)
    # AdamW: a smaller batch takes smaller steps
    reference = cfg.get('auto_scale_lr', {}).get('base_batch_size', usual)
    lr = cfg.optim_wrapper.optimizer.lr * min(1, batch_size / reference) ** 0.5
    warmup = max(1, min(200, round(0.05 * steps * epochs)))
    interval = max(1, epochs // 20)
    return Schedule(epochs, batch_size, steps, drop_last, warmup, float(f'{lr:.2g}'), interval)


def parse_size(size: str | Sequence[int]) -> tuple[int, int]:
    """(width, height) from ``'256x192'``, height first as in the names of configs.

    Raises:
        ValueError: If it is not two positive multiples of 32.
    """
    try:
        height, width = (
            map(int, size.lower().split('x')) if isinstance(size, str) else map(int, size)
        )
    except ValueError:
        height = width = 0
    if min(height, width) < 32 or height % 32 or width % 32:
        raise ValueError(
            f'size must be height x width in multiples of 32, such as 256x192, but is {size}.'
        )
    return width, height


def write_config(
    path: Path,
    base: str,
    data: OwnData | None = None,
    size: tuple[int, int] | None = None,
    schedule: Schedule | None = None,
    load_from: str | None = None,
    early_stop: int = 0,
    ema: bool = False,
    logger: str | None = None,
    seed: int | None = None,
    cfg_options: dict | None = None,
    comment: str = '',
) -> None:
    """Write a config that trains a model of another config on own data.

    Args:
        path (Path): File to write
        base (str): Name of a model, or config file
        data (OwnData, optional): The data. Defaults to that of ``base``
        size (Tuple[int, int], optional): Width and height of the crops.
            Defaults to those of ``base``
        schedule (Schedule, optional): Defaults to that of ``base``
        load_from (str, optional): Checkpoint to start from
        early_stop (int): Validations without an improvement after which
            training ends, 0 for never. Defaults to 0
        ema (bool): Whether the weights that are evaluated and kept are a
            moving average. Defaults to ``False``
        logger (str, optional): ``'tensorboard'``, ``'wandb'`` or ``'mlflow'``
        seed (int, optional): Seed. Defaults to that of ``base``
        cfg_options (dict, optional): Further settings, such as
            ``{'model.head.num_queries': 30}``
        comment (str): First lines of the file, without ``#``

    Raises:
        ValueError: If the base config has another kind of model, an argument
            does not fit it, or a setting would have no effect.
    """
    config = find_config(base)
    cfg = load_config(config)
    settings: dict[str, Any] = {}
    if data:
        settings.update(_data_settings(cfg, data, size, schedule))
    elif size:
        raise ValueError('size needs data: with config, set the size in the config itself.')
    if schedule:
        settings.update(_schedule_settings(schedule, own_metric=bool(data)))
    if load_from or cfg.get('load_from'):
        settings['load_from'] = load_from
        if load_from and cfg.model.get('backbone', {}).get('init_cfg'):
            # the checkpoint fills everything, and nothing need be downloaded
            settings.setdefault('model', {}).setdefault('backbone', {})['init_cfg'] = None
    if seed is not None:
        settings['randomness'] = dict(seed=seed)
    hooks = _hooks(cfg, early_stop, ema, schedule, own_metric=bool(data))
    if hooks:
        settings['custom_hooks'] = [*cfg.get('custom_hooks', []), *hooks]
    if logger:
        settings['visualizer'] = dict(vis_backends=_backends(logger))
    if cfg_options:
        # the file reads what it has set itself
        check_overrides(cfg, [key for key in cfg_options if key.partition('.')[0] not in settings])
        merged = Config(settings)
        merged.merge_from_dict(cfg_options)
        settings = merged.to_dict()
    lines = [f'# {line}' for line in comment.splitlines()]
    lines += [f'_base_ = {str(Path(config).resolve())!r}', '']
    lines += [f'{key} = {format_value(value, len(key) + 3)}' for key, value in settings.items()]
    with write_file(path) as file:
        file.write_text('\n'.join(lines) + '\n', encoding='utf-8')


def _data_settings(
    cfg: Config, data: OwnData, size: tuple[int, int] | None, schedule: Schedule | None
) -> dict[str, Any]:
    """Settings for joints, loaders, pipelines and evaluators."""
    head = cfg.model.get('head', {})
    if head.get('type') != 'PRTRHead' or 'train_pipeline' not in cfg or 'codec' not in cfg:
        raise ValueError(
            f'model has a head of type {head.get("type")!r}. Own data needs one of this package: '
            '`prtr models` lists them.'
        )
    cascade = cfg.model.type == 'PRTRCascade'
    if cascade and size:
        raise ValueError('size is for two-stage models: a cascade takes whole images.')
    num_joints = len(data.dataset_info['keypoint_info'])
    codec = dict(cfg.codec, num_keypoints=num_joints)
    codec.pop('type')
    codec = dict(type=cfg.codec.type, **codec)
    if size:
        codec['input_size'] = size
    model: dict[str, Any] = dict(head=dict(out_channels=num_joints, decoder=_Code('codec')))
    default = inspect.signature(PRTRHead).parameters['num_queries'].default
    if head.get('num_queries', default) < num_joints:
        model['head']['num_queries'] = round(1.2 * num_joints)
    if not cascade:
        model['test_cfg'] = dict(
            flip_test=data.flip and (cfg.model.get('test_cfg') or {}).get('flip_test', False)
        )

    def pipeline(steps: list[dict]) -> list[dict]:
        kept = [dict(step) for step in steps if data.flip or step['type'] != 'RandomFlip']
        for step in kept:
            if step['type'] == 'GenerateTarget':
                step['encoder'] = _Code('codec')
            elif step['type'] == 'TopdownAffine':
                step['input_size'] = _Code("codec['input_size']")
        return kept

    def dataset(part: Any, **more: Any) -> dict:
        return dict(
            _delete_=True,
            type=cfg.dataset_type,
            data_mode=cfg.data_mode,
            metainfo=_Code('dataset_info'),
            ann_file=str(part.ann_file),
            data_prefix=dict(img=f'{part.image_dir}/'),
            **more,
        )

    train_loader: dict[str, Any] = {}
    val_loader: dict[str, Any] = {}
    if schedule:
        train_loader.update(batch_size=schedule.batch_size, drop_last=schedule.drop_last)
    if data.train.num_people < 200:
        # starting a worker would take longer than what it does
        workers = dict(num_workers=0, persistent_workers=False)
        train_loader.update(workers)
        val_loader.update(workers)
    train_loader['dataset'] = dataset(data.train, pipeline=_Code('train_pipeline'))
    val_loader['dataset'] = dataset(data.val, test_mode=True, pipeline=_Code('val_pipeline'))
    evaluator: Any = dict(type='CocoMetric', ann_file=str(data.val.ann_file))
    if cascade:
        evaluator.update(score_mode='bbox_keypoint', nms_mode='none')
        evaluator = [evaluator, dict(type='PersonBoxMetric', ann_file=str(data.val.ann_file))]
    else:
        evaluator = dict(_delete_=True, **evaluator)
    return dict(
        dataset_info=data.dataset_info,
        codec=codec,
        model=model,
        train_pipeline=pipeline(cfg.train_pipeline),
        val_pipeline=pipeline(cfg.val_pipeline),
        train_dataloader=train_loader,
        val_dataloader=val_loader,
        test_dataloader=_Code('val_dataloader'),
        val_evaluator=evaluator,
        test_evaluator=_Code('val_evaluator'),
    )


def _schedule_settings(schedule: Schedule, own_metric: bool) -> dict[str, Any]:
    """Settings for the length of training and the learning rate."""
    checkpoint: dict[str, Any] = dict(interval=schedule.val_interval, max_keep_ckpts=1)
    if own_metric:
        checkpoint.update(save_best='coco/AP', rule='greater')
    return dict(
        train_cfg=dict(max_epochs=schedule.epochs, val_interval=schedule.val_interval),
        optim_wrapper=dict(optimizer=dict(lr=schedule.lr)),
        param_scheduler=[
            dict(type='LinearLR', begin=0, end=schedule.warmup, start_factor=0.01, by_epoch=False),
            dict(
                type='CosineAnnealingLR',
                begin=0,
                end=schedule.epochs,
                eta_min_ratio=0.01,
                by_epoch=True,
                convert_to_iter_based=True,
            ),
        ],
        auto_scale_lr=dict(base_batch_size=schedule.batch_size),
        default_hooks=dict(checkpoint=checkpoint, logger=dict(interval=min(20, schedule.steps))),
    )


def _hooks(
    cfg: Config, early_stop: int, ema: bool, schedule: Schedule | None, own_metric: bool
) -> list[dict]:
    hooks: list[dict] = []
    if early_stop < 0:
        raise ValueError(f'early_stop must not be negative, but is {early_stop}.')
    if early_stop:
        monitor, rule = ('coco/AP', 'greater') if own_metric else best_metric(cfg)
        if monitor is None:
            raise ValueError(
                f'early_stop needs a metric, but {cfg.filename} has none as '
                'default_hooks.checkpoint.save_best. Set it to the name of one.'
            )
        stop = dict(type='EarlyStopHook', monitor=monitor, patience=early_stop)
        hooks.append(stop if rule == 'greater' else dict(stop, rule=rule))
    if ema:
        steps = schedule.epochs * schedule.steps if schedule else 0
        # the average looks back over a twentieth of a short training
        momentum = max(2e-4, min(0.02, 20 / steps)) if steps else 2e-4
        hooks.append(
            dict(type='EMAHook', ema_type='ExpMomentumEMA', momentum=momentum, update_buffers=True)
        )
    return hooks


def best_metric(cfg: Config) -> tuple[str | None, str]:
    """The metric by which a run chooses its best checkpoint.

    Returns:
        tuple: Its name, None if there is none, and ``'greater'`` or ``'less'``
        for what is better.
    """
    checkpoint = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
    name, rule = (
        value[0] if isinstance(value, (list, tuple)) and value else value
        for value in (checkpoint.get('save_best'), checkpoint.get('rule'))
    )
    if not isinstance(name, str) or name == 'auto':
        return None, 'greater'
    # as mmengine guesses
    return name, rule or ('less' if 'loss' in name.lower() else 'greater')


def _backends(logger: str) -> list[dict]:
    if logger not in _LOGGERS:
        raise ValueError(f'logger must be one of {", ".join(_LOGGERS)}, but is {logger!r}.')
    backend, package = _LOGGERS[logger]
    if find_spec(package) is None:
        raise ValueError(f'logger={logger} needs the package {package}: pip install {package}')
    return [dict(type='LocalVisBackend'), dict(type=backend)]


def format_value(value: Any, indent: int = 0, level: int = 0) -> str:
    """Python text of plain values, dicts as ``dict(key=value)``, in lines of 96 columns.

    Args:
        value (Any): Numbers, strings, None, and lists, tuples and dicts of them
        indent (int): Columns that the first line is moved to the right by
        level (int): How deep the value is inside of others. Defaults to 0
    """
    if isinstance(value, _Code) or not isinstance(value, (dict, list, tuple)):
        return value if isinstance(value, _Code) else repr(value)
    if isinstance(value, dict):
        words = all(isinstance(key, str) and key.isidentifier() for key in value)
        start, end = ('dict(', ')') if words else ('{', '}')
        items = [(f'{key}=' if words else f'{key!r}: ', item) for key, item in value.items()]
    else:
        start, end = '[]' if isinstance(value, list) else '()'
        items = [('', item) for item in value]
    flat = ', '.join(key + format_value(item) for key, item in items)
    comma = ',' if isinstance(value, tuple) and len(value) == 1 else ''
    if '\n' not in flat and indent + len(flat) + len(start) <= 96:
        return f'{start}{flat}{comma}{end}'
    pad = 4 * (level + 1) * ' '
    lines = [
        f'{pad}{key}{format_value(item, len(pad) + len(key), level + 1)},' for key, item in items
    ]
    return '\n'.join([start, *lines, 4 * level * ' ' + end])
