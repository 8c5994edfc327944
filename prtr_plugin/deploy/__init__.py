"""Deployment of trained models: faster inference, and export to a single file."""

from .exporter import export
from .switches import switch_to_deploy, use_channels_last

__all__ = ['export', 'switch_to_deploy', 'use_channels_last']
