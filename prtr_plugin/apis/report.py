from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmpose.structures import PoseDataSample

from ..visualization import (
    JointErrors,
    draw_joint_errors,
    draw_predictions,
    draw_training,
    measure_joints,
    predict_images,
    read_scalars,
)
from ..visualization.html import listing, picture, table, write_page
from .inputs import build_dataset


def write_report(
    model: BaseModel,
    path: str | Path,
    title: str,
    metrics: dict[str, float] | None = None,
    work_dir: str | Path | None = None,
    notes: dict[str, str] | None = None,
    num_images: int = 100,
    split: str = 'val',
) -> JointErrors:
    """Write a page about a model: curve, predictions, errors and settings.

    Args:
        model (BaseModel): Model from :func:`load_model` or :func:`load_run`
        path (str | Path): HTML file to write; it needs no other file
        title (str): Title
        metrics (Dict[str, float], optional): Metrics to tabulate
        work_dir (str | Path, optional): Folder of the training, for its curve
        notes (Dict[str, str], optional): What was decided, for example by
            :func:`plan_training`
        num_images (int): Pictures to look at, evenly spaced. Defaults to 100
        split (str): The dataset that they are taken from, ``'val'`` or
            ``'test'``. Defaults to ``'val'``

    Returns:
        JointErrors: Distances of the joints in these pictures.
    """
    meta = model.dataset_meta
    with DefaultScope.overwrite_default_scope('mmpose'):
        samples = list(predict_images(model, build_dataset(model, split), num_images))
    errors = measure_joints(samples, meta['num_keypoints'])
    cascade = model.cfg.get('data_mode') == 'bottomup'

    def sheet(chosen: Sequence[PoseDataSample]) -> str:
        figure = draw_predictions(chosen, meta, with_boxes=cascade)
        return picture(figure) if chosen else ''

    # each picture by the worst of its people
    worst = np.zeros(len(samples))
    np.maximum.at(worst, errors.images, np.nan_to_num(errors.per_person, posinf=10))
    order = np.argsort(-worst, kind='stable')
    even = np.linspace(0, len(samples) - 1, min(8, len(samples))).round().astype(int)
    sections = {
        'Metrics': table({k: v for k, v in (metrics or {}).items() if v != -1}) if metrics else '',
        'Decisions': table(notes) if notes else '',
        'Training': _curve(work_dir),
        'Predictions': sheet([samples[i] for i in even]),
        'Error of each joint': picture(draw_joint_errors(errors, meta)),
        'Worst pictures': sheet([samples[i] for i in order[:6] if worst[i] > 0]),
        'Settings': table(_settings(model.cfg))
        + listing('The config', _config_text(model.cfg, work_dir)),
    }
    write_page(path, title, sections)
    return errors


def _curve(work_dir: str | Path | None) -> str:
    if work_dir is None:
        return ''
    try:
        return picture(draw_training(*read_scalars(work_dir)))
    except (FileNotFoundError, ValueError):
        return ''  # no training here, or none that was validated


def _config_text(cfg: Config, work_dir: str | Path | None) -> str:
    """A config as it was written, or else with everything that it inherits."""
    file = Path(work_dir or '') / 'config.py'
    return file.read_text(encoding='utf-8') if work_dir and file.is_file() else cfg.pretty_text


def _settings(cfg: Config) -> dict[str, object]:
    """The settings that people ask for first."""
    loader, optimizer = cfg.train_dataloader, cfg.optim_wrapper.get('optimizer', {})
    return {
        'config': cfg.filename,
        'backbone': cfg.model.get('backbone', {}).get('type'),
        'size': 'x'.join(map(str, cfg.get('codec', {}).get('input_size', ())[::-1])),
        'epochs': cfg.get('train_cfg', {}).get('max_epochs'),
        'batch': loader.batch_size,
        'optimizer': f'{optimizer.get("type")}, learning rate {optimizer.get("lr")}',
        'seed': cfg.get('randomness', {}).get('seed'),
    }
