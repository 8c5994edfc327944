"""What lies in the folder of a training run."""

from pathlib import Path
from typing import NamedTuple

from torch import nn

from ..model_index import find_config
from ..visualization import read_scalars
from .config import load_config
from .model_zoo import load_model
from .own_config import best_metric


class RunSummary(NamedTuple):
    """The best validation of a run.

    Attributes:
        metric (str): Name of the metric that checkpoints were chosen by
        best (float): Its best value, NaN without validation
        epoch (int): The epoch of that value, 0 without validation
        last (float): Its last value
        checkpoint (Path): The checkpoint to use
        curve (Dict[int, float]): The metric by epoch
    """

    metric: str
    best: float
    epoch: int
    last: float
    checkpoint: Path
    curve: dict[int, float]


def find_checkpoint(folder: str | Path) -> Path:
    """The checkpoint of a work folder to use: the best, or else the last one.

    Raises:
        FileNotFoundError: If there is none.
    """
    folder = Path(folder)
    for pattern in ('best_*.pth', 'epoch_*.pth', 'iter_*.pth'):
        found = sorted(folder.glob(pattern), key=lambda file: file.stat().st_mtime)
        if found:
            return found[-1]
    raise FileNotFoundError(
        f'The folder "{folder}" has no checkpoint (best_*.pth or epoch_*.pth): give the work '
        'folder of a training run.'
    )


def find_run(model: str | Path, weights: str | Path | None = None) -> tuple[str, str]:
    """The config and the checkpoint that somebody means.

    Args:
        model (str | Path): Work folder of a run, a checkpoint in one, or the
            name or the config file of a model
        weights (str | Path, optional): Checkpoint, which a name or a config
            needs. In a work folder it replaces the best one

    Returns:
        tuple[str, str]: Paths of the config and the checkpoint.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If there is no such model, or no checkpoint is given.
    """
    path = Path(model)
    if path.is_dir():
        checkpoint = Path(weights) if weights else find_checkpoint(path)
        return str(_config_in(path)), str(checkpoint)
    if path.suffix in ('.pth', '.pt'):
        if weights is not None:
            raise ValueError(f'"{path}" is a checkpoint already: leave out weights.')
        if not path.is_file():
            raise FileNotFoundError(f'The checkpoint "{path}" does not exist.')
        return str(_config_in(path.parent)), str(path)
    if path.is_file() and path.suffix != '.py':
        raise ValueError(
            f'"{path}" is none of these: the work folder of a training run, a checkpoint in one '
            '(.pth), or the name or config file (.py) of a model.'
        )
    config = find_config(model)
    if weights is None:
        raise ValueError(
            f'{model} is a model without weights: add weights=CHECKPOINT, or give the work folder '
            'of a training run instead.'
        )
    return config, str(weights)


def load_run(
    model: str | Path,
    weights: str | Path | None = None,
    device: str | None = None,
    trust: bool = False,
) -> nn.Module:
    """Load the model of a work folder, or any other one.

    Args:
        model (str | Path): See :func:`find_run`
        weights (str | Path, optional): See :func:`find_run`
        device (str, optional): See :func:`load_model`
        trust (bool): See :func:`load_model`. Defaults to ``False``

    Returns:
        nn.Module: See :func:`load_model`, which also says what it raises.

    Example:
        >>> model = load_run('work_dirs/people5')
    """
    config, checkpoint = find_run(model, weights)
    return load_model(config, checkpoint, device, trust=trust)


def _config_in(folder: Path) -> Path:
    """The config of a work folder."""
    # not the one that mmengine writes beside it: it sorts joints 0, 1, 10, 11, 2, ...
    found = [file for file in sorted(folder.glob('*.py')) if not file.stem.endswith('_whole')]
    preferred = [file for file in found if file.name == 'config.py'] or found
    if len(preferred) != 1:
        names = ', '.join(file.name for file in found) or 'none'
        raise FileNotFoundError(
            f'The folder "{folder}" must hold one config, but has {names}. Give the name or the '
            'config file of the model, and the checkpoint as weights.'
        )
    return preferred[0]


def summarize_run(work_dir: str | Path, metric: str | None = None) -> RunSummary:
    """Find the best validation of a run.

    Args:
        work_dir (str | Path): Folder of the run
        metric (str, optional): Name of the metric. Defaults to the one by
            which the run chose its best checkpoint, or else ``coco/AP``

    Returns:
        RunSummary: Its value, epoch and checkpoint.

    Raises:
        FileNotFoundError: If there is no log or no checkpoint.
    """
    rule = 'greater'
    if metric is None:
        found, rule = best_metric(load_config(str(_config_in(Path(work_dir)))))
        metric = found or 'coco/AP'
    _, records = read_scalars(work_dir)
    curve = {record['step']: record[metric] for record in records if metric in record}
    sign = -1 if rule == 'less' else 1
    best = max(curve, key=lambda epoch: (sign * curve[epoch], epoch), default=0)
    nan = float('nan')
    last = list(curve.values())[-1] if curve else nan
    return RunSummary(metric, curve.get(best, nan), best, last, find_checkpoint(work_dir), curve)
