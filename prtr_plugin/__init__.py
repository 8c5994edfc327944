"""PRTR (Pose Recognition with Cascade Transformers) for mmpose.

Importing the package checks the versions of the packages it is built on and
registers its components; nothing else happens.
"""

from ._compat import allow_safe_checkpoints
from ._versions import check_versions
from .version import __version__

# Before the components, so that a wrong version is reported as such and not
# as the first name that it lacks.
check_versions()
allow_safe_checkpoints()

from . import codecs, datasets, engine, evaluation, models  # noqa: E402, F401

__all__ = ['__version__']
