"""SharedFileDataChannel. No files are shared here: data goes through the run's streams."""

from __future__ import annotations

from playground_ext.compat.alphafed.data_channel.data_channel import DataChannel

__all__ = ["SharedFileDataChannel"]


class SharedFileDataChannel(DataChannel):
    """See DataChannel."""
