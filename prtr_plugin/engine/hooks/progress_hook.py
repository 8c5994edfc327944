import math
from collections.abc import Callable
from numbers import Real
from typing import NamedTuple

from mmengine.hooks import Hook
from mmengine.logging import MessageHub
from mmengine.runner import Runner
from mmpose.registry import HOOKS


class Progress(NamedTuple):
    """How far a training is.

    Attributes:
        epoch (int): Number of the epoch, from 1
        max_epochs (int): Number of epochs
        step (int): Steps done
        max_steps (int): Steps of the whole training
        values (Dict[str, float]): The latest ``loss``, ``acc_pose`` and
            metrics of validation by their names, as far as there are any
        validated (bool): Whether this follows a validation
    """

    epoch: int
    max_epochs: int
    step: int
    max_steps: int
    values: dict[str, float]
    validated: bool


@HOOKS.register_module()
class ProgressHook(Hook):
    """Tells a function how far a training is, after every step and validation.

    Args:
        report (Callable[[Progress], None]): The function.
    """

    priority = 'VERY_LOW'

    def __init__(self, report: Callable[[Progress], None]) -> None:
        self.report = report
        self.metrics: dict[str, float] = {}

    def _report(self, runner: Runner, validated: bool) -> None:
        scalars = MessageHub.get_current_instance().log_scalars
        values = {
            name: scalars[f'train/{name}'].current()
            for name in ('loss', 'acc_pose')
            if f'train/{name}' in scalars
        }
        loop = runner.train_loop
        # after a validation the epoch has been counted
        epoch = loop.epoch if validated else loop.epoch + 1
        step = runner.iter if validated else runner.iter + 1
        values.update(self.metrics)
        self.report(Progress(epoch, loop.max_epochs, step, loop.max_iters, values, validated))

    def after_train_iter(self, runner: Runner, batch_idx: int, **kwargs) -> None:
        """Report the losses; ``runner.iter`` counts this step later."""
        self._report(runner, False)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Report the metrics."""
        self.metrics = {
            name: value
            for name, value in (metrics or {}).items()
            if isinstance(value, Real) and not math.isnan(value)
        }
        self._report(runner, True)
