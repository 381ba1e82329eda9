"""What a party must not decide or draw twice in a round: kept in its private folder until the round is over."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from playground_ext.errors import StorageError
from playground_ext.party.disk import storage_error, sync_folder
from playground_ext.party.storage import private_folder

__all__ = ["RoundMemory", "forget"]

Values = dict[str, str | list[str]]


class RoundMemory:
    """Texts and lists of texts by name, of one round; only this user can read the file, and each value is durable.

    The memories of other rounds in the folder are deleted.

    Raises:
        StorageError: the disk is full or not writable, or the file is damaged.
    """

    def __init__(self, folder: Path, round: int) -> None:
        self._folder = private_folder(folder)
        self._path = folder / f"round-{round:06d}.json"
        forget(folder, but=self._path)
        self._values: Values = {}
        try:
            if self._path.exists():
                self._values = msgspec.json.decode(self._path.read_bytes(), type=Values)
        except OSError as error:
            raise storage_error(error, folder, "read what was decided in this round") from error
        except msgspec.MsgspecError as error:
            raise StorageError(
                f"{self._path} is damaged: {error}", round=round, next_step="start a new run of this task"
            ) from error

    def text(self, name: str) -> str | None:
        value = self._values.get(name)
        return value if isinstance(value, str) else None

    def texts(self, name: str) -> list[str] | None:
        value = self._values.get(name)
        return value if isinstance(value, list) else None

    def keep(self, name: str, value: str | list[str]) -> None:
        """On disk when this returns. Raises StorageError as above."""
        self._values[name] = value
        aside = self._path.with_suffix(".new")
        try:
            descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(self._values))
                file.flush()
                os.fsync(file.fileno())
            aside.replace(self._path)
            sync_folder(self._folder)
        except OSError as error:
            raise storage_error(error, self._folder, "keep what was decided in this round") from error


def forget(folder: Path, *, but: Path | None = None) -> None:
    """Delete all memories in a folder, or all but one."""
    try:
        for path in folder.glob("round-*"):
            if path != but:
                path.unlink()
    except OSError as error:
        raise storage_error(error, folder, "delete what is over") from error
