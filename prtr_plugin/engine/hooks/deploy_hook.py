import torch
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
        cuda_graph (bool): See :func:`switch_to_deploy`. Defaults to
            ``False``
    """

    def __init__(
        self, fuse_conv_bn: bool = True, channels_last: bool = True, cuda_graph: bool = False
    ) -> None:
        self.switches = dict(
            fuse_conv_bn=fuse_conv_bn, channels_last=channels_last, cuda_graph=cuda_graph
        )

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


@HOOKS.register_module()
class MatmulPrecisionHook(Hook):
    """Set the precision of float32 matrix products during a run.

    Convolutions on a GPU use TF32 anyway, PyTorch's default; matrix products do not.

    Args:
        precision (str): ``'high'`` for TF32 on a GPU, which has 10 bits after
            the point, or ``'highest'`` for float32. See
            ``torch.set_float32_matmul_precision``. Defaults to ``'high'``

    Raises:
        ValueError: If ``precision`` is another one.
    """

    def __init__(self, precision: str = 'high') -> None:
        if precision not in ('high', 'highest'):
            raise ValueError(f"precision must be 'high' or 'highest', but is {precision!r}.")
        self.precision = precision

    def before_run(self, runner: Runner) -> None:
        """Set it."""
        self.before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision(self.precision)

    def after_run(self, runner: Runner) -> None:
        """Set it back, for what else runs in the process."""
        torch.set_float32_matmul_precision(self.before)
