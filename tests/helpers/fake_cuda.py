"""A GPU that has shapes but no values, to see what a real one would be waited for."""

import contextlib
import traceback
from collections.abc import Iterator

import pytest
import torch
from mmengine.utils import digit_version
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

# the size of their output, or what Python does next, depends on values
READING = {
    'aten::_local_scalar_dense',
    'aten::equal',
    'aten::masked_select',
    'aten::nonzero',
    'aten::repeat_interleave.Tensor',
    'aten::_unique2',
}


class Waits(TorchDispatchMode):
    """Collects the operators that wait for a GPU, and the lines they come from."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if self._waits(func.name(), args, kwargs or {}):
            frames = [f for f in traceback.extract_stack() if '/torch/' not in f.filename]
            line = next(f for f in reversed(frames) if f.filename != __file__)
            self.found.append(f'{func.name()} in {line.filename}:{line.lineno}')
        return func(*args, **(kwargs or {}))

    @staticmethod
    def _waits(name: str, args: tuple, kwargs: dict) -> bool:
        tensors = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, Tensor)]
        devices = {x.device.type for x in tensors}
        if name in ('aten::_to_copy', 'aten::copy_'):
            if kwargs.get('device') is not None:
                devices.add(torch.device(kwargs['device']).type)
            # args of copy_: to, from, non_blocking
            to_host = (kwargs.get('device') or tensors[0].device).type == 'cpu'
            unblocked = kwargs.get('non_blocking') or (len(args) > 2 and args[2])
            return len(devices) > 1 and (to_host or not unblocked)
        masks = name.startswith('aten::index') and any(x.dtype == torch.bool for x in tensors[1:])
        return 'cuda' in devices and (name in READING or masks)


@contextlib.contextmanager
def fake_cuda(*modules: nn.Module) -> Iterator[list[str]]:
    """Move modules, for good, to a GPU that is none; new tensors may be there, too.

    Yields:
        List[str]: What a GPU is waited for, empty at first.
    """
    if digit_version(torch.__version__) < digit_version('2.4'):
        pytest.skip('fake CUDA tensors of older PyTorch need a driver')
    mode = FakeTensorMode()
    for module in (m for top in modules for m in top.modules()):
        for tensors in (module._parameters, module._buffers):
            for name, x in tensors.items():
                if x is not None:
                    fake = FakeTensor(
                        mode, torch.empty_like(x, device='meta'), torch.device('cuda')
                    )
                    is_param = isinstance(x, nn.Parameter)
                    tensors[name] = nn.Parameter(fake, x.requires_grad) if is_param else fake
    with mode, Waits() as waits:
        yield waits.found
