from collections.abc import Callable
from pathlib import Path

from torch import nn

from ..datasets import generate_people
from ..engine.hooks import Progress
from ..model_index import find_config
from .config import load_config
from .device import find_device
from .run_folder import new_run_folder
from .training import DEFAULT_MODEL, plan_training, train


def run_demo(
    out: str | Path = 'work_dirs/demo',
    data: str | Path = 'data/synthetic_people',
    model: str | None = None,
    epochs: int | None = None,
    pictures: int = 1500,
    seed: int = 0,
    device: str | None = None,
    report: Callable[[Progress], None] | None = None,
) -> nn.Module:
    """Make synthetic people, train a model on them and write a page about it.

    Args:
        out (str | Path): New work folder. Defaults to ``work_dirs/demo``
        data (str | Path): Folder of the dataset, which is made if it is not
            there. Defaults to ``data/synthetic_people``
        model (str, optional): See :func:`plan_training`
        epochs (int, optional): Defaults to those of the config
        pictures (int): Pictures to train on; a tenth as many validate.
            Defaults to 1500
        seed (int): Seed of the training. Defaults to 0
        device (str, optional): See :func:`train`
        report (Callable, optional): See :func:`train`

    Returns:
        nn.Module: The trained model.

    Raises:
        FileExistsError: If ``out`` or ``data`` holds something else.
        ValueError: If an argument is out of range.
    """
    model = model or DEFAULT_MODEL
    if epochs is None:
        epochs = load_config(find_config(model)).train_cfg.max_epochs
    for name, value in dict(epochs=epochs, pictures=pictures).items():
        if value < 1:
            raise ValueError(f'{name} must be at least 1, but is {value}.')
    # before people are drawn, which takes a minute
    find_device(device)
    new_run_folder(out, Path(data))
    generate_people(data, num_train=pictures, num_val=max(1, pictures // 10))
    plan = plan_training(data, model=model, work_dir=out, epochs=epochs, seed=seed, device=device)
    return train(plan, device=device, report=report)
