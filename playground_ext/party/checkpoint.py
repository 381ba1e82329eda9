"""Atomic checkpoints of a round: written aside, fsynced, renamed, the folder fsynced; the last two are kept."""

from __future__ import annotations

import logging
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from playground_ext.errors import StorageError
from playground_ext.party.disk import storage_error, sync_folder

__all__ = ["Checkpoints"]

KEPT = 2

logger = logging.getLogger("playground")


class Checkpoints:
    """A folder of checkpoints, one a round; round 0 is the state before anything was sent."""

    def __init__(self, folder: Path, *, kept: int | None = KEPT) -> None:
        self._folder, self._kept = folder, kept

    def save(self, round: int, state: Mapping[str, Any]) -> None:
        """Write a round's state (tensors, numbers, strings, containers of them); a crash leaves the old one or the new.

        Raises:
            StorageError: the disk is full or not writable; the checkpoints before this one are untouched.
        """
        import os

        import torch

        path = self._path(round)
        aside = path.with_suffix(".tmp")
        try:
            with aside.open("wb") as file:
                torch.save(dict(state), file)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
            sync_folder(self._folder)
        except (OSError, RuntimeError) as error:  # torch reports a failed write as RuntimeError
            aside.unlink(missing_ok=True)
            cause = error if isinstance(error, OSError) else _write_error(error, self._folder)
            raise storage_error(cause, self._folder, f"write the checkpoint of round {round}").located(
                round=round
            ) from error
        for old in self.rounds()[: -self._kept] if self._kept is not None else ():
            self._path(old).unlink(missing_ok=True)

    def rounds(self) -> list[int]:
        """Rounds that have a checkpoint, oldest first."""
        names = (re.fullmatch(r"round-(\d+)\.pt", path.name) for path in self._folder.glob("round-*.pt"))
        return sorted(int(match[1]) for match in names if match)

    def newest(self) -> dict[str, Any] | None:
        """The newest state that can be read; a damaged checkpoint is removed, and said so. None if there is none."""
        for round in reversed(self.rounds()):
            try:
                return self.load(round)
            except StorageError as damaged:
                logger.warning("%s Going on from the checkpoint before it.", damaged.what)
                self._path(round).unlink(missing_ok=True)
        return None

    def load(self, round: int) -> dict[str, Any]:
        """Read a round's state. Nothing in it is ever executed (`weights_only`).

        Raises:
            StorageError: no such checkpoint, or it is damaged.
        """
        import torch

        path = self._path(round)
        try:
            with zipfile.ZipFile(path) as archive:  # torch writes checksums and does not look at them
                if damaged := archive.testzip():
                    raise zipfile.BadZipFile(f"the checksum of {damaged} differs")
            return cast("dict[str, Any]", torch.load(path, weights_only=True))
        except OSError as error:
            raise storage_error(error, self._folder, f"read the checkpoint of round {round}") from error
        except Exception as error:  # whatever a damaged zip makes torch raise
            raise StorageError(
                f"the checkpoint of round {round} cannot be read ({path}): {error}",
                round=round,
                next_step="delete it to go on from the one before, or start a new run",
            ) from error

    def _path(self, round: int) -> Path:
        return self._folder / f"round-{round:06d}.pt"


def _write_error(error: RuntimeError, folder: Path) -> OSError:
    """What torch hides: it finishes its file while the failed write's error is on its way, and fails again."""
    import errno
    import shutil

    if isinstance(error.__context__, OSError):
        return error.__context__
    full = shutil.disk_usage(folder).free == 0 or "file write failed" in str(error)
    return OSError(errno.ENOSPC if full else errno.EIO, str(error))
