from collections.abc import Callable

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmpose.registry import HOOKS

from ...checkpoints import CheckpointError, check_some_fit, check_state_dict, strip_module


@HOOKS.register_module()
class StrictLoadHook(Hook):
    """Refuses a checkpoint that does not fill the model exactly.

    mmengine loads what fits and logs the rest, so that a checkpoint of
    another variant would give a wrong score instead of an error.
    """

    check: Callable = staticmethod(check_state_dict)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Compare the loaded checkpoint with the model of the runner.

        Raises:
            CheckpointError: If they do not fit; the message names the file and
                the keys, or the groups of the optimizer.
        """
        model = runner.model
        if is_model_wrapper(model):
            model = model.module
        try:
            self.check(model, strip_module(checkpoint.get('state_dict', checkpoint)))
            if runner.cfg.get('resume'):
                check_groups(runner, checkpoint)
        except CheckpointError as error:
            raise CheckpointError(f'{runner.cfg.get("load_from")}: {error}') from None


def check_groups(runner: Runner, checkpoint: dict) -> None:
    """Compare the groups of parameters of a saved optimizer with those of the runner.

    Raises:
        CheckpointError: If their numbers or sizes differ.
    """
    saved = checkpoint.get('optimizer', {}).get('param_groups')
    optimizer = getattr(runner.optim_wrapper, 'optimizer', None)
    groups = getattr(optimizer, 'param_groups', None)
    if not saved or not groups:
        return
    before, now = ([len(group['params']) for group in part] for part in (saved, groups))
    if before != now:
        raise CheckpointError(
            f'its optimizer has {len(saved)} groups of {sum(before)} parameters, but optim_wrapper '
            f'of the config makes {len(groups)} of {sum(now)}, or other ones. Resume with the '
            'config of that run or, if it has one group for each parameter, as mmengine makes '
            'them, with '
            'optim_wrapper.constructor=DefaultOptimWrapperConstructor.'
        )


@HOOKS.register_module()
class PartialLoadHook(StrictLoadHook):
    """Refuses a checkpoint that fills nothing of the model.

    For training that starts from the weights of a part of the model, or from
    those of another task.
    """

    check = staticmethod(check_some_fit)
