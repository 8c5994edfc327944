"""Deployment of trained models: faster inference, and export to a single file."""

from .exporter import export
from .formats import FORMATS
from .switches import switch_to_deploy, use_channels_last

__all__ = ['FORMATS', 'export', 'switch_to_deploy', 'use_channels_last']
