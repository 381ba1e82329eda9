"""What a party received and sent in its last rounds, kept so that a round can be run again without anybody else.

One file a round, of the same records as an outbox journal: lengths, head as JSON, payload. Nothing is fsynced: after a
crash the round is recorded anew, and what was half written is left out.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import msgspec

from playground_ext.bus.envelope import Buffer, Envelope, Outgoing, checksum
from playground_ext.party.disk import storage_error

__all__ = ["Message", "Recorder", "read_round", "recorded_rounds", "rounds_bytes"]

_LENGTHS = struct.Struct("<QQ")
_BUFFER = 1 << 20  # bytes


class Head(msgspec.Struct, frozen=True):
    """A message as this party saw it."""

    sent: bool  # by this party; otherwise it was received
    peers: tuple[str, ...]
    kind: str
    round: int
    attempt: int
    step: str
    meta: dict[str, Any]
    size: int
    xxh3: str


class Message(msgspec.Struct, frozen=True):
    """A recorded message with its payload."""

    head: Head
    payload: bytes


class Recorder:
    """Writes what passes. `keep`: how many rounds, the newest ones; None means all, 0 none."""

    def __init__(self, folder: Path, *, keep: int | None) -> None:
        self._folder, self._keep = folder, keep
        self._files: dict[int, IO[bytes]] = {}

    def sent(self, message: Outgoing, pieces: Sequence[Buffer]) -> None:
        head = (message.kind, message.round, message.attempt, message.step, message.meta, message.size, message.xxh3)
        self._write(Head(True, message.receivers, *head), pieces)

    def received(self, message: Envelope) -> None:
        payload = message.payload
        head = (message.kind, message.round, message.attempt, message.step, dict(message.meta))
        self._write(Head(False, (message.sender,), *head, len(payload), checksum([payload])), [payload])

    def round_over(self, round: int) -> None:
        """The end of `round` is on disk: of the rounds before it, only those that are to be kept stay."""
        for done in [number for number in self._files if number <= round]:
            self._files.pop(done).close()
        if self._keep is not None:
            for old in recorded_rounds(self._folder):
                if old <= round - self._keep:
                    _path(self._folder, old).unlink(missing_ok=True)

    def close(self) -> None:
        for file in self._files.values():
            file.close()
        self._files.clear()

    def _write(self, head: Head, pieces: Sequence[Buffer]) -> None:
        if self._keep == 0:
            return
        try:
            file = self._files.get(head.round)
            if file is None:
                file = self._files[head.round] = _path(self._folder, head.round).open("ab", buffering=_BUFFER)
            encoded = msgspec.json.encode(head)
            file.write(_LENGTHS.pack(len(encoded), head.size) + encoded)
            for piece in pieces:
                file.write(piece)
        except OSError as error:
            raise storage_error(error, self._folder, f"record the messages of round {head.round}") from error


def recorded_rounds(folder: Path) -> list[int]:
    """Rounds of which there is a recording, oldest first."""
    return sorted(int(path.stem.removeprefix("round-")) for path in folder.glob("round-*.messages"))


def rounds_bytes(folder: Path) -> int:
    """What the recordings take on disk."""
    return sum(path.stat().st_size for path in folder.glob("round-*.messages"))


def read_round(folder: Path, round: int) -> list[Message]:
    """All messages of a round, of its last attempt, each once, in the order in which they passed."""
    found: dict[tuple[bool, tuple[str, ...], str, str], Message] = {}
    messages = list(_messages(_path(folder, round)))
    attempt = max((message.head.attempt for message in messages), default=0)
    for message in messages:
        head = message.head
        if head.attempt == attempt:
            found[(head.sent, head.peers, head.kind, head.step)] = message  # a second time only after a crash
    return list(found.values())


def _messages(path: Path) -> Iterator[Message]:
    with suppress(FileNotFoundError), path.open("rb") as file:
        while len(lengths := file.read(_LENGTHS.size)) == _LENGTHS.size:
            head_size, size = _LENGTHS.unpack(lengths)
            encoded, payload = file.read(head_size), file.read(size)
            if len(payload) < size:
                return
            try:
                head = msgspec.json.decode(encoded, type=Head)
            except msgspec.MsgspecError:
                return
            yield Message(head, payload)


def _path(folder: Path, round: int) -> Path:
    return folder / f"round-{round:06d}.messages"
