"""What crosses the parties' boundaries: envelopes as sizes and shapes, read from their headers, never their values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from playground_ext.bus.envelope import decode_header, parse_id
from playground_ext.server.rounds import OUTSIDE
from playground_ext.server.wire import Tensor

__all__ = ["Envelope", "read_envelope"]

_LENGTH = 8  # bytes before the header of a tensor frame
_MOST_HEADER = 1 << 20  # bytes of a tensor frame's header that are looked at
_MOST_TENSORS = 300  # named for one message
_MOST_NAME = 200  # characters


class Envelope(msgspec.Struct, frozen=True):
    """One message, as far as anybody but its receiver may know it."""

    sender: str
    receiver: str
    incarnation: int
    number: int
    kind: str
    round: int
    attempt: int
    step: str
    size: int
    tensors: list[Tensor] | None
    at: float | None = None  # when it was first sent, seconds since 1970 by the sender's clock; None: it does not say

    @property
    def logical_key(self) -> tuple[str, str, str, int, int, str]:
        """The same for a message that is sent again."""
        return self.sender, self.receiver, self.kind, self.round, self.attempt, self.step


def read_envelope(receiver: str, sender: str, entry_id: str, fields: Mapping[bytes, bytes]) -> Envelope:
    """An entry of a `q` stream.

    Raises:
        ProtocolError: not an envelope.
    """
    incarnation, number = parse_id(entry_id, sender)
    header = decode_header(fields.get(b"h", b""), sender)
    head = _of_frame(fields.get(b"t" if header.pointer else b"p", b""))
    return Envelope(
        sender=sender,
        receiver=receiver,
        incarnation=incarnation,
        number=number,
        kind=header.kind[:_MOST_NAME],
        round=OUTSIDE if header.meta.get("final") is True else header.round,  # the end has the number of the next one
        attempt=header.attempt,
        step=header.step[:_MOST_NAME],
        size=header.size,
        tensors=_tensors(head, header.size),
        at=header.at if math.isfinite(header.at) and header.at > 0 else None,
    )


def _of_frame(payload: bytes) -> bytes:
    """The JSON with which a tensor frame begins; empty if it is none."""
    length = int.from_bytes(payload[:_LENGTH], "little")
    return payload[_LENGTH : _LENGTH + length] if 0 < length <= min(_MOST_HEADER, len(payload) - _LENGTH) else b""


def _tensors(head: bytes, size: int) -> list[Tensor] | None:
    """Names, dtypes and shapes; None unless it is a tensor frame's header through and through."""
    if not head.lstrip().startswith(b"{"):
        return None
    try:
        said: dict[str, Any] = msgspec.json.decode(head, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    found: list[Tensor] = []
    for name, entry in said.items():
        if name == "__metadata__":
            continue
        dtype, shape = (entry.get("dtype"), entry.get("shape")) if isinstance(entry, dict) else (None, None)
        if not isinstance(dtype, str) or not isinstance(shape, list) or not _is_shape(shape):
            return None
        if len(found) < _MOST_TENSORS:
            found.append(Tensor(name[:_MOST_NAME], dtype[:20], shape))
    return found


def _is_shape(shape: list[Any]) -> bool:
    return len(shape) <= 64 and all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in shape)
