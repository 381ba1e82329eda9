"""What a party sent, kept on its own disk until every receiver has acknowledged it.

A message is durable here before anybody can see it, so that a party that comes back resends the same bytes instead of
computing them again. Small messages share one journal, a large one has a file of its own, written while its payload is
on the way to the server. Both hold records:

    8 + 8 bytes   lengths of head and payload, little endian
    head          JSON: seq, receivers, kind, round, attempt, step, meta, size, xxh3
    payload
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from playground_ext.bus.envelope import INLINE_BYTES, Buffer, Outgoing, checksum, total_bytes
from playground_ext.bus.payload_files import write_all
from playground_ext.errors import StorageError
from playground_ext.party.disk import storage_error, sync_folder

__all__ = ["MemoryOutbox", "Outbox"]

JOURNAL_BYTES = 4 << 20  # a longer journal is written anew when half of it is acknowledged
_LENGTHS = struct.Struct("<QQ")

LogicalKey = tuple[tuple[str, ...], str, int, int, str]


class MemoryOutbox:
    """Messages in the order in which they were sent, in this process' memory only: no recovery after a crash.

    Without `copy`, a party that changes a tensor it has sent cannot send it again.
    """

    def __init__(self, *, copy: bool = False) -> None:
        self._copy = copy
        self._entries: dict[int, Outgoing] = {}
        self._by_key: dict[LogicalKey, int] = {}
        self._pieces: dict[int, Sequence[Buffer]] = {}
        self.next_seq = 1

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Outgoing]:
        """Unacknowledged messages, oldest first."""
        return iter(list(self._entries.values()))

    def find(self, receivers: Sequence[str], kind: str, round: int, attempt: int, step: str) -> Outgoing | None:
        """The message with this logical key, if it was sent and is still unacknowledged."""
        seq = self._by_key.get((tuple(receivers), kind, round, attempt, step))
        return None if seq is None else self._entries[seq]

    def put(
        self,
        receivers: Sequence[str],
        kind: str,
        round: int,
        attempt: int,
        step: str,
        meta: dict[str, Any],
        pieces: Sequence[Buffer],
    ) -> Outgoing:
        """Begin to keep a message; it is kept once `settle` returns, and its pieces must not change before.

        Raises:
            StorageError: the disk is full or not writable (here or in `settle`).
        """
        size, digest = total_bytes(pieces), checksum(pieces)
        head = Outgoing(self.next_seq, tuple(receivers), kind, round, attempt, step, meta, size, digest, time.time())
        self._keep(head, pieces)
        self.next_seq += 1
        self._remember(head)
        return head

    def settle(self, outgoing: Outgoing) -> None:
        """Return when the message is kept."""

    def payload(self, outgoing: Outgoing) -> Sequence[Buffer]:
        """The payload of a message that is still here."""
        return self._pieces[outgoing.seq]

    def discard(self, seq: int) -> None:
        """Every receiver has it on its own disk."""
        head = self._entries.pop(seq, None)
        if head is not None:
            self._by_key.pop(head.logical_key, None)
            self._drop(head)

    def close(self) -> None:
        """Nothing more will be sent."""

    def _keep(self, head: Outgoing, pieces: Sequence[Buffer]) -> None:
        self._pieces[head.seq] = [b"".join(pieces)] if self._copy else pieces

    def _drop(self, head: Outgoing) -> None:
        del self._pieces[head.seq]

    def _remember(self, head: Outgoing) -> None:
        self._entries[head.seq] = head
        self._by_key[head.logical_key] = head.seq


class Outbox(MemoryOutbox):
    """The same in a folder, so that it survives the process. `durable=False` leaves out fsync, to measure its cost."""

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        super().__init__()
        self.folder = folder
        self._durable = durable
        self._offsets: dict[int, int] = {}  # of payloads in the journal, by seq
        self._pending: dict[int, Future[None]] = {}
        self._writer: ThreadPoolExecutor | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._journal = os.open(folder / "journal", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise storage_error(error, folder, "open the outbox") from error
        self._journal_end = 0
        self._live_bytes = 0  # payloads in the journal that are not acknowledged
        self._load()

    def settle(self, outgoing: Outgoing) -> None:
        pending = self._pending.pop(outgoing.seq, None)
        if pending is not None:
            pending.result()

    def payload(self, outgoing: Outgoing) -> Sequence[Buffer]:
        self.settle(outgoing)
        try:
            if outgoing.seq in self._offsets:
                return [os.pread(self._journal, outgoing.size, self._offsets[outgoing.seq])]
            with self._path(outgoing.seq).open("rb") as file:
                head, payload = _read_record(file.fileno(), 0)
        except OSError as error:
            raise storage_error(error, self.folder, f"read a {outgoing.kind!r} message") from error
        if head is None:
            raise StorageError(
                f"the {outgoing.kind!r} message of round {outgoing.round} in {self.folder} is damaged",
                round=outgoing.round,
                next_step="start a new run: this party cannot send it again",
            )
        return [payload]

    def close(self) -> None:
        if self._writer is not None:
            self._writer.shutdown()
        if self._journal >= 0:
            os.close(self._journal)
            self._journal = -1

    def _keep(self, head: Outgoing, pieces: Sequence[Buffer]) -> None:
        if head.size <= INLINE_BYTES:
            self._append(head, pieces)
            return
        if self._writer is None:
            self._writer = ThreadPoolExecutor(1, thread_name_prefix="playground-outbox")
        self._pending[head.seq] = self._writer.submit(self._write_file, head, pieces)

    def _append(self, head: Outgoing, pieces: Sequence[Buffer]) -> None:
        buffers = _record(head, pieces)
        try:
            if self._journal_end > max(JOURNAL_BYTES, 2 * self._live_bytes):
                self._rewrite_journal()
            write_all(self._journal, buffers, self._journal_end)
            if self._durable:
                os.fdatasync(self._journal)
        except OSError as error:
            os.ftruncate(self._journal, self._journal_end)
            raise self._not_kept(head, error) from error
        self._journal_end += total_bytes(buffers)
        self._live_bytes += head.size
        self._offsets[head.seq] = self._journal_end - head.size

    def _write_file(self, head: Outgoing, pieces: Sequence[Buffer]) -> None:
        path = self._path(head.seq)
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                write_all(descriptor, _record(head, pieces), 0)
                if self._durable:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)
            if self._durable:
                sync_folder(self.folder)
        except OSError as error:
            path.unlink(missing_ok=True)
            raise self._not_kept(head, error) from error

    def _not_kept(self, head: Outgoing, error: OSError) -> StorageError:
        what = f"keep a {head.kind!r} message of {head.size:,} bytes"
        return storage_error(error, self.folder, what).located(round=head.round)

    def _drop(self, head: Outgoing) -> None:
        if self._offsets.pop(head.seq, None) is None:
            self._path(head.seq).unlink(missing_ok=True)
            return
        self._live_bytes -= head.size
        if not self._offsets and self._journal_end > JOURNAL_BYTES:
            os.ftruncate(self._journal, 0)
            self._journal_end = 0

    def _rewrite_journal(self) -> None:
        """Leave out what is acknowledged; a crash leaves the old journal or the new one."""
        kept = [(self._entries[seq], self.payload(self._entries[seq])) for seq in sorted(self._offsets)]
        aside = self.folder / "journal.new"
        descriptor = os.open(aside, os.O_CREAT | os.O_RDWR | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        end = 0
        for head, pieces in kept:
            buffers = _record(head, pieces)
            write_all(descriptor, buffers, end)
            end += total_bytes(buffers)
            self._offsets[head.seq] = end - head.size
        os.fsync(descriptor)
        aside.replace(self.folder / "journal")
        sync_folder(self.folder)
        os.close(self._journal)
        self._journal, self._journal_end = descriptor, end

    def _load(self) -> None:
        """Find what an earlier process has kept; what was half written had never been sent."""
        found: dict[int, Outgoing] = {}
        size = os.fstat(self._journal).st_size
        while self._journal_end < size:
            head, _ = _read_record(self._journal, self._journal_end)
            if head is None:
                break
            self._journal_end = self._journal_end + _record_size(head)
            self._offsets[head.seq] = self._journal_end - head.size
            self._live_bytes += head.size
            found[head.seq] = head
        os.ftruncate(self._journal, self._journal_end)
        for path in self.folder.glob("*.msg"):
            with path.open("rb") as file:
                head, _ = _read_record(file.fileno(), 0)
            if head is None:
                path.unlink()
            else:
                found[head.seq] = head
        for seq in sorted(found):
            self._remember(found[seq])
        self.next_seq = max(found, default=0) + 1

    def _path(self, seq: int) -> Path:
        return self.folder / f"{seq:012d}.msg"


def _record(head: Outgoing, pieces: Sequence[Buffer]) -> list[Buffer]:
    encoded = msgspec.json.encode(head)
    return [_LENGTHS.pack(len(encoded), head.size) + encoded, *pieces]


def _record_size(head: Outgoing) -> int:
    return _LENGTHS.size + len(msgspec.json.encode(head)) + head.size


def _read_record(descriptor: int, offset: int) -> tuple[Outgoing | None, bytes]:
    """A whole and undamaged record, or None."""
    lengths = os.pread(descriptor, _LENGTHS.size, offset)
    left = os.fstat(descriptor).st_size - offset - _LENGTHS.size
    if len(lengths) < _LENGTHS.size or sum(_LENGTHS.unpack(lengths)) > left:
        return None, b""
    head_size, payload_size = _LENGTHS.unpack(lengths)
    try:
        head = msgspec.json.decode(os.pread(descriptor, head_size, offset + _LENGTHS.size), type=Outgoing)
    except msgspec.MsgspecError:
        return None, b""
    payload = _read_all(descriptor, payload_size, offset + _LENGTHS.size + head_size)
    intact = head.size == payload_size and checksum([payload]) == head.xxh3
    return (head, payload) if intact else (None, b"")


def _read_all(descriptor: int, size: int, offset: int) -> bytes:
    """One pread returns at most 2 GiB."""
    parts: list[bytes] = []
    while size > 0 and (part := os.pread(descriptor, min(size, 1 << 30), offset)):
        parts.append(part)
        size, offset = size - len(part), offset + len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)
