"""What a run ended with: the last value of every metric, for summary.json and for people."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

__all__ = ["final_lines", "final_metrics"]

_MOST = 12  # lines

Reported = tuple[str, int | None, str, float]  # party, round, name, value


def final_metrics(points: Iterable[Reported]) -> dict[str, dict[str, dict[str, Any]]]:
    """Per party and metric its last value and the round of that; `points` are in order of time."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for party, round, name, value in points:
        found.setdefault(party, {})[name] = {"round": round, "value": value}
    return found


def final_lines(found: Mapping[str, Mapping[str, Mapping[str, Any]]], *, but: Collection[str] = ()) -> list[str]:
    """A line for each metric that is not in `but`, what was trained with last; of several parties' their mean."""
    values: dict[str, list[float]] = {}
    for metrics in found.values():
        for name, last in metrics.items():
            values.setdefault(name, []).append(float(last["value"]))
    names = sorted((name for name in values if name not in but), key=lambda name: name.startswith("train/"))
    width = max(map(len, names[:_MOST]), default=0)
    lines = []
    for name in names[:_MOST]:
        reported = values[name]
        parties = f"  (mean of {len(reported)} parties)" if len(reported) > 1 else ""
        lines.append(f"  {name.ljust(width)}  {sum(reported) / len(reported):10.4f}{parties}")
    more = len(names) - _MOST
    return [*lines, *([f"  and {more} more in summary.json"] if more > 0 else [])]
