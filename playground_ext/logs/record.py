"""One log line, and the batches in which lines travel.

A batch is JSON lines: the same bytes are appended to the party's own `logs.jsonl` and added to the log stream, so that
a line is encoded once, and a reader that only shows the last lines decodes only those.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from playground_ext.errors import ProtocolError

__all__ = ["MAX_BATCH_LINES", "MAX_TEXT", "Batch", "Entry", "LogRecord", "decode_batch", "encode_batch"]

MAX_TEXT = 64 << 10  # characters of one line that travel; the party's own file keeps all
MAX_BATCH_LINES = 2000
MAX_BATCH_BYTES = 4 << 20  # a larger one is refused
ERRORS = frozenset({"ERROR", "CRITICAL"})

Entry = tuple[float, str, int | None, str, str]  # time, level, round, source, text: a line before it has a number


class LogRecord(msgspec.Struct, frozen=True, gc=False):
    """One line of one party. `seq` counts a party's lines from 1 within one log session."""

    time: float  # seconds since the epoch, the party's clock
    party: str
    level: str  # DEBUG, INFO, WARNING, ERROR, CRITICAL
    round: int | None
    seq: int
    source: str  # log, print, warning, error
    text: str  # may have several lines (a traceback)


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(LogRecord)


def encode_batch(records: Sequence[LogRecord]) -> bytes:
    """The records as JSON objects, one a line."""
    try:
        return _encoder.encode_lines(records)
    except UnicodeEncodeError:  # lone surrogates, as in the name of a file that is not UTF-8
        return _encoder.encode_lines(
            [msgspec.structs.replace(record, text=_encodable(record.text)) for record in records]
        )


def decode_batch(data: bytes) -> list[LogRecord]:
    """The records of a batch.

    Raises:
        ProtocolError: not what `encode_batch` makes.
    """
    try:
        return _decoder.decode_lines(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise ProtocolError(f"a batch of log lines cannot be read: {error}") from error


def _encodable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive lines of one party, still encoded; the entry of the log stream."""

    party: str
    session: int  # nanoseconds since the epoch at which the party's log session began; the newest is the living one
    first: int  # seq of the first line
    last: int
    errors: int  # how many lines are errors
    data: bytes

    @property
    def count(self) -> int:
        return self.last - self.first + 1

    def fields(self) -> dict[str, str | int | bytes]:
        """The fields of the stream entry."""
        return {
            "p": self.party,
            "s": self.session,
            "f": self.first,
            "l": self.last,
            "e": self.errors,
            "r": self.data,
        }

    @classmethod
    def of(cls, fields: Mapping[bytes, bytes]) -> Batch | None:
        """The batch in a stream entry; None for an entry without lines (a mark).

        Raises:
            ProtocolError: fields that are missing or make no sense.
        """
        data = fields.get(b"r")
        if data is None:
            return None
        try:
            session, first, last, errors = (int(fields[name]) for name in (b"s", b"f", b"l", b"e"))
            batch = cls(fields[b"p"].decode(), session, first, last, errors, data)
        except (KeyError, ValueError) as error:
            raise ProtocolError(f"an entry of the log stream has no usable fields: {error!r}") from error
        if not (0 < batch.count <= MAX_BATCH_LINES and batch.first > 0 and len(data) <= MAX_BATCH_BYTES):
            raise ProtocolError(f"an entry of the log stream claims {batch.count} lines in {len(data)} bytes")
        return batch

    def records(self) -> list[LogRecord]:
        """All lines; those that name another party, or cannot be read, are left out."""
        return self._own(self.data)

    def tail(self, lines: int) -> list[LogRecord]:
        """The last lines, decoding only those."""
        pieces = self.data.rsplit(b"\n", lines + 1)
        return self._own(b"\n".join(pieces[-lines - 1 :]))

    def error_records(self) -> list[LogRecord]:
        return [record for record in self.records() if record.level in ERRORS] if self.errors else []

    def _own(self, data: bytes) -> list[LogRecord]:
        try:
            records = decode_batch(data)
        except ProtocolError:
            return []
        return [record for record in records if record.party == self.party]
