"""What was asked of background runs, kept beside the run folders so that it can be asked for again.

<PLAYGROUND_RUNS>/.lab/<task>.json   the order
<PLAYGROUND_RUNS>/.lab/<task>.log    what the runner printed
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import msgspec

from playground_ext import settings
from playground_ext.errors import StorageError
from playground_ext.runner.notebook import plain

__all__ = ["RunOrder", "forget", "keep", "kept", "last_words", "log_of"]

_FOLDER = ".lab"  # below PLAYGROUND_RUNS
_LAST_WORDS = 3000  # characters of what a runner printed that are shown


class RunOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the page asks for: the path of a federation folder, or the name of a template."""

    path: str
    parameters: dict[str, Any] = {}
    roles: dict[str, int] = {}
    task: str | None = None


def keep(task: str, order: RunOrder) -> None:
    """Remember an order.

    Raises:
        StorageError: there is no place for it.
    """
    log_of(task).with_suffix(".json").write_bytes(msgspec.json.format(msgspec.json.encode(order), indent=2))


def kept(task: str) -> RunOrder | None:
    """The order of a run; None if it was started otherwise."""
    try:
        return msgspec.json.decode((_folder() / f"{task}.json").read_bytes(), type=RunOrder)
    except (OSError, msgspec.MsgspecError):
        return None


def log_of(task: str) -> Path:
    """Where the runner's output goes.

    Raises:
        StorageError: there is no place for it.
    """
    folder = _folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"{folder} cannot be made: {error.strerror}", next_step="choose another place with PLAYGROUND_RUNS"
        ) from error
    return folder / f"{task}.log"


def last_words(log: Path) -> str:
    """The end of what a runner printed."""
    try:
        return plain(log.read_text("utf-8", "replace"))[-_LAST_WORDS:].strip()
    except OSError:
        return ""


def forget(task: str) -> bool:
    """Remove both files; whether there was one."""
    known = False
    for suffix in (".json", ".log"):
        path = _folder() / f"{task}{suffix}"
        known = known or path.exists()
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
    return known


def _folder() -> Path:
    return settings.read().runs / _FOLDER
