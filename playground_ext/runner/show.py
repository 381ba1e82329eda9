"""`playground ls` and `playground show`: what was run, and what came of it."""

from __future__ import annotations

import contextlib
import csv
import time
from pathlib import Path
from typing import Any

import msgspec

from playground_ext.runner.final_metrics import final_lines, final_metrics
from playground_ext.runner.history import BY_HAND, Record, find_record, find_records
from playground_ext.runner.screen import columns, size_text, time_text

__all__ = ["describe_record", "listing_text", "show_text"]

_FIRST_ROUNDS, _LAST_ROUNDS = 5, 15  # shown of many
_MOST_METRICS = 4  # columns beside the round


def listing_text(*, as_json: bool) -> str:
    """Everything that was run, the newest first."""
    records = find_records()
    if as_json:
        return _json([_brief(record) for record in records])
    if not records:
        return "Nothing was run here yet. Start with: playground run fed_avg"
    rows = [["task", "status", "template", "parties", "took", "accuracy", "began"]]
    for record in records:
        said = _brief(record)
        rows.append(
            [
                said["name"],
                said["status"],
                record.template or BY_HAND,
                str(len(record.parties)),
                "" if said["seconds"] is None else time_text(said["seconds"]),
                "" if said["accuracy"] is None else f"{said['accuracy']:.2%}",
                f"{time_text(max(0.0, time.time() - record.began))} ago",
            ]
        )
    return "\n".join([*columns(rows, right=frozenset({3, 4, 5, 6}), indent=""), "", "playground show TASK says more."])


def show_text(name: str, *, as_json: bool) -> str:
    """One run: its parties, rounds and metrics, and where time and bytes went.

    Raises:
        ConfigError: nothing of that name was run here.
    """
    record = find_record(name)
    said = describe_record(record)
    if as_json:
        return _json(said)
    parts = [_head(record, said), "\n".join(_parties(said))]
    parts += ["\n".join(table) for table in (_phases(said), _rounds(said), _last_values(said)) if table]
    parts += [_failure(party) for party in said["parties"] if party.get("error") and not party["error"]["consequence"]]
    more = [f"playground logs {record.name}", f"ls {record.folder}"]
    return "\n\n".join([*parts, "More: " + "   ".join(more)])


def _brief(record: Record) -> dict[str, Any]:
    accuracies = [
        float(entry["accuracy"])
        for entries in (record.summary.get("accuracy") or {}).values()
        for entry in entries[-1:]
        if isinstance(entry, dict) and isinstance(entry.get("accuracy"), int | float)
    ]
    return {
        "name": record.name,
        "task": record.task,
        "template": record.template,
        "status": record.status,
        "began": record.began,
        "seconds": record.seconds,
        "parties": [party.name for party in record.parties],
        "accuracy": accuracies[0] if accuracies else None,
        "folder": str(record.folder),
    }


def describe_record(record: Record) -> dict[str, Any]:
    """All that its files say about a run, as JSON: `playground show --json` prints it."""
    points = _metrics(record)
    return {
        **_brief(record),
        "size": record.size,
        "parameters": record.summary.get("parameters", {}),
        "parties": [
            _party(party.name, party.summary, party.report, active=party.active, by_hand=record.template is None)
            for party in record.parties
        ],
        "metrics": points,
        "final_metrics": final_metrics((p["party"], p["round"], p["name"], p["value"]) for p in points),
    }


def _party(
    name: str, summary: dict[str, Any], report: dict[str, Any], *, active: bool, by_hand: bool
) -> dict[str, Any]:
    """One party from what the runner and it itself wrote. Seconds: all, in rounds, of these waiting for others."""
    rounds = [entry for entry in report.get("round_reports", []) if isinstance(entry, dict)]
    waited = sum(float(entry.get("waited", 0.0)) for entry in rounds)
    in_rounds = sum(float(entry.get("seconds", 0.0)) for entry in rounds)
    status = "running" if active else "ok" if report else "unfinished"
    return {
        "party": name,
        "role": report.get("role") or summary.get("role"),
        "status": status if by_hand or active else summary.get("status", "killed"),
        "error": summary.get("error"),
        "rounds": report.get("rounds", summary.get("round")),
        "seconds": summary.get("seconds", report.get("seconds")),
        "working": in_rounds - waited if rounds else None,
        "waiting": waited if rounds else None,
        "sent": report.get("sent"),
        "received": report.get("received"),
        "round_reports": rounds,
    }


def _metrics(record: Record) -> list[dict[str, Any]]:
    """All metric points, in order of time."""
    merged = record.folder / "metrics.csv"
    paths = [merged] if merged.is_file() else [party.results / "metrics.csv" for party in record.parties]
    points = [point for path in paths for point in _points(path)]
    return sorted(points, key=lambda point: str(point["time"]))


def _points(path: Path) -> list[dict[str, Any]]:
    points = []
    with contextlib.suppress(OSError), path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            with contextlib.suppress(KeyError, ValueError, TypeError):
                points.append(
                    {
                        "time": row["time"],
                        "party": row["party"],
                        "round": int(row["round"]) if row["round"] else None,
                        "name": row["name"],
                        "value": float(row["value"]),
                    }
                )
    return points


def _head(record: Record, said: dict[str, Any]) -> str:
    began = time.strftime("%Y-%m-%d %H:%M", time.localtime(record.began))
    took = "" if record.seconds is None else f", took {time_text(record.seconds)}"
    title = record.summary.get("title")
    lines = [
        f"{record.name}: {record.status}" + (f" · {title}" if title else f" · notebooks run {BY_HAND}"),
        f"  began {began}{took}; {size_text(said['size'])} in {record.folder}",
    ]
    if said["parameters"]:
        lines.append("  " + ", ".join(f"{name}={value}" for name, value in said["parameters"].items()))
    return "\n".join(lines)


def _parties(said: dict[str, Any]) -> list[str]:
    rows = [["party", "role", "status", "rounds", "sent", "received"]]
    rows += [
        [
            party["party"],
            party["role"] or "",
            party["status"],
            "" if party["rounds"] is None else str(party["rounds"]),
            _bytes(party["sent"]),
            _bytes(party["received"]),
        ]
        for party in said["parties"]
    ]
    return columns(rows, right=frozenset({3, 4, 5}))


def _phases(said: dict[str, Any]) -> list[str]:
    """Where the seconds went: kernel, imports, check-in and what the notebook did after; own work; waiting."""
    rows = [["seconds", "in all", "before and after", "working", "waiting for others"]]
    for party in said["parties"]:
        if party["working"] is not None and party["seconds"] is not None:
            outside = max(0.0, party["seconds"] - party["working"] - party["waiting"])
            values = (party["seconds"], outside, party["working"], party["waiting"])
            rows.append([party["party"], *(f"{value:.1f}" for value in values)])
    return columns(rows, right=frozenset({1, 2, 3, 4})) if len(rows) > 1 else []


def _rounds(said: dict[str, Any]) -> list[str]:
    """Metrics by round; where several parties report one, their mean."""
    points = [point for point in said["metrics"] if point["round"] is not None]
    numbers = sorted({point["round"] for point in points})
    if not numbers:
        return []
    names = list(dict.fromkeys(point["name"] for point in points))
    shown = sorted(names, key=lambda name: (not name.startswith("test/"), names.index(name)))[:_MOST_METRICS]
    reporters = {name: len({point["party"] for point in points if point["name"] == name}) for name in shown}
    rows = [["round", *(f"{name} (mean of {reporters[name]})" if reporters[name] > 1 else name for name in shown)]]
    values: dict[tuple[int, str], dict[str, float]] = {}
    for point in points:
        values.setdefault((point["round"], point["name"]), {})[point["party"]] = point["value"]
    hidden = numbers[_FIRST_ROUNDS:-_LAST_ROUNDS] if len(numbers) > _FIRST_ROUNDS + _LAST_ROUNDS else []
    for number in numbers:
        if number in hidden:
            if number == hidden[0]:
                rows.append(["…", *("" for _ in shown)])
            continue
        cells = [values.get((number, name), {}) for name in shown]
        rows.append([str(number), *(f"{sum(cell.values()) / len(cell):.4f}" if cell else "" for cell in cells)])
    more = f"  and {len(names) - len(shown)} more metrics: --json" if len(names) > len(shown) else ""
    return [*columns(rows, right=frozenset(range(len(rows[0])))), *([more] if more else [])]


def _last_values(said: dict[str, Any]) -> list[str]:
    lines = final_lines(said["final_metrics"])
    return ["  last values", *lines] if lines else []


def _failure(party: dict[str, Any]) -> str:
    error = party["error"]
    place = f"cell [{error['cell']}]" if error.get("cell") is not None else "no cell"
    line = f", line {error['line']}" if error.get("line") is not None else ""
    first = str(error.get("message", "")).splitlines()[:1]
    return f"{party['party']} failed in {place}{line}: {error.get('type')}: {first[0] if first else ''}"


def _bytes(table: Any) -> str:
    return size_text(sum(table.values())) if isinstance(table, dict) else ""


def _json(value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
