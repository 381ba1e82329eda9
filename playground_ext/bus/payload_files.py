"""Large payloads in files beside the server's unix socket: who reaches the socket reaches them.

Half the way of one through the server, and none of its memory. A file whose payload is acknowledged gets another name
and the next payload: a filesystem takes several times as long to find room as to write.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit

import numpy as np

from playground_ext.bus.envelope import Buffer, total_bytes
from playground_ext.bus.private_folder import PAYLOADS

__all__ = ["PayloadFiles", "empty_buffer", "write_all"]

_IN_RESERVE = 2  # acknowledged files that are kept for the next payloads
_SHARE = 0.5  # of the free space that one payload may take
_IOV_MAX = 512  # buffers in one system call; the limit is 1024
_ALIGNMENT = 64  # bytes; a cache line


class PayloadFiles:
    """Named payloads in one folder; used by one thread."""

    def __init__(self, folder: Path, *within: str) -> None:
        self._folders = [folder.joinpath(*within[: depth + 1]) for depth in range(len(within))]
        self._folder = folder.joinpath(*within)
        self._reserve: list[Path] = []

    @classmethod
    def beside(cls, url: str, *within: str) -> Self | None:
        """The folder of that name within the one beside the socket of `url`; None if the server has none."""
        address = urlsplit(url)
        if address.scheme != "unix" or any("/" in name or name in ("", ".", "..") for name in within):
            return None
        folder = Path(unquote(address.path)).with_name(PAYLOADS)
        try:
            status = os.lstat(folder)
        except OSError:
            return None
        private = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o077
        return cls(folder, *within) if private else None

    def store(self, name: str, pieces: Sequence[Buffer]) -> bool:
        """Keep the concatenation of the pieces; False if there is no room for it."""
        path, size = self._folder / name, total_bytes(pieces)
        try:
            for folder in self._folders:  # not the one beside the socket: without that there is no server
                folder.mkdir(mode=0o700, exist_ok=True)
            if self._reserve:
                self._reserve.pop().replace(path)
            room = os.statvfs(self._folder)
            if size > _SHARE * room.f_bavail * room.f_frsize:
                raise OSError("it would leave too little for others")
            descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                write_all(descriptor, pieces, 0)
                os.ftruncate(descriptor, size)
            finally:
                os.close(descriptor)
        except OSError:
            with suppress(OSError):
                path.unlink()
            return False
        return True

    def size(self, name: str) -> int | None:
        """Bytes; None if there is no such payload."""
        try:
            return os.lstat(self._folder / name).st_size
        except OSError:
            return None

    def read(self, name: str, size: int) -> memoryview | None:
        """A payload of so many bytes, in a buffer of its own; None if it is not there, or not any more."""
        path = self._folder / name
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            buffer = empty_buffer(size)
            filled = 0
            while filled < size and (count := os.preadv(descriptor, [buffer[filled:]], filled)):
                filled += count
            same = os.path.samestat(os.fstat(descriptor), os.lstat(path))  # else it may hold the next payload by now
        except OSError:
            return None
        finally:
            os.close(descriptor)
        return buffer if same and filled == size else None

    def drop(self, name: str) -> bool:
        """Nobody needs it any more; False if there is no such payload."""
        path = self._folder / name
        if len(self._reserve) < _IN_RESERVE:
            try:
                path.replace(aside := path.with_name(f"{name}.free"))
            except OSError:
                return False
            self._reserve.append(aside)
            return True
        try:
            path.unlink()
        except OSError:
            return False
        return True

    def remove(self) -> None:
        """The folder, with whatever is in it."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def close(self) -> None:
        """Nothing more will be stored."""
        while self._reserve:
            self._reserve.pop().unlink(missing_ok=True)


def empty_buffer(size: int) -> memoryview:
    """Writable memory that begins with a cache line.

    A large block begins 16 bytes into a page. A system call copies by `rep movsb`, and AMD's processors copy a page to
    such a place at a seventh of their speed: source and destination look as if they overlapped.
    """
    block = np.empty(size + _ALIGNMENT, dtype=np.uint8)
    first = -block.ctypes.data % _ALIGNMENT
    return block.data[first : first + size]


def write_all(descriptor: int, buffers: Sequence[Buffer], offset: int) -> None:
    """Write the concatenation of the buffers at `offset`."""
    pending = [memoryview(buffer).cast("B") for buffer in buffers if total_bytes([buffer])]
    first = 0
    while first < len(pending):
        written = os.pwritev(descriptor, pending[first : first + _IOV_MAX], offset)
        offset += written
        while first < len(pending) and written >= pending[first].nbytes:
            written -= pending[first].nbytes
            first += 1
        if written:
            pending[first] = pending[first][written:]
