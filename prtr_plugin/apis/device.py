"""The device that a model runs on."""

from collections.abc import Iterator
from contextlib import contextmanager

import mmengine.device.utils
import torch
from mmengine.device import get_device


def find_device(device: str | None) -> str:
    """The device to use, by default an accelerator if there is one.

    Raises:
        ValueError: If this machine does not have it.
    """
    if device is None:
        return get_device()
    try:
        torch.zeros(1, device=device).item()
    except Exception as error:  # of many kinds, depending on the accelerator
        names = ['cpu', *(f'cuda:{i}' for i in range(torch.cuda.device_count()))]
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(
            f'There is no device {str(device)!r} here. Use {" or ".join(names)}, or leave it out. '
            f'({reason:.100})'
        ) from error
    return str(device)


@contextmanager
def use_device(device: str | None) -> Iterator[None]:
    """Let mmengine use a device, which it chooses itself when it is imported.

    Raises:
        ValueError: If there is no such device.
    """
    if device is None:
        yield
        return
    kind, _, number = find_device(device).partition(':')
    usual, current = get_device(), None
    if kind == 'cuda' and number:
        current = torch.cuda.current_device()
        torch.cuda.set_device(int(number))
    mmengine.device.utils.DEVICE = kind
    try:
        yield
    finally:
        mmengine.device.utils.DEVICE = usual
        if current is not None:
            torch.cuda.set_device(current)
