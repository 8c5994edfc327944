from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmpose.registry import HOOKS

from ...checkpoints import check_state_dict, strip_module


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
        check_state_dict(model, strip_module(checkpoint.get('state_dict', checkpoint)))
