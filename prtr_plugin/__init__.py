"""PRTR (Pose Recognition with Cascade Transformers) for mmpose.

Importing the package checks the versions of the required packages, registers
the components and lets mmengine load checkpoints without running code.
"""

from ._stand_ins import register_stand_ins
from ._versions import check_versions, quiet_imports
from .version import __version__

with quiet_imports():
    # Before the components, so that a wrong version is reported as such and not
    # as the first name missing from it.
    register_stand_ins()
    check_versions()

    from . import codecs, datasets, engine, evaluation, models  # noqa: F401
    from .checkpoints import load_safely

load_safely()

__all__ = ['__version__']
