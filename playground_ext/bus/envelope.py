"""Envelope, the one wire type, and how it lies in a stream entry.

A data entry (`q` streams) has the fields

    h   JSON: kind, round, attempt, step, meta, and either `inline: true` or a pointer to payload chunks
    p   the payload, when it is inline (at most INLINE_BYTES)
    t   beside a pointer to a tensor frame: the frame's header, for those who watch; receivers do not look at it
    d   xxh3-128 of `h`, hexadecimal: two entries with the same id are the same message only if it is equal

A control entry (`c` streams) has the fields `k` (kind) and `m` (JSON body).

Sender, receiver, incarnation and seq are what the key and the stream id say, never what the body says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import xxhash

from playground_ext.errors import ProtocolError

__all__ = [
    "INLINE_BYTES",
    "Buffer",
    "Control",
    "Envelope",
    "Header",
    "Outgoing",
    "Pointer",
    "checksum",
    "decode_control",
    "decode_header",
    "encode_control",
    "encode_header",
    "parse_id",
    "total_bytes",
]

INLINE_BYTES = 64 << 10  # larger payloads travel as chunks
MAX_META_BYTES = 1 << 20  # `h` and control bodies, as JSON; tracebacks and model signatures are the largest
MAX_PAYLOAD_BYTES = 8 << 30  # one payload

Buffer = bytes | bytearray | memoryview


class Pointer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a chunked payload lies: chunk keys follow from `to`, the sender and `seq`."""

    to: str  # receiver, or ALL for a broadcast that is stored once
    seq: int
    size: int  # bytes
    xxh3: str  # xxh3-128 of the whole payload, hexadecimal


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The JSON of a data entry."""

    kind: str
    round: int
    attempt: int
    step: str
    meta: dict[str, Any]
    size: int
    xxh3: str  # of the payload, inline or not
    pointer: Pointer | None = None
    at: float = 0.0  # when it was first sent, seconds since 1970 by the sender's clock


_HEADERS = msgspec.json.Decoder(Header)  # made once: msgspec 0.22 crashes where two threads begin to decode a type


class Outgoing(msgspec.Struct, frozen=True):
    """A message as its sender keeps it, without the payload."""

    seq: int
    receivers: tuple[str, ...]
    kind: str
    round: int
    attempt: int
    step: str
    meta: dict[str, Any]
    size: int  # bytes of payload
    xxh3: str
    at: float = 0.0  # when it was sent, seconds since 1970

    @property
    def logical_key(self) -> tuple[tuple[str, ...], str, int, int, str]:
        """A party says one thing once: the same key is the same bytes."""
        return (self.receivers, self.kind, self.round, self.attempt, self.step)


@dataclass(frozen=True)
class Envelope:
    """One message from one party to one other."""

    task: str
    run: str
    sender: str
    receiver: str
    incarnation: int
    seq: int
    kind: str
    round: int = 0
    attempt: int = 0
    step: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)
    payload: Buffer = b""

    @property
    def logical_key(self) -> tuple[str, int, int, str]:
        """What this message is, whoever resends it: receivers deduplicate by it."""
        return (self.kind, self.round, self.attempt, self.step)


@dataclass(frozen=True)
class Control:
    """One message by one party for all."""

    sender: str
    incarnation: int
    seq: int
    kind: str
    body: dict[str, Any]


def checksum(pieces: Sequence[Buffer]) -> str:
    """xxh3-128 of the concatenation, hexadecimal: protects against corruption, not against an attacker."""
    if len(pieces) == 1:
        return xxhash.xxh3_128_hexdigest(pieces[0])
    digest = xxhash.xxh3_128()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def total_bytes(pieces: Sequence[Buffer]) -> int:
    return sum(piece.nbytes if isinstance(piece, memoryview) else len(piece) for piece in pieces)


def parse_id(entry_id: bytes | str, sender: str) -> tuple[int, int]:
    """Split a stream id into (incarnation, seq)."""
    text = entry_id.decode("ascii", "replace") if isinstance(entry_id, bytes) else entry_id
    incarnation, _, seq = text.partition("-")
    if not (incarnation.isdecimal() and seq.isdecimal()):
        raise ProtocolError(f"stream id {text!r} from {sender} is not <incarnation>-<seq>", party=sender)
    return int(incarnation), int(seq)


def encode_header(header: Header) -> bytes:
    """The JSON of a header.

    Raises:
        ProtocolError: `meta` is larger than MAX_META_BYTES; large things belong in the payload.
    """
    data = msgspec.json.encode(header)
    if len(data) > MAX_META_BYTES:
        raise ProtocolError(
            f"the meta of a {header.kind!r} message takes {len(data):,} bytes as JSON, more than {MAX_META_BYTES:,}",
            next_step="put large values into the payload",
        )
    return data


def decode_header(data: bytes, sender: str) -> Header:
    """Believe nothing: sizes, names and types are checked before anything is allocated.

    Raises:
        ProtocolError: not a header, or sizes that cannot be.
    """
    if len(data) > MAX_META_BYTES:
        raise ProtocolError(
            f"{sender} sent a header of {len(data):,} bytes; {MAX_META_BYTES:,} are allowed", party=sender
        )
    try:
        header = _HEADERS.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(f"{sender} sent a header that cannot be read: {error}", party=sender) from error
    if not 0 <= header.size <= MAX_PAYLOAD_BYTES or header.round < 0 or header.attempt < 0:
        raise ProtocolError(f"{sender} sent a {header.kind!r} header with impossible numbers", party=sender)
    if header.pointer is not None and header.pointer.size != header.size:
        raise ProtocolError(
            f"{sender}'s {header.kind!r} says {header.size:,} bytes, its pointer {header.pointer.size:,}", party=sender
        )
    return header


def encode_control(kind: str, body: Mapping[str, Any]) -> dict[bytes, bytes]:
    data = msgspec.json.encode(body)
    if len(data) > MAX_META_BYTES:
        raise ProtocolError(f"a {kind!r} control message takes {len(data):,} bytes, more than {MAX_META_BYTES:,}")
    return {b"k": kind.encode(), b"m": data}


def decode_control(sender: str, entry_id: bytes | str, fields: Mapping[bytes, bytes]) -> Control:
    """Read an entry of a control stream.

    Raises:
        ProtocolError: not a control entry.
    """
    incarnation, seq = parse_id(entry_id, sender)
    try:
        kind, data = fields[b"k"].decode(), fields[b"m"]
        if len(data) > MAX_META_BYTES:
            raise ProtocolError(f"{sender} sent a control message of {len(data):,} bytes", party=sender)
        body = msgspec.json.decode(data, type=dict[str, Any])
    except (KeyError, UnicodeDecodeError, msgspec.MsgspecError, RecursionError) as error:
        raise ProtocolError(f"{sender} sent a control message that cannot be read: {error!r}", party=sender) from error
    return Control(sender, incarnation, seq, kind, body)
