"""PRTR (Pose Recognition with Cascade Transformers) for mmpose.

Importing the package checks the versions of the required packages, registers
the components and adds to PyTorch's list of types that are safe to load.
"""

from ._versions import check_versions, quiet_imports
from .version import __version__

with quiet_imports():
    # Before the components, so that a wrong version is reported as such and not
    # as the first name missing from it.
    check_versions()

    from . import codecs, datasets, engine, evaluation, models  # noqa: F401
    from .checkpoints import allow_safe_checkpoints

allow_safe_checkpoints()

__all__ = ['__version__']
