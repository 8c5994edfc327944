"""A trained model made fit for use: faster, or as a file without mmpose."""

from .exporter import export
from .switches import switch_to_deploy, use_channels_last

__all__ = ['export', 'switch_to_deploy', 'use_channels_last']
