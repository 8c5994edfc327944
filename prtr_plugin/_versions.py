"""The required packages and their supported versions."""

import importlib
import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from types import ModuleType
from typing import NamedTuple


class _Need(NamedTuple):
    """A required package: import name, version range and how to install it."""

    name: str
    minimum: str
    limit: str  # the first version that is too new
    hint: str

    def __str__(self) -> str:
        return f'{self.name} >= {self.minimum}, < {self.limit}'


# The original packages and the maintained forks (onedl-*), which new PyTorch
# releases need, share their import names; so the modules are asked for their
# versions, not pip. mmengine comes first because it compares the versions.
NEEDS = (
    _Need(
        'mmengine',
        '0.10.7',
        '1.0',
        '`pip install onedl-mmengine` (torch >= 2.6) or `pip install mmengine` (torch 2.1)',
    ),
    _Need('torch', '2.1', '3.0', '`pip install torch`'),
    _Need(
        'mmcv',
        '2.1',
        '2.4',
        '`pip install onedl-mmcv` (torch >= 2.6) or `pip install mmcv==2.1.0` (torch 2.1)',
    ),
    _Need(
        'mmdet',
        '3.2',
        '3.6',
        '`pip install --no-deps onedl-mmdetection` (torch >= 2.6) or '
        '`pip install --no-deps mmdet==3.2.0` (torch 2.1)',
    ),
    _Need('mmpose', '1.3.2', '1.4', '`pip install --no-deps mmpose==1.3.2`'),
)


@contextmanager
def quiet_imports() -> Iterator[None]:
    """Import the required packages without what they say about optional parts."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter('ignore')
            yield
    finally:
        logging.disable(level)


def check_versions() -> None:
    """Check the versions of the required packages.

    Raises:
        ImportError: If a package is missing, cannot be imported or has an
            unsupported version. The message names the package, the versions
            needed, the version found and a remedy.
    """
    for need in NEEDS:
        found = _import(need).__version__
        from mmengine.utils import digit_version  # mmengine has been imported by now

        if not (digit_version(need.minimum) <= digit_version(found) < digit_version(need.limit)):
            raise ImportError(
                f'prtr_plugin needs {need} but found {need.name} {found}: '
                f'install one of these versions with {need.hint}.'
            )


def _import(need: _Need) -> ModuleType:
    """Import a required package, or say in one sentence why that fails."""
    try:
        return importlib.import_module(need.name)
    except ModuleNotFoundError as error:
        for other in NEEDS:
            if other.name == error.name:
                raise ImportError(
                    f'prtr_plugin needs {other} but found no {other.name}: '
                    f'install it with {other.hint}.'
                ) from error
        raise ImportError(
            f'prtr_plugin needs {need}, which cannot be imported because '
            f'{error.name} is not installed.'
        ) from error
    except (ImportError, AssertionError) as error:
        # mmdet and mmpose assert that mmcv and mmengine are in their range.
        raise ImportError(
            f'prtr_plugin needs {need}, which cannot be imported ({error}).'
        ) from error
