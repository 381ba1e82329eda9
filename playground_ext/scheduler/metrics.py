"""Metric points: to the metrics stream, to metrics.csv, and to TensorBoard, the moment they are known."""

from __future__ import annotations

import contextlib
import csv
import importlib
import io
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from playground_ext.errors import ConfigError
from playground_ext.party.disk import storage_error, write_atomically

__all__ = ["MetricPoint", "Metrics", "TensorBoardWriter", "read_points"]

_COLUMNS = ["time", "party", "round", "name", "value"]


class MetricPoint(msgspec.Struct, frozen=True):
    """One number by one party."""

    party: str
    round: int
    name: str  # test/accuracy, train/loss, …
    value: float
    time: float  # seconds since 1970


class Metrics:
    """One party's metric points of one run. `publish` gets the JSON of a list of points."""

    def __init__(self, party: str, folder: Path, publish: Callable[[bytes], None]) -> None:
        self.points: list[MetricPoint] = []
        self._party = party
        self.folder = folder
        self._publish = publish
        self._events: Any = None
        if "torch" in sys.modules:  # 75 ms that the first round would take longer otherwise
            importlib.import_module("torch.utils.tensorboard")

    def add(self, round: int, values: Mapping[str, Any]) -> None:
        """Record numbers (Python, NumPy or one-element tensors) by name.

        Raises:
            ConfigError: a value that is not a number.
            StorageError: the disk is full or not writable.
        """
        points = [
            MetricPoint(self._party, round, name, _number(name, value), time.time()) for name, value in values.items()
        ]
        if not points:
            return
        self.points += points
        self._append_csv(points)
        for point in points:
            self.events.add_scalar(point.name, point.value, point.round)
        self._publish(msgspec.json.encode(points))

    def keep(self, count: int) -> None:
        """Go back to the first `count` points that this party had recorded before it came back."""
        path = self.folder / "metrics.csv"
        self.points = read_points(path)[:count]
        if self.points:
            text = io.StringIO(newline="")
            csv.writer(text).writerows([_COLUMNS, *map(_row, self.points)])
            write_atomically(path, text.getvalue().encode())
        else:
            path.unlink(missing_ok=True)

    @property
    def events(self) -> Any:
        """TensorBoard's SummaryWriter, imported when it is first needed."""
        if self._events is None:
            from torch.utils.tensorboard import SummaryWriter

            self._events = SummaryWriter(str(self.folder), flush_secs=10)
        return self._events

    def close(self) -> None:
        if self._events is not None:
            self._events.close()
            self._events = None

    def _append_csv(self, points: list[MetricPoint]) -> None:
        path = self.folder / "metrics.csv"
        try:
            with path.open("a", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                if file.tell() == 0:
                    writer.writerow(_COLUMNS)
                writer.writerows(map(_row, points))
        except OSError as error:
            raise storage_error(error, self.folder, "write the metrics") from error


class TensorBoardWriter:
    """`self.tb_writer` of user code: SummaryWriter's interface; scalars are also published as metric points."""

    def __init__(self, metrics: Metrics, current_round: Callable[[], int]) -> None:
        self._metrics = metrics
        self._current_round = current_round

    def add_scalar(self, tag: str, scalar_value: Any, global_step: int | None = None, *_: Any, **__: Any) -> None:
        """Record one number; `global_step` defaults to the current round."""
        step = self._current_round() if global_step is None else int(global_step)
        self._metrics.add(step, {tag: scalar_value})

    def __getattr__(self, name: str) -> Any:
        return getattr(self._metrics.events, name)


def _row(point: MetricPoint) -> list[str | int]:
    return [f"{point.time:.3f}", point.party, point.round, point.name, repr(point.value)]


def read_points(path: Path) -> list[MetricPoint]:
    """What is in a metrics.csv; a last line that was being written is left out."""
    if not path.exists():
        return []
    points = []
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            with contextlib.suppress(ValueError, TypeError):
                points.append(
                    MetricPoint(row["party"], int(row["round"]), row["name"], float(row["value"]), float(row["time"]))
                )
    return points


def _number(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"the metric {name!r} is {value!r}, which is not a number", next_step="return numbers, such as loss.item()"
        ) from error
