from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def full_precision(module: nn.Module, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Disable autocast to compute in the precision of the parameters.

    Coordinates and reference points need this: a bfloat16 number in [0, 1] is
    off by up to 0.7 pixels in 384.

    Args:
        module (nn.Module): The module that computes inside the context
        *tensors (Tensor): Its inputs, possibly in lower precision by autocast

    Yields:
        tuple[Tensor, ...]: The inputs in the dtype of the parameters of the
        module.
    """
    weight = next(module.parameters())
    with torch.autocast(weight.device.type, enabled=False):
        yield tuple(x.to(weight.dtype) for x in tensors)


def non_finite_error(name: str) -> FloatingPointError:
    """The error of a module that has predicted NaN or infinite numbers.

    Args:
        name (str): Name of the module

    Returns:
        FloatingPointError: The error, to be raised.
    """
    return FloatingPointError(
        f'{name} predicted NaN or infinite logits or coordinates. Check the input images and the '
        'loaded weights; in training, lower the learning rate, clip gradients or use fp32.'
    )
