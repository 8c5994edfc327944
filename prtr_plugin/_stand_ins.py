"""Stand-ins for compiled modules that the required packages import and PRTR does not need."""

import contextlib
import importlib.util
import sys

import numpy as np


def register_stand_ins() -> None:
    """Let mmdet and mmpose be imported without a compiler having been at work.

    - ``mmcv._ext``, where mmcv was installed without its operators: one that says so when an
      operator is called.
    - ``xtcocotools._mask``, whose wheels are for NumPy 1 and Python up to 3.11: that of
      pycocotools, which it is a copy of.
    """
    if not _exists('mmcv._ext'):
        from . import _mmcv_ext

        sys.modules['mmcv._ext'] = _mmcv_ext
    too_old = int(np.__version__.split('.')[0]) >= 2
    if (too_old or not _exists('xtcocotools._mask')) and _exists('pycocotools._mask'):
        with contextlib.suppress(ImportError):  # mmdet and mmpose name what is missing
            from pycocotools import _mask

            sys.modules['xtcocotools._mask'] = _mask


def _exists(name: str) -> bool:
    """Whether a module is imported or can be found; ``True`` if its package cannot."""
    try:
        return name in sys.modules or importlib.util.find_spec(name) is not None
    except ImportError:
        return True  # _versions.py reports it
