"""What is known about a task at one moment."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Protocol

from playground_ext.runner.history import PartyRecord, Record, find_record
from playground_ext.runner.progress import Board
from playground_ext.runner.show import describe_record

__all__ = ["Finished", "Point", "Progress", "Snapshot", "record_of", "take"]


class Finished(Protocol):
    """What `scheduler.run()` returns, as far as it is needed here."""

    @property
    def task_id(self) -> str: ...
    @property
    def run(self) -> str: ...
    @property
    def folder(self) -> Any: ...


@dataclass(frozen=True)
class Progress:
    """One party."""

    party: str
    role: str
    state: str
    round: int | None


@dataclass(frozen=True)
class Point:
    """One number by one party after one round."""

    party: str
    round: int
    name: str
    value: float


@dataclass(frozen=True)
class Snapshot:
    """A task at one moment."""

    task: str
    status: str
    parties: tuple[Progress, ...]
    points: tuple[Point, ...]

    @property
    def names(self) -> list[str]:
        """The metrics, those of tests first."""
        found = list(dict.fromkeys(point.name for point in self.points))
        return sorted(found, key=lambda name: (not name.startswith("test/"), found.index(name)))

    def curves(self, name: str) -> dict[str, dict[int, float]]:
        """One metric: party -> round -> value."""
        table: dict[str, dict[int, float]] = {}
        for point in self.points:
            if point.name == name:
                table.setdefault(point.party, {})[point.round] = point.value
        return {party: dict(sorted(values.items())) for party, values in table.items()}

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def record_of(task: str | Finished) -> Record:
    """The folders of a task by its name, or of the run that a result is about: of all parties that lie beside it.

    Raises:
        ConfigError: nothing of that name was run here.
    """
    if isinstance(task, str):
        return find_record(task)
    home = task.folder.parents[2]  # <home>/<task>/<party>/<run>/results
    parties = sorted(path for path in home.iterdir() if (path / task.run).is_dir())
    records = tuple(PartyRecord(path.name, path, run=task.run) for path in parties)
    return Record(task.task_id, home, records, task.folder.stat().st_mtime)


def take(record: Record, board: Board | None = None) -> Snapshot:
    """Now: numbers from the parties' files, and what the parties are doing from `board` where it is being followed."""
    said = describe_record(record)
    live = {row.party: row for row in board.rows() if row.party in board.joined} if board is not None else {}
    parties = []
    for party in said["parties"]:
        row = live.get(party["party"])
        state = row.state if row is not None and party["status"] == "running" else party["status"]
        number = row.round if row is not None and row.round is not None else party["rounds"]
        parties.append(Progress(party["party"], party["role"] or "", state, number))
    points = (
        Point(point["party"], point["round"], point["name"], point["value"])
        for point in said["metrics"]
        if point["round"] is not None
    )
    return Snapshot(record.task, said["status"], tuple(parties), tuple(points))
