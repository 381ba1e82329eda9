"""What writing durably takes, and the error when it fails."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from playground_ext.errors import StorageError

__all__ = ["storage_error", "sync_folder", "write_atomically"]


def sync_folder(folder: Path) -> None:
    """Make a new or renamed file's name durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, data: bytes) -> None:
    """Durable and whole: after a crash the file holds what it held before, or all of `data`."""
    aside = path.with_name(f".{path.name}.tmp")
    descriptor = os.open(aside, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def storage_error(error: OSError, folder: Path, doing: str) -> StorageError:
    """Name the folder and the way out."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return StorageError(
        f"could not {doing}: {'the disk is full' if full else error.strerror} ({folder})",
        next_step="free some space (old runs can be deleted), then run this notebook again"
        if full
        else "check that the folder exists and belongs to you, or set PLAYGROUND_HOME to another one",
    )
