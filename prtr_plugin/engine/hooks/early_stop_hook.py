from mmengine.hooks import EarlyStoppingHook
from mmengine.runner import Runner
from mmpose.registry import HOOKS


@HOOKS.register_module()
class EarlyStopHook(EarlyStoppingHook):
    """Ends training when a metric has stopped growing.

    mmengine's hook also counts validations before the model has learned
    anything, and would end a training whose metric is 0 at first. This one
    counts from the first metric above 0.

    Args:
        monitor (str): Name of the metric. Defaults to ``'coco/AP'``
        patience (int): Validations without an improvement. Defaults to 5
        min_delta (float): Smallest improvement. Defaults to 0.001
        rule (str): ``'greater'`` or ``'less'``, what is better. Defaults to
            ``'greater'``
        **kwargs: Further arguments of the parent class.
    """

    def __init__(
        self,
        monitor: str = 'coco/AP',
        patience: int = 5,
        min_delta: float = 0.001,
        rule: str = 'greater',
        **kwargs,
    ) -> None:
        super().__init__(monitor, rule, min_delta, patience=patience, **kwargs)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float]) -> None:
        """See the parent class."""
        if metrics.get(self.monitor, 1) > 0 or self.best_score > 0:
            super().after_val_epoch(runner, metrics)
