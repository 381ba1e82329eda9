"""What the benchmarks share: medians of interleaved repetitions, and a table at the end."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence

__all__ = ["interleaved", "table"]


def interleaved(sides: Mapping[str, Callable[[], float]], repetitions: int = 5) -> dict[str, float]:
    """Run every side in turn, again and again, so that a drifting machine treats them alike; medians by name."""
    values: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repetitions):
        for name, side in sides.items():
            values[name].append(side())
    return {name: statistics.median(figures) for name, figures in values.items()}


def table(title: str, rows: Sequence[tuple[str, str, str, str]]) -> None:
    """Print what was measured, the baseline, the ratio or figure, and what it should reach."""
    header = ("what", "measured", "against", "goal")
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(4)]
    print(f"\n{title}")
    for row in (header, tuple("-" * width for width in widths), *rows):
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)))
