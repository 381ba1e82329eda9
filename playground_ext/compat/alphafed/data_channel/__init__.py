"""`alphafed.data_channel`: data between the parties, as the users' own algorithms send it."""

from playground_ext.compat.alphafed.data_channel.data_channel import DataChannel, SendingError
from playground_ext.compat.alphafed.data_channel.grpc_data_channel import GRPCDataChannel
from playground_ext.compat.alphafed.data_channel.shared_file_data_channel import SharedFileDataChannel

__all__ = ["DataChannel", "GRPCDataChannel", "SendingError", "SharedFileDataChannel"]
