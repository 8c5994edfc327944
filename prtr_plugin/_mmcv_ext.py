"""Stand-in for ``mmcv._ext``, the compiled operators, in an mmcv that has none.

mmpose and mmdet import the names of many operators and call few of them, PRTR none. This file
imports nothing, so that it works as ``mmcv/_ext.py`` too, where ``tools/setup_env.sh`` copies it.
"""

from collections.abc import Callable


def get_compiler_version() -> str:
    """What mmcv asks for reports about the environment."""
    return 'not available'


def get_compiling_cuda_version() -> str:
    """The same for CUDA."""
    return 'not available'


def __getattr__(name: str) -> Callable:
    """An operator: anything by that name that can be called, which is an error."""
    if name.startswith('_'):
        raise AttributeError(name)

    def operator(*args, **kwargs):
        raise RuntimeError(
            f'This mmcv has no compiled operators, and {name} is one: compile them with '
            '`MMCV_OPS=1 bash tools/setup_env.sh`, or with `pip install --force-reinstall '
            '--no-deps --no-build-isolation --no-binary :all: PACKAGE`, where PACKAGE is '
            'onedl-mmcv (torch >= 2.6) or mmcv==2.1.0 (torch 2.1).'
        )

    return operator
