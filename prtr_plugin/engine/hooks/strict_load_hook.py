from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmpose.registry import HOOKS
from torch import nn


class CheckpointError(ValueError):
    """A checkpoint does not fit the model."""


@HOOKS.register_module()
class StrictLoadHook(Hook):
    """Refuses a checkpoint that does not fill the model exactly.

    mmengine loads what fits and logs the rest, so that a checkpoint of
    another variant would give a wrong score instead of an error.
    """

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Compare the loaded checkpoint with the model of the runner.

        Raises:
            CheckpointError: If they do not fit; the message names the keys.
        """
        model = runner.model
        if is_model_wrapper(model):
            model = model.module
        check_state_dict(model, checkpoint.get('state_dict', checkpoint))


def check_state_dict(model: nn.Module, state_dict: dict) -> None:
    """Check that the tensors of a checkpoint are exactly a model's.

    Args:
        model (nn.Module): The model to load them into
        state_dict (dict): Tensors by name, with or without the ``module.``
            of a model that was wrapped for distributed training

    Raises:
        CheckpointError: If a key is missing or unexpected, or a tensor has
            another shape than the model's. The message names them.
    """
    state_dict = {
        key[len('module.') :] if key.startswith('module.') else key: value
        for key, value in state_dict.items()
    }
    expected = model.state_dict()
    missing = [
        key
        for key in expected
        if key not in state_dict
        # a counter of training steps, of no effect in testing
        and not key.endswith('num_batches_tracked')
    ]
    unexpected = [key for key in state_dict if key not in expected]
    shapes = [
        f'{key} {tuple(state_dict[key].shape)} instead of {tuple(value.shape)}'
        for key, value in expected.items()
        if key in state_dict and state_dict[key].shape != value.shape
    ]
    problems = [
        f'{len(names)} {what}: {_shorten(names)}'
        for names, what in (
            (missing, 'missing'),
            (unexpected, 'unexpected'),
            (shapes, 'of another shape'),
        )
        if names
    ]
    if problems:
        raise CheckpointError(
            'The checkpoint does not fit the model of the config. Keys '
            f'{"; ".join(problems)}. Use the config that the checkpoint was '
            'trained with.'
        )


def _shorten(names: list[str], limit: int = 4) -> str:
    shown = ', '.join(names[:limit])
    return shown + (', ...' if len(names) > limit else '')
