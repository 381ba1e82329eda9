"""A lock on a file that the system frees when its process ends, however it ends.

POSIX record locks (`lockf`) are not inherited by forked DataLoader workers, so a worker that outlives its parent cannot
keep a dead party alive. They belong to the process: two parties in one process are told apart by a table here.
"""

from __future__ import annotations

import fcntl
import os
import platform
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from playground_ext.errors import DuplicateParty

__all__ = ["Holder", "Lease", "is_held", "machine", "still_holds"]

_held: dict[Path, Lease] = {}
_held_lock = threading.Lock()


class Holder(msgspec.Struct, frozen=True):
    """Who holds a lease."""

    pid: int
    host: str
    since: float  # seconds since 1970
    notebook: str | None = None


_HOLDERS = msgspec.json.Decoder(Holder)  # made once: msgspec 0.22 crashes where two threads begin to decode a type


class Lease:
    """Held from joining a run until leaving it."""

    def __init__(self, path: Path, *, party: str, task: str, notebook: str | None = None) -> None:
        self.path = path.resolve()
        self._party, self._task, self._notebook = party, task, notebook
        self._descriptor: int | None = None
        self.since = 0.0  # when it was acquired

    def acquire(self) -> None:
        """Take it.

        Raises:
            DuplicateParty: another living notebook or script is this party.
        """
        with _held_lock:
            if self.path in _held:
                raise self._duplicate(_read_holder(_held[self.path]._descriptor))
            descriptor = os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            for attempt in range(3):  # is_held() of another party may hold it for an instant
                try:
                    fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except OSError as error:
                    if attempt == 2:
                        holder = _read_holder(descriptor)
                        os.close(descriptor)
                        raise self._duplicate(holder) from error
                    threading.Event().wait(0.05)
            self.since = time.time()
            holder = Holder(os.getpid(), machine(), self.since, self._notebook)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, msgspec.json.encode(holder), 0)
            self._descriptor = descriptor
            _held[self.path] = self

    def release(self) -> None:
        with _held_lock:
            if self._descriptor is not None:
                del _held[self.path]
                os.close(self._descriptor)  # frees the lock
                self._descriptor = None

    def _duplicate(self, holder: Holder | None) -> DuplicateParty:
        where = ""
        if holder is not None:
            minutes = max(0, int((time.time() - holder.since) // 60))
            ago = f"{minutes} min ago" if minutes else "less than a minute ago"
            where = f" (process {holder.pid}{f', {holder.notebook}' if holder.notebook else ''}, since {ago})"
        return DuplicateParty(
            f"{self._party} already takes part in task {self._task}{where}",
            party=self._party,
            task=self._task,
            next_step=f"interrupt that notebook, or give this one another party id than {self._party!r}",
        )


def is_held(path: Path) -> bool:
    """Is the process that took this lease alive? Only meaningful on the machine that wrote it."""
    with _held_lock:
        if path.resolve() in _held:
            return True
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(descriptor)
        return False


def still_holds(hello: Mapping[str, Any]) -> bool:
    """Is the process that said this hello alive and inside its run? Only for a hello from this machine.

    Another process that has the lease meanwhile, to join anew, is somebody else.
    """
    path = Path(str(hello.get("lease")))
    said = hello.get("lease_since")
    with _held_lock:
        own = _held.get(path.resolve())  # closing the file here would free this process' lock
        if own is not None:
            return said in (None, own.since)
    if not is_held(path):
        return False
    try:
        holder = _HOLDERS.decode(path.read_bytes())
    except (OSError, msgspec.MsgspecError):  # being written by one who has just acquired it
        return False
    return said in (None, holder.since)


def machine() -> str:
    """Names this machine since its last boot: leases are compared only between equal names."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        boot = ""
    return f"{platform.node()}/{boot[:13]}"


def _read_holder(descriptor: int | None) -> Holder | None:
    if descriptor is None:
        return None
    try:
        return _HOLDERS.decode(os.pread(descriptor, 4096, 0))
    except msgspec.MsgspecError:
        return None
