from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmpose.registry import HOOKS

from ...deploy import switch_to_deploy, use_channels_last


@HOOKS.register_module()
class DeployHook(Hook):
    """Call :func:`switch_to_deploy` before a model is tested.

    Args:
        fuse_conv_bn (bool): See :func:`switch_to_deploy`. Defaults to
            ``True``
        channels_last (bool): See :func:`switch_to_deploy`. Defaults to
            ``True``
    """

    def __init__(self, fuse_conv_bn: bool = True, channels_last: bool = True) -> None:
        self.switches = dict(fuse_conv_bn=fuse_conv_bn, channels_last=channels_last)

    def before_test(self, runner: Runner) -> None:
        """Switch after the weights are loaded; not called for validation."""
        model = runner.model
        if is_model_wrapper(model):
            model = model.module
        switch_to_deploy(model, **self.switches)


@HOOKS.register_module()
class ChannelsLastHook(Hook):
    """Train with the channels of a pixel together in memory.

    See :func:`prtr_plugin.deploy.use_channels_last`.
    """

    def before_train(self, runner: Runner) -> None:
        """Switch after the weights are loaded, if there are any."""
        use_channels_last(runner.model)
