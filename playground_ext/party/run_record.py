"""What a party remembers of a run on its own disk: enough to come back to it, whatever the server still knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from playground_ext.party.disk import storage_error, write_atomically

__all__ = ["RunRecord"]

_FILE = "run.json"


class RunRecord(msgspec.Struct, frozen=True):
    """A run that this party joined."""

    run: str
    meta: dict[str, Any]  # the initiator's description of the run
    incarnation: int  # how often this party has joined it
    notebook: str | None = None  # in which it did
    finished: bool = False  # this party has done its part and left
    check_ins: dict[str, dict[str, Any]] | None = None  # the initiator's: what the parties brought at the start

    def save(self, folder: Path) -> None:
        """Raises StorageError: the disk is full or not writable."""
        try:
            write_atomically(folder / _FILE, msgspec.json.encode(self))
        except OSError as error:
            raise storage_error(error, folder, "note which run this is") from error

    @classmethod
    def load(cls, folder: Path) -> RunRecord | None:
        """The record in a run's folder; None if there is none, or none that can be read."""
        try:
            return msgspec.json.decode((folder / _FILE).read_bytes(), type=cls)
        except (OSError, msgspec.MsgspecError):
            return None
