"""GRPCDataChannel. There is no gRPC here: data goes through the run's streams."""

from __future__ import annotations

from playground_ext.compat.alphafed.data_channel.data_channel import DataChannel

__all__ = ["GRPCDataChannel"]


class GRPCDataChannel(DataChannel):
    """See DataChannel."""
