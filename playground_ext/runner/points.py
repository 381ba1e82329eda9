"""The metric points that count: each party's own file, where rounds that were played twice stand once."""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from playground_ext.runner.progress import MetricPoint

__all__ = ["settled_points"]


def settled_points(seen: Sequence[MetricPoint], results: Mapping[str, Path]) -> list[MetricPoint]:
    """Of each party what its metrics.csv says, else what was `seen` in the stream; in order of time.

    The stream holds the points of a round again when a party came back and played it again, and nothing of what
    happened before a run was resumed. `results`: per party, its folder with results.
    """
    own = {party: _read(folder / "metrics.csv", party) for party, folder in results.items()}
    found = [point for points in own.values() for point in points]
    found += [point for point in seen if not own.get(point.party)]
    return sorted(found, key=lambda point: point.time)


def _read(path: Path, party: str) -> list[MetricPoint]:
    """A last line that was being written is left out."""
    points = []
    with contextlib.suppress(OSError), path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            with contextlib.suppress(KeyError, ValueError, TypeError):
                round = int(row["round"]) if row["round"] else None
                points.append(MetricPoint(party, round, row["name"], float(row["value"]), float(row["time"])))
    return points
