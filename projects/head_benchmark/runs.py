"""Trainings: one folder each, resumed if they were interrupted, and their curves."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from prtr_plugin.apis import load_config
from prtr_plugin.visualization import read_scalars

PROJECT = Path(__file__).resolve().parent
TOOLS = PROJECT.parents[1] / 'tools'
# in the tables: names of mmpose's figures, the first one of a track chooses learning rates
METRICS = {
    'a': {'coco/AP': 'AP', 'coco/AP .5': 'AP50'},
    'b': {'PCK@0.1/PCK': 'PCK@0.1', 'PCK@0.2/PCK': 'PCK@0.2', 'coco/AR': 'OKS precision'},
}
METRICS['c'] = METRICS['b']


def config_path(head: str) -> str:
    """The config of a head, whose track is the one in ``PRTR_TRACK``."""
    return str(PROJECT / f'configs/{head}.py')


def run_tool(name: str, *args: str, options: dict) -> None:
    """Run a script of ``tools/`` on one core.

    Raises:
        subprocess.CalledProcessError: If it fails.
    """
    if options:
        args += ('--cfg-options', *(f'{key}={value}' for key, value in options.items()))
    env = dict(os.environ, OMP_NUM_THREADS='1')
    subprocess.run([sys.executable, str(TOOLS / name), *args], check=True, env=env)


def train(
    head: str,
    seed: int,
    lr: float | None,
    epochs: int | None,
    out: Path,
    options: dict,
    test_again: bool = False,
) -> dict:
    """Train the config of a head, unless it is done.

    Args:
        head (str): Name of the config
        seed (int): Seed of weights, order and augmentation
        lr (float, optional): Learning rate, by default that of the config
        epochs (int, optional): Length of the run, by default that of the config
        out (Path): Folder, in which the run gets one of its own
        options (dict): Settings of the config to override
        test_again (bool): Whether to evaluate the last checkpoint of a run
            that is done with the present code. The result replaces what was
            logged, in later calls as well. Defaults to ``False``

    Returns:
        dict: ``seed``, ``learning_rate``, ``metrics`` of the last epoch and
        ``curve``, see :func:`read_curve`.

    Raises:
        subprocess.CalledProcessError: If it fails.
        ValueError: If the run has been trained with other settings.
    """
    given = options
    options = {**options, 'randomness.seed': seed}
    if epochs is not None:
        options |= {'train_cfg.max_epochs': epochs, 'param_scheduler.1.end': epochs}
    if lr is not None:
        options['optim_wrapper.optimizer.lr'] = lr
    cfg = load_config(config_path(head), options)
    lr, epochs = cfg.optim_wrapper.optimizer.lr, cfg.train_cfg.max_epochs
    work_dir = out / f'{head}_lr{lr:g}_{epochs}epochs_seed{seed}'
    check_options(work_dir, given)
    checkpoint = work_dir / f'epoch_{epochs}.pth'
    test_again = test_again and checkpoint.is_file()
    if not checkpoint.is_file():
        run_tool(
            'train.py', config_path(head), f'--work-dir={work_dir}', '--resume', options=options
        )
    names = METRICS[cfg.track]
    curve = read_curve(work_dir, names)
    is_logged = bool(curve) and curve[-1]['epoch'] == epochs
    file = work_dir / 'metrics.json'
    # it may have been killed between the last checkpoint and the evaluation
    if test_again or not (is_logged or file.is_file()):
        args = (config_path(head), str(checkpoint), f'--work-dir={work_dir}', f'--out={file}')
        run_tool('test.py', *args, '--force', options=options)
    if file.is_file():
        found = json.loads(file.read_text())
        last = dict(epoch=epochs, seconds=read_seconds(work_dir)[epochs])
        last |= {name: found[key] for key, name in names.items()}
        curve = [*curve[: len(curve) - is_logged], last]
    metrics = {name: curve[-1][name] for name in names.values()}
    return dict(seed=seed, learning_rate=lr, metrics=metrics, curve=curve)


def check_options(work_dir: Path, options: dict) -> None:
    """Write the settings of a run into its folder, or compare with those that it was trained with.

    The folder of the data may be another one.

    Raises:
        ValueError: If they differ.
    """
    given = {key: value for key, value in options.items() if key != 'data_root'}
    text = json.dumps(given, indent=2, sort_keys=True, default=str)
    file = work_dir / 'cfg_options.json'
    if not list(work_dir.glob('*.pth')):
        work_dir.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    elif file.is_file() and file.read_text() != text:
        raise ValueError(
            f'The run in "{work_dir}" was started with --cfg-options {file.read_text()}, but now '
            f'they are {text}. Give another --out.'
        )


def read_seconds(work_dir: Path) -> dict[int, float]:
    """Seconds of training, without evaluation, until the end of each epoch.

    They are those of mmengine's log, which has some of the steps.
    """
    steps: dict[int, int] = {}
    times: dict[int, list[float]] = {}
    for record in read_scalars(work_dir)[0]:
        steps[record['epoch']] = record['step']
        times.setdefault(record['epoch'], []).append(record['time'])
    first, last = min(steps), max(steps)
    # every epoch logs the same of its steps
    num_steps = (steps[last] - steps[first]) / (last - first) if last > first else steps[last]
    seconds = num_steps * np.cumsum([np.mean(values) for values in times.values()])
    return dict(zip(times, seconds.tolist()))


def read_curve(work_dir: Path, names: dict[str, str]) -> list[dict[str, float]]:
    """Metrics by epoch, as mmengine logged them.

    Args:
        work_dir (Path): Folder of a run
        names (dict): Names in the result by names in the log

    Returns:
        List[dict]: ``epoch``, ``seconds`` of training so far, and the metrics.
    """
    seconds = read_seconds(work_dir)
    return [
        dict(
            epoch=record['step'],
            seconds=seconds[record['step']],
            **{name: record[key] for key, name in names.items()},
        )
        for record in read_scalars(work_dir)[1]
        # the log of a test has no steps
        if record['step'] > 0
    ]


def epochs_to(curve: Sequence[dict[str, float]], metric: str, goal: float) -> float | None:
    """Epochs until a metric reaches a goal, between evaluations on a straight line.

    Returns:
        float, optional: None if it does not.
    """
    epoch, value = 0.0, 0.0
    for point in curve:
        if point[metric] >= goal:
            share = (goal - value) / (point[metric] - value)
            return epoch + share * (point['epoch'] - epoch)
        epoch, value = point['epoch'], point[metric]
    return None
