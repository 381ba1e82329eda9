"""What was run here: folders of `playground run`, and tasks whose notebooks were run by hand.

<PLAYGROUND_RUNS>/<task>/summary.json, parties/<task>/<party>/…     made by `playground run`
<PLAYGROUND_HOME>/<task>/<party>/…                                  everything else
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from playground_ext import settings
from playground_ext.errors import ConfigError
from playground_ext.party.lease import Lease, is_held

__all__ = [
    "BY_HAND",
    "SUMMARY",
    "PartyRecord",
    "Record",
    "find_record",
    "find_records",
    "hold",
    "party_folder",
    "read_json",
    "run_name",
    "tasks",
]

SUMMARY = "summary.json"
BY_HAND = "by hand"
_RUNNER_LEASE = ".runner"  # held by `playground run` while it runs
_LOGS = "logs.jsonl"


@dataclass(frozen=True)
class PartyRecord:
    """What one party left."""

    name: str
    folder: Path  # its private folder
    summary: dict[str, Any] = field(default_factory=dict)  # of the run, if a runner wrote one
    run: str | None = None  # the run that the summary is about; None: its newest

    @property
    def results(self) -> Path:
        """Results of that run; need not exist."""
        return self.folder / (self.run or "latest") / "results"

    @property
    def report(self) -> dict[str, Any]:
        """What the party's own report.json says; empty if it did not come to its end."""
        return read_json(self.results / "report.json")

    @property
    def logs(self) -> Path:
        return self.folder / _LOGS

    @property
    def active(self) -> bool:
        return is_held(self.folder / "lease")


@dataclass(frozen=True)
class Record:
    """One task that was run, or runs."""

    task: str
    folder: Path
    parties: tuple[PartyRecord, ...]
    began: float  # seconds since 1970
    template: str | None = None  # None: by hand
    summary: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What people type: the folder of a run (a task that was run twice has two), else the task."""
        if self.template is None:
            return self.task
        return run_name(self.folder)

    @property
    def active(self) -> bool:
        """Whether something runs in there now, on this machine."""
        return is_held(self.folder / _RUNNER_LEASE) or any(party.active for party in self.parties)

    @property
    def status(self) -> str:
        """running, ok, failed, interrupted, timeout, killed; of notebooks run by hand: running, ok or unfinished."""
        return "running" if self.active else self.latest().ending

    @property
    def ending(self) -> str:
        """The same of a run that is not active, by what was read of it."""
        if self.template is None:
            return "ok" if self.parties and all(party.report for party in self.parties) else "unfinished"
        said = str(self.summary.get("status", "unknown"))
        return "killed" if said == "running" else said  # it could not write how it ended

    def latest(self) -> Record:
        """This one, or read again if its runner may have ended it since: that writes how it ended before it leaves.

        To be asked after `active` said no.
        """
        if self.template is None or self.summary.get("status") != "running":
            return self
        return _run(self.folder) or self

    @property
    def seconds(self) -> float | None:
        """How long it took; None if nobody knows."""
        if self.template is not None:
            said = self.summary.get("seconds")
            return float(said) if isinstance(said, int | float) else None
        known = [float(party.report.get("seconds", 0.0)) for party in self.parties if party.report]
        return max(known, default=None)

    @property
    def logs(self) -> list[Path]:
        """Every party's own complete log; where those are gone, the run's merged one."""
        own = [party.logs for party in self.parties if party.logs.is_file()]
        merged = self.folder / _LOGS
        return own or ([merged] if merged.is_file() else [])

    @property
    def size(self) -> int:
        """Bytes on the disk."""
        return folder_size(self.folder)


def find_records() -> list[Record]:
    """Everything that was run, the newest first."""
    known = settings.read()
    found = [*_runs(known.runs), *_tasks(known.home)]
    return sorted(found, key=lambda record: record.began, reverse=True)


def find_record(name: str) -> Record:
    """The run or task of that name; a path to a run's folder will do too. The newest, if several have it.

    Raises:
        ConfigError: there is none; names those that are.
    """
    path = Path(name).expanduser()
    if (path / SUMMARY).is_file() and (record := _run(path.absolute())) is not None:
        return record
    records = find_records()
    for same in (lambda record: record.name == name, lambda record: record.task == name):
        if found := next(filter(same, records), None):
            return found
    names = ", ".join(record.name for record in records[:5]) + (", …" if len(records) > 5 else "")
    raise ConfigError(
        f"nothing named {name!r} was run here",
        next_step=f"`playground ls` lists what was ({names or 'nothing yet'}); PLAYGROUND_RUNS and PLAYGROUND_HOME "
        "say where it is looked for",
    )


def run_name(folder: Path) -> str:
    """What people type for a run's folder."""
    return folder.name if folder.parent == settings.read().runs else os.path.relpath(folder)


def party_folder(folder: Path, task: str, party: str) -> Path:
    """Where a run's party kept what is its own; of a notebook that has names of its own for task and party, its lease
    tells. Need not exist.
    """
    found = folder / "parties" / task / party
    if found.exists():
        return found
    for lease in sorted((folder / "parties").glob("*/*/lease")):
        if Path(str(read_json(lease).get("notebook"))).stem == party:
            return lease.parent
    return found


def tasks() -> list[str]:
    """The names of everything that was run, for completion."""
    return [record.name for record in find_records()]


@contextlib.contextmanager
def hold(folder: Path, task: str) -> Iterator[None]:
    """Mark a run's folder as in use, until this process leaves or dies."""
    lease = Lease(folder / _RUNNER_LEASE, party="playground run", task=task)
    lease.acquire()
    try:
        yield
    finally:
        lease.release()
        with contextlib.suppress(OSError):
            lease.path.unlink()


def read_json(path: Path) -> dict[str, Any]:
    """An object from a file; empty if it is not there or cannot be read."""
    try:
        said = msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.MsgspecError):
        return {}
    return said if isinstance(said, dict) else {}


def folder_size(folder: Path) -> int:
    """Bytes of all files in it; links count nothing."""
    total = 0
    for root, _, files in os.walk(folder):
        for name in files:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(root, name)).st_size
    return total


def _runs(root: Path) -> Iterator[Record]:
    for folder in _folders(root):
        record = _run(folder)
        if record is not None:
            yield record


def _run(folder: Path) -> Record | None:
    """What `playground run` left in a folder; None if it is not one."""
    summary = read_json(folder / SUMMARY)
    task, said = summary.get("task"), summary.get("parties")
    if not isinstance(task, str) or not isinstance(said, list):
        return None
    run = summary.get("run")
    parties = tuple(
        PartyRecord(
            str(party.get("party")),
            party_folder(folder, task, str(party.get("party"))),
            party,
            run if isinstance(run, str) else None,
        )
        for party in said
        if isinstance(party, dict)
    )
    return Record(task, folder, parties, _moment(summary.get("began"), folder), str(summary.get("template")), summary)


def _tasks(home: Path) -> Iterator[Record]:
    for folder in _folders(home):
        parties = [
            PartyRecord(path.name, path)
            for path in _folders(folder)
            if (path / _LOGS).is_file() or (path / "lease").is_file()
        ]
        if parties:
            order: list[str] = next((list(map(str, p.report["nodes"])) for p in parties if "nodes" in p.report), [])
            parties.sort(key=lambda party: (order.index(party.name) if party.name in order else len(order), party.name))
            began = min(_changed(party.folder / "lease", party.folder) for party in parties)
            yield Record(folder.name, folder, tuple(parties), began)


def _folders(root: Path) -> list[Path]:
    try:
        return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError:
        return []


def _changed(*paths: Path) -> float:
    """When the first of these that exists was last written."""
    for path in paths:
        with contextlib.suppress(OSError):
            return path.stat().st_mtime
    return 0.0


def _moment(text: Any, folder: Path) -> float:
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return _changed(folder)
