"""What a run does about a notebook that failed: start it again, go on without it, or end."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import msgspec
import redis

from playground_ext.bus.connection import Connection
from playground_ext.bus.keys import RunKeys
from playground_ext.errors import PlaygroundError, StorageError
from playground_ext.party.policy import FailurePolicy
from playground_ext.runner.notebook import Failure

__all__ = ["ATTEMPTS", "Restarts", "can_go_on_without", "keep_attempt"]

ATTEMPTS = "attempts"  # folder in the run's folder: executed notebooks of attempts that came before the one that counts


class Restarts:
    """How often each party was started again; at most `limit` times."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._done: dict[str, int] = {}

    def next(self, failure: Failure) -> int | None:
        """The number of the attempt that this failure begins, from 1; None if it ends the party's part.

        Consequences begin none, but for a run that its initiator opened anew: there the notebook can join.
        """
        used = self._done.get(failure.party, 0)
        if used >= self.limit or (failure.consequence and failure.error != "RunReplaced"):
            return None
        self._done[failure.party] = used + 1
        return used + 1

    def count(self, party: str) -> int:
        return self._done.get(party, 0)


def keep_attempt(notebook: Path) -> Path:
    """Copy an executed notebook to `attempts/<party>.attempt-<n>.ipynb` before it is executed again; where it is.

    Raises:
        StorageError: the disk is full or not writable.
    """
    folder = notebook.parent / ATTEMPTS
    try:
        folder.mkdir(exist_ok=True)
        number = 1 + len(list(folder.glob(f"{notebook.stem}.attempt-*.ipynb")))
        kept = folder / f"{notebook.stem}.attempt-{number}.ipynb"
        shutil.copyfile(notebook, kept)
    except OSError as error:
        raise StorageError(
            f"{notebook.name} cannot be kept in {folder}: {error.strerror or error}", next_step="make room"
        ) from error
    return kept


def can_go_on_without(lost: set[str], url: str, keys: RunKeys | None) -> int | None:
    """The quorum that still holds while these parties are lost; None if the run cannot go on without them.

    A quorum is the initiator's to set (`quorum=` of its scheduler); the parties decide the same by themselves.
    """
    if keys is None:
        return None
    try:
        with Connection(url, name="playground-run", timeout=5.0) as connection:
            fields: Any = connection.client.hgetall(keys.meta)
        meta = msgspec.json.decode(fields[b"run"], type=dict[str, Any])
    except (PlaygroundError, redis.RedisError, KeyError, msgspec.MsgspecError):
        return None  # then the parties end as well, or the next failure tells
    quorum = FailurePolicy.of(meta).quorum
    initiator = meta.get("initiator")
    others = {str(node) for node in meta.get("nodes", [])} - {initiator}
    holds = fields.get(b"status") in (b"running", b"ended") and initiator not in lost and len(others - lost) >= quorum
    return quorum if quorum and holds and lost <= others else None
