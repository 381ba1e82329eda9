"""What a party sent, kept on its own disk until every receiver has acknowledged it.

A message is written here before it is sent, so that a party that comes back resends the same bytes instead of computing
them again. One file a message:

    8 bytes   length of the JSON head, little endian
    head      JSON: seq, receivers, kind, round, attempt, step, meta, size, xxh3
    payload
"""

from __future__ import annotations

import errno
import mmap
import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from playground_ext.bus.envelope import Buffer, Outgoing, checksum, total_bytes
from playground_ext.errors import StorageError

__all__ = ["Outbox", "storage_error", "sync_folder"]

_IOV_MAX = 512  # buffers for one writev call; the system's limit is 1024


class Outbox:
    """A folder of messages, in the order in which they were sent.

    `durable=False` skips fsync, for benchmarks that show what it costs.
    """

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        self.folder = folder
        self._durable = durable
        self._entries: dict[int, Outgoing] = {}
        self._by_key: dict[tuple[tuple[str, ...], str, int, int, str], int] = {}
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for path in sorted(folder.glob("*.msg")):
            head = self._read_head(path)
            if head is None:  # the crash came before the fsync: it was never sent
                path.unlink(missing_ok=True)
            else:
                self._remember(head)
        self.next_seq = max(self._entries, default=0) + 1

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Outgoing]:
        """Unacknowledged messages, oldest first."""
        return iter([self._entries[seq] for seq in sorted(self._entries)])

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
        """Write a message durably, before anybody sees it.

        Raises:
            StorageError: the disk is full or not writable.
        """
        head = Outgoing(
            self.next_seq, tuple(receivers), kind, round, attempt, step, meta, total_bytes(pieces), checksum(pieces)
        )
        self._write(self._path(head.seq), head, pieces)
        self.next_seq += 1
        self._remember(head)
        return head

    def payload(self, outgoing: Outgoing) -> memoryview:
        """The payload of a message that is still here, read without copying."""
        path = self._path(outgoing.seq)
        try:
            with path.open("rb") as file:
                mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        except OSError as error:
            raise storage_error(error, path, "read") from error
        (length,) = struct.unpack_from("<Q", mapped)
        return mapped[8 + length :]

    def discard(self, seq: int) -> None:
        """Every receiver has it on its own disk."""
        head = self._entries.pop(seq, None)
        if head is not None:
            self._by_key.pop(head.logical_key, None)
            self._path(seq).unlink(missing_ok=True)

    def clear(self) -> None:
        for seq in list(self._entries):
            self.discard(seq)

    def _path(self, seq: int) -> Path:
        return self.folder / f"{seq:012d}.msg"

    def _remember(self, head: Outgoing) -> None:
        self._entries[head.seq] = head
        self._by_key[head.logical_key] = head.seq

    def _write(self, path: Path, head: Outgoing, pieces: Sequence[Buffer]) -> None:
        encoded = msgspec.json.encode(head)
        buffers = [struct.pack("<Q", len(encoded)) + encoded, *pieces]
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
            try:
                _write_all(descriptor, buffers)
                if self._durable:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)
            if self._durable:
                sync_folder(self.folder)
        except OSError as error:
            path.unlink(missing_ok=True)
            raise storage_error(error, path, f"keep a {head.kind!r} message of {head.size:,} bytes") from error

    @staticmethod
    def _read_head(path: Path) -> Outgoing | None:
        data = path.read_bytes()
        if len(data) < 8:
            return None
        (length,) = struct.unpack_from("<Q", data)
        try:
            head = msgspec.json.decode(data[8 : 8 + length], type=Outgoing)
        except msgspec.MsgspecError:
            return None
        payload = memoryview(data)[8 + length :]
        return head if payload.nbytes == head.size and checksum([payload]) == head.xxh3 else None


def _write_all(descriptor: int, buffers: Sequence[Buffer]) -> None:
    pending = [memoryview(buffer).cast("B") for buffer in buffers if total_bytes([buffer])]
    while pending:
        written = os.writev(descriptor, pending[:_IOV_MAX])
        while pending and written >= pending[0].nbytes:
            written -= pending.pop(0).nbytes
        if written:
            pending[0] = pending[0][written:]


def sync_folder(folder: Path) -> None:
    """Make a new or renamed file's name durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def storage_error(error: OSError, path: Path, doing: str) -> StorageError:
    """Name the folder and the way out."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return StorageError(
        f"could not {doing}: {'the disk is full' if full else error.strerror} ({path.parent})",
        next_step="free some space (`playground clean` removes old runs) and run this notebook again"
        if full
        else "check that the folder exists and belongs to you, or set PLAYGROUND_HOME to another one",
    )
