"""What a run leaves in its folder beside the notebooks: merged log, metrics, JUnit report, model, summary."""

from __future__ import annotations

import csv
import heapq
import shutil
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec

from playground_ext.runner.final_metrics import final_metrics
from playground_ext.runner.history import party_folder
from playground_ext.runner.notebook import plain
from playground_ext.runner.outcome import Earlier, Outcome
from playground_ext.runner.plan import Party, Plan
from playground_ext.runner.points import settled_points
from playground_ext.runner.progress import measure
from playground_ext.runner.recovery import ATTEMPTS

__all__ = [
    "FORMAT",
    "accuracy_by_round",
    "final_model",
    "last_values",
    "summary",
    "write_reports",
    "write_running",
]

FORMAT = 1  # of summary.json


def write_reports(outcome: Outcome) -> list[str]:
    """Write all of it; what could not be written is returned as text instead of hiding how the run went.

    From now on the board has the points of all parties' own files, also those of what happened before a resume.
    """
    results = {party.name: _results(outcome, party) for party in outcome.plan.parties}
    outcome.board.points[:] = settled_points(outcome.board.points, results)
    steps: list[tuple[str, Callable[[Outcome], None]]] = [
        ("logs.jsonl", _write_logs),
        ("metrics.csv", _write_metrics),
        ("junit.xml", _write_junit),
        ("tensorboard", _copy_events),
        ("model.safetensors", _copy_model),
        ("summary.json", _write_summary),
    ]
    problems = []
    for name, step in steps:
        try:
            step(outcome)
        except OSError as error:
            problems.append(f"{name} could not be written: {error.strerror or error}")
    return problems


def write_running(
    plan: Plan, folder: Path, server: str, url: str | None = None, *, earlier: Earlier | None = None
) -> None:
    """The summary of a run that has begun, for those who look into the folder meanwhile.

    `url`: of a server that is this run's own and holds no secret, so that `playground logs --follow` finds it.
    `earlier`: of a run that is resumed.
    """
    said = {"format": FORMAT, "task": plan.task, "template": plan.template.name, "status": "running"}
    said |= {"began": _iso(time.time()), "server": server, "parties": [{"party": party} for party in plan.nodes]}
    said |= {} if url is None else {"url": url}
    if earlier is not None:
        said |= {"began": _iso(earlier.began), "seconds_before": round(earlier.seconds, 3), "resumed": earlier.times}
    _write(folder / "summary.json", msgspec.json.format(msgspec.json.encode(said), indent=2))


def summary(outcome: Outcome) -> dict[str, Any]:
    """The run as JSON: also what `playground run --json` prints."""
    plan, board = outcome.plan, outcome.board
    rows = {row.party: row for row in board.rows()}
    first, earlier = outcome.first, outcome.earlier
    model = outcome.folder / "model.safetensors"
    parties = []
    for party in plan.parties:
        failure = outcome.failures.get(party.name)
        said: dict[str, Any] = {
            "party": party.name,
            "role": party.role,
            "notebook": f"{party.name}.ipynb",
            "status": _party_status(outcome, party.name),
            "seconds": round(outcome.party_seconds.get(party.name, outcome.seconds), 3),
            "round": rows[party.name].round,
        }
        if attempts := outcome.attempts.get(party.name):
            said["attempts"] = [
                {"type": failed.error, "message": failed.message, "notebook": f"{ATTEMPTS}/{failed.notebook.name}"}
                for failed in attempts
            ]
        if failure is not None:
            said["error"] = {
                "type": failure.error,
                "message": failure.message,
                "cell": failure.cell,
                "line": failure.line,
                "consequence": failure.consequence,
            }
        parties.append(said)
    return {
        "format": FORMAT,
        "task": plan.task,
        "run": board.run,
        "template": plan.template.name,
        "title": plan.template.title,
        "status": outcome.status,
        "exit_code": outcome.exit_code,
        "began": _iso(outcome.began if earlier is None else earlier.began),
        "seconds": round(outcome.seconds + (0.0 if earlier is None else earlier.seconds), 3),
        "resumed": 0 if earlier is None else earlier.times,
        "folder": str(outcome.folder),
        "server": outcome.server,
        "parameters": plan.parameters,
        "parties": parties,
        "first_failure": None if first is None else first.party,
        "accuracy": accuracy_by_round(outcome),
        "final_metrics": last_values(outcome),
        "model": model.name if model.exists() else None,
    }


def accuracy_by_round(outcome: Outcome) -> dict[str, list[dict[str, float]]]:
    """Per party that reported one, its accuracy after each round, in order."""
    table: dict[str, dict[int, float]] = {}
    for point in outcome.board.points:
        if measure(point.name) == "accuracy" and point.round is not None:
            table.setdefault(point.party, {})[point.round] = point.value
    return {
        party: [{"round": number, "accuracy": value} for number, value in sorted(table[party].items())]
        for party in outcome.plan.nodes
        if party in table
    }


def last_values(outcome: Outcome) -> dict[str, dict[str, dict[str, Any]]]:
    """Per party and metric its last value, and the round that this is of."""
    points = sorted(outcome.board.points, key=lambda point: point.time)
    return final_metrics((point.party, point.round, point.name, point.value) for point in points)


def final_model(outcome: Outcome) -> Path | None:
    """The final model as the initiator kept it, else as the first party that has one."""
    found = (_results(outcome, party) / "model.safetensors" for party in outcome.plan.parties)
    return next((path for path in found if path.is_file()), None)


def _write_logs(outcome: Outcome) -> None:
    """All parties' lines in order of time. Each party's own file is complete, which the stream need not be."""
    files = [_party_folder(outcome, party) / "logs.jsonl" for party in outcome.plan.parties]
    streams = [_timed_lines(path) for path in files if path.is_file()]
    with (outcome.folder / "logs.jsonl").open("wb") as merged:
        for _, line in heapq.merge(*streams, key=lambda item: item[0]):
            merged.write(line)


class _Timed(msgspec.Struct):
    time: float


def _timed_lines(path: Path) -> Iterator[tuple[float, bytes]]:
    decoder = msgspec.json.Decoder(_Timed)
    with path.open("rb") as lines:
        for line in lines:
            try:
                moment = decoder.decode(line).time
            except msgspec.MsgspecError:  # the last line of a party that was killed
                continue
            yield moment, line if line.endswith(b"\n") else line + b"\n"


def _write_metrics(outcome: Outcome) -> None:
    points = sorted(outcome.board.points, key=lambda point: point.time)
    with (outcome.folder / "metrics.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["time", "party", "round", "name", "value"])
        for point in points:
            table.writerow(
                [_iso(point.time), point.party, "" if point.round is None else point.round, point.name, point.value]
            )


def _write_junit(outcome: Outcome) -> None:
    """One test case per party; the first failure fails, what followed from it is skipped."""
    first, plan = outcome.first, outcome.plan
    suite = ElementTree.Element("testsuite", name=f"playground.{plan.template.name}", timestamp=_iso(outcome.began))
    skipped = 0
    for party in plan.parties:
        seconds = outcome.party_seconds.get(party.name, outcome.seconds)
        case = ElementTree.SubElement(
            suite, "testcase", classname=f"playground.{plan.task}", name=party.name, time=f"{seconds:.3f}"
        )
        failure = outcome.failures.get(party.name)
        if first is not None and first.party == party.name and outcome.signal is None:
            message = plain(f"{first.headline} ({first.place})")
            node = ElementTree.SubElement(case, "failure", type=first.error, message=message)
            node.text = plain(f"{first.place}\n\n{first.traceback}")
        elif failure is not None:
            reason = "the run was interrupted" if outcome.signal is not None else failure.headline
            if party.name in outcome.lost:
                reason = f"lost, the others went on without it: {reason}"
            ElementTree.SubElement(case, "skipped", message=plain(reason))
            skipped += 1
        ElementTree.SubElement(case, "system-out").text = str(outcome.folder / f"{party.name}.ipynb")
    suite.set("tests", str(len(plan.parties)))
    suite.set("failures", str(len(suite.findall("testcase/failure"))))
    suite.set("errors", "0")
    suite.set("skipped", str(skipped))
    suite.set("time", f"{outcome.seconds:.3f}")
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    _write(outcome.folder / "junit.xml", ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n")


def _copy_events(outcome: Outcome) -> None:
    for party in outcome.plan.parties:
        for path in sorted(_results(outcome, party).rglob("events.out.tfevents.*")):
            target = outcome.folder / "tensorboard" / party.name
            target.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target / path.name)


def _copy_model(outcome: Outcome) -> None:
    model = final_model(outcome)
    if model is not None:
        shutil.copyfile(model, outcome.folder / "model.safetensors")


def _write_summary(outcome: Outcome) -> None:
    _write(
        outcome.folder / "summary.json", msgspec.json.format(msgspec.json.encode(summary(outcome)), indent=2) + b"\n"
    )


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all."""
    draft = path.with_name(f".{path.name}.new")
    try:
        draft.write_bytes(data)
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def _party_status(outcome: Outcome, party: str) -> str:
    failure = outcome.failures.get(party)
    if failure is None:
        return "ok" if party in outcome.party_seconds else "unknown"
    if party in outcome.lost:
        return "lost"
    return "stopped" if failure.consequence else "failed"


def _party_folder(outcome: Outcome, party: Party) -> Path:
    return party_folder(outcome.folder, outcome.plan.task, party.name)


def _results(outcome: Outcome, party: Party) -> Path:
    """A party's results of this run, or of its newest where no run was seen."""
    return _party_folder(outcome, party) / (outcome.board.run or "latest") / "results"


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
