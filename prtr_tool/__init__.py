"""The command ``prtr``.

A package of its own, because importing ``prtr_plugin`` imports PyTorch and
mmpose, for which ``prtr --help`` must not wait.
"""

from .app import app, main

__all__ = ['app', 'main']
