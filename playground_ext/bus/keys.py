"""Every Redis key, and nothing else.

`{task}` stands in literal braces, so that all keys of a task share one cluster slot. Names cannot contain `:` or `*`,
because access rules match keys by prefix.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from playground_ext.errors import ConfigError

__all__ = ["ALL", "TASKS", "RunKeys", "TaskKeys", "check_name"]

TASKS = "pg:tasks"  # sorted set: tasks by creation time
ALL = "all"  # the receiver of a broadcast payload
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def check_name(what: str, name: object) -> str:
    """Return `name` if it can stand in a key.

    Raises:
        ConfigError: not 1 to 64 letters, digits, `_` or `-`, or the reserved word `all`.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name == ALL:
        raise ConfigError(
            f"{what} {name!r} is not a usable name",
            next_step=f"use 1 to 64 letters, digits, '_' or '-' (and not {ALL!r})",
        )
    return name


@dataclass(frozen=True)
class TaskKeys:
    """Keys that outlive a single run of the task."""

    task: str

    @property
    def run(self) -> str:
        """String: the id of the current run."""
        return f"pg:{{{self.task}}}:run"

    @property
    def lobby(self) -> str:
        """Hash: parties that wait for a run, or failed before they could join one."""
        return f"pg:{{{self.task}}}:lobby"

    @property
    def runs(self) -> str:
        """Stream: one entry for every run that opens and every change of the lobby, so that nobody has to poll."""
        return f"pg:{{{self.task}}}:runs"

    def of(self, run: str) -> RunKeys:
        return RunKeys(self.task, run)


@dataclass(frozen=True)
class RunKeys:
    """Keys of one run; they share a prefix, so that an abandoned run is collected whole."""

    task: str
    run: str

    @property
    def prefix(self) -> str:
        return f"pg:{{{self.task}}}:{self.run}:"

    @property
    def meta(self) -> str:
        """Hash: nodes, roles, algorithm, settings, configuration digest, status, folders, incarnations."""
        return f"{self.prefix}meta"

    @property
    def log(self) -> str:
        """Stream: log records of all parties, in batches."""
        return f"{self.prefix}log"

    @property
    def metrics(self) -> str:
        """Stream: metric points of all parties."""
        return f"{self.prefix}metrics"

    def data(self, receiver: str, sender: str) -> str:
        """Stream: envelopes from one party to one other."""
        return f"{self.prefix}q:{receiver}:{sender}"

    def control(self, sender: str) -> str:
        """Stream: hello, check-in, acks, progress, fail, end, by one party for all."""
        return f"{self.prefix}c:{sender}"

    def chunk(self, receiver: str, sender: str, incarnation: int, seq: int, index: int) -> str:
        """String: one payload chunk; `receiver` is ALL for a broadcast."""
        return f"{self.prefix}b:{receiver}:{sender}:{incarnation}.{seq}.{index}"
