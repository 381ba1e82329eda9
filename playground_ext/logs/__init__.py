"""What every party says, in every party's notebook: capture, stream, and the pane that shows it."""

from __future__ import annotations

from playground_ext.logs.capture import logger
from playground_ext.logs.record import LogRecord, decode_batch, encode_batch
from playground_ext.logs.session import LogSession

__all__ = ["LogRecord", "LogSession", "decode_batch", "encode_batch", "logger"]
