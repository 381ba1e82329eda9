"""`playground clean`: remove what old runs left."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from playground_ext.errors import DuplicateParty
from playground_ext.runner.history import Record, find_record, find_records, hold
from playground_ext.runner.screen import columns, size_text, time_text

__all__ = ["Choice", "choice_text", "choose", "remove"]

_DAY = 86_400.0  # seconds


@dataclass(frozen=True)
class Choice:
    """What would be removed, and what was left out."""

    chosen: list[tuple[Record, int]]  # with its bytes
    running: list[Record]
    younger: list[Record]

    @property
    def size(self) -> int:
        return sum(size for _, size in self.chosen)


def choose(names: list[str], *, days: float) -> Choice:
    """The named runs, else all that began more than `days` ago. One that runs is never chosen.

    Raises:
        ConfigError: a name that nothing has.
    """
    records = [find_record(name) for name in names] if names else find_records()
    limit = time.time() - days * _DAY
    running = [record for record in records if record.active]
    ended = [record for record in records if not record.active]
    old = ended if names else [record for record in ended if record.began <= limit]
    return Choice([(record, record.size) for record in old], running, [one for one in ended if one not in old])


def choice_text(choice: Choice, *, days: float) -> str:
    """What would be removed, with sizes."""
    lines = []
    if choice.chosen:
        rows = [["task", "status", "began", "size", "folder"]]
        rows += [
            [
                record.name,
                record.status,
                f"{time_text(max(0.0, time.time() - record.began))} ago",
                size_text(size),
                str(record.folder),
            ]
            for record, size in choice.chosen
        ]
        lines += columns(rows, right=frozenset({2, 3}), indent="")
    if choice.running:
        lines.append(f"Still running, so kept: {', '.join(record.name for record in choice.running)}")
    if choice.younger:
        size = sum(record.size for record in choice.younger)
        lines.append(f"Younger than {days:g} days, so kept: {_count(len(choice.younger))}, {size_text(size)}")
    if not choice.chosen:
        lines.append("There is nothing to remove." + (" --older-than 0 would." if choice.younger else ""))
    return "\n".join(lines)


def remove(choice: Choice, say: Callable[[str], None]) -> int:
    """Remove what was chosen, unless it has begun to run meanwhile; how many bytes that freed."""
    freed = 0
    for record, size in choice.chosen:
        try:
            # A runner that wants this folder now is refused, and a party of it counts as running.
            with hold(record.folder, record.task):
                if any(party.active for party in record.parties):
                    say(f"{record.name} runs again, so it is kept")
                    continue
                _remove(record.folder)
        except DuplicateParty:
            say(f"{record.name} runs again, so it is kept")
            continue
        freed += size
    return freed


def _remove(folder: Path) -> None:
    """Out of sight first, so that a removal that is interrupted leaves nothing that looks like a run."""
    doomed = folder.with_name(f".{folder.name}.removed")
    with contextlib.suppress(OSError):
        folder = folder.rename(doomed)
    shutil.rmtree(folder)


def _count(number: int) -> str:
    return f"{number} run{'s' if number != 1 else ''}"
