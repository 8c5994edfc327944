"""PRTR (Pose Recognition with Cascade Transformers) for mmpose.

Importing the package checks the versions of the required packages, registers
the components and adds to PyTorch's list of types that are safe to load.
"""

from ._stand_ins import register_stand_ins
from ._versions import check_versions
from .version import __version__

# Before the components, so that a wrong version is reported as such and not
# as the first name missing from it.
register_stand_ins()
check_versions()

from . import codecs, datasets, engine, evaluation, models  # noqa: E402, F401
from .checkpoints import allow_safe_checkpoints  # noqa: E402

allow_safe_checkpoints()

__all__ = ['__version__']
