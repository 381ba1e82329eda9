"""Folders that only their owner can enter, and locks on files in them."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playground_ext import settings
from playground_ext.errors import ConfigError, ServerError

__all__ = ["OWNER", "PAYLOADS", "PrivateFolder", "is_abandoned", "locked", "make_private", "runtime_folder"]

LOCK_TIMEOUT = 10.0  # seconds that another process gets to make or remove its folder
ABANDONED_AFTER = 60.0  # seconds after which a folder that never got an owner is litter
OWNER = "owner"  # the file that a living owner keeps locked
PAYLOADS = "p"  # within a server's folder: large payloads on their way, see PayloadFiles
_PREFIX = "run-"


def make_private(folder: Path) -> Path:
    """Create `folder`, or check that it is a real folder of this user that nobody else can enter.

    Raises:
        ConfigError: it is a link, a file, somebody else's, open to others, or cannot be made.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = os.lstat(folder)
    except OSError as error:
        raise ConfigError(
            f"the folder for sockets {folder} cannot be made: {error.strerror}",
            next_step="set PLAYGROUND_RUNTIME to a folder of your own on a local disk",
        ) from error
    if problem := _problem(status):
        raise ConfigError(
            f"the folder for sockets {folder} {problem}, so others could reach your data through it",
            next_step=f"remove it (or `chmod 700 {folder}` if it is yours), or set PLAYGROUND_RUNTIME to another",
        )
    return folder


def _problem(status: os.stat_result) -> str | None:
    if stat.S_ISLNK(status.st_mode):
        return "is a link"
    if not stat.S_ISDIR(status.st_mode):
        return "is not a folder"
    if status.st_uid != os.getuid():
        return f"belongs to user {status.st_uid}, not to you ({os.getuid()})"
    if status.st_mode & 0o077:
        return f"is open to other users (mode {status.st_mode & 0o777:o})"
    return None


def runtime_folder() -> Path:
    """The user's folder for sockets and locks, checked."""
    return make_private(settings.read().runtime)


@contextmanager
def locked(path: Path, *, timeout: float = LOCK_TIMEOUT) -> Iterator[None]:
    """Hold the lock on the file `path` (made if absent), across processes and threads.

    Raises:
        ServerError: another process held it for `timeout` seconds.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        if not _try_lock(descriptor) and not _wait_for_lock(path, descriptor, timeout):
            raise ServerError(
                f"another process has held {path} for {timeout:g} s",
                next_step=f"`fuser {path}` names it; end it and try again",
            )
        try:
            yield
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # closing is not enough while a forked child holds a copy
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait_for_lock(path: Path, descriptor: int, timeout: float) -> bool:
    """flock knows no deadline: a thread waits in it on its own duplicate, and lets go if it comes too late."""
    duplicate = os.dup(descriptor)  # shares the lock, and keeps the file open for a thread that is still waiting
    settled = threading.Lock()
    done = threading.Event()
    late = False

    def wait() -> None:
        try:
            fcntl.flock(duplicate, fcntl.LOCK_EX)
        finally:
            with settled:
                done.set()
                if late:
                    fcntl.flock(duplicate, fcntl.LOCK_UN)
            os.close(duplicate)

    threading.Thread(target=wait, name=f"lock {path.name}", daemon=True).start()
    done.wait(timeout)
    with settled:
        late = not done.is_set()
    return not late


class PrivateFolder:
    """A folder that lives as long as its owner: locked in use, removed by `remove`, swept away if its owner was killed.

    `path`: an absent or empty folder; by default a fresh one below the user's runtime folder.

    Raises:
        ConfigError: the folder cannot be made, is not private, or holds something.
    """

    def __init__(self, path: Path | None = None) -> None:
        if path is None:
            runtime = runtime_folder()
            with locked(runtime / "lock"):
                _sweep(runtime)
                self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=runtime))
                self._owner = self._own()
            return
        self.path = make_private(path)
        if left := [entry.name for entry in self.path.iterdir()]:
            if not is_abandoned(self.path):
                raise ConfigError(
                    f"{self.path} is to become a server's folder, which is removed at the end, but it holds {left[0]}",
                    next_step="give an empty or absent folder",
                )
            _empty(self.path)
        self._owner = self._own()

    def _own(self) -> int:
        descriptor = os.open(self.path / OWNER, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return descriptor

    def remove(self) -> None:
        """Remove the folder and everything in it."""
        if self._owner >= 0:
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(self._owner)
            self._owner = -1


def is_abandoned(folder: Path) -> bool:
    """Whether `folder` was a PrivateFolder whose owner is gone."""
    try:
        descriptor = os.open(folder / OWNER, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return _try_lock(descriptor)
    finally:
        os.close(descriptor)


def _sweep(runtime: Path) -> None:
    """Remove what killed owners left behind."""
    for folder in runtime.glob(f"{_PREFIX}*"):
        status = os.lstat(folder)
        old = time.time() - status.st_mtime > ABANDONED_AFTER
        if _problem(status) is None and (is_abandoned(folder) or (old and not (folder / OWNER).exists())):
            shutil.rmtree(folder, ignore_errors=True)


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
