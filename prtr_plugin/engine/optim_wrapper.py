from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper
from mmengine.runner.amp import autocast
from mmpose.registry import OPTIM_WRAPPERS
from torch import nn


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(OptimWrapper):
    """Mixed precision in bfloat16 on any device, CPU included.

    mmengine's ``AmpOptimWrapper`` needs an accelerator, and scales the loss,
    which bfloat16 with its range of float32 does not need.

    Args:
        **kwargs: Arguments of the parent class.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Compute the forward pass and the losses under autocast."""
        with super().optim_context(model), autocast(dtype=torch.bfloat16):
            yield
