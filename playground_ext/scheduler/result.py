"""What a party has in its hands when a task is over."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from playground_ext.party.disk import storage_error, write_atomically
from playground_ext.party.identity import Party
from playground_ext.party.storage import PartyFolder
from playground_ext.scheduler.metrics import MetricPoint, read_points

__all__ = ["RoundReport", "TaskResult", "finished_result"]


@dataclass(frozen=True)
class RoundReport:
    """Where a round's time and bytes went, at this party."""

    round: int
    participants: tuple[str, ...]
    seconds: float
    waited: float  # of these seconds, waiting for other parties
    sent: int  # bytes of payload
    received: int  # bytes of payload
    transferred: float = 0.0  # of these seconds, moving bytes to and from the server


@dataclass(frozen=True)
class TaskResult:
    """Returned by `scheduler.run()`."""

    task_id: str
    run: str
    party: str
    rounds: int
    seconds: float
    folder: Path
    model_file: Path | None  # safetensors; None if the algorithm has no common model
    report_file: Path
    metrics: list[MetricPoint] = field(default_factory=list, repr=False)  # this party's own
    round_reports: list[RoundReport] = field(default_factory=list, repr=False)
    sent: Mapping[str, int] = field(default_factory=dict)  # receiver -> bytes of payload
    received: Mapping[str, int] = field(default_factory=dict)  # sender -> bytes of payload

    def series(self, name: str) -> dict[int, float]:
        """One metric by round."""
        return {point.round: point.value for point in self.metrics if point.name == name}

    def write_report(self, extra: Mapping[str, Any]) -> None:
        """Write everything above as JSON to `report_file`."""
        record = {
            "task": self.task_id,
            "run": self.run,
            "party": self.party,
            "rounds": self.rounds,
            "seconds": round(self.seconds, 3),
            "model_file": None if self.model_file is None else self.model_file.name,
            "sent": dict(self.sent),
            "received": dict(self.received),
            "round_reports": [asdict(report) for report in self.round_reports],
            **extra,
        }
        try:
            write_atomically(self.report_file, json.dumps(record, indent=2).encode() + b"\n")
        except OSError as error:
            raise storage_error(error, self.folder, "write the report") from error


def finished_result(party: Party) -> TaskResult | None:
    """What `party` ended its last run of the task with; None if it did not come to its end."""
    last = PartyFolder.of(party.task, party.id).last_run
    if last is None or not last.report.exists():
        return None
    record = json.loads(last.report.read_text("utf-8"))
    model = record["model_file"]
    return TaskResult(
        task_id=record["task"],
        run=record["run"],
        party=record["party"],
        rounds=record["rounds"],
        seconds=record["seconds"],
        folder=last.results,
        model_file=None if model is None else last.results / model,
        report_file=last.report,
        metrics=read_points(last.results / "metrics.csv"),
        round_reports=[RoundReport(**{**r, "participants": tuple(r["participants"])}) for r in record["round_reports"]],
        sent=record["sent"],
        received=record["received"],
    )
