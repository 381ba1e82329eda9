"""Metric sets that users register: rows with fixed keys, one CSV file each."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from playground_ext.errors import ConfigError
from playground_ext.party.disk import storage_error, write_atomically
from playground_ext.scheduler.metrics import Metrics

__all__ = ["MetricSet", "MetricSets", "register_metrics"]

_ATTRIBUTE = "_playground_metrics"
_TAKEN = "metrics"  # metrics.csv holds every number of the run

Method = TypeVar("Method", bound=Callable[..., Any])


def register_metrics(name: str, keys: Sequence[str]) -> Callable[[Method], Method]:
    """Give a scheduler the metric set `name`, whose rows have exactly these keys. Put it on any method, repeatedly.

    `self.get_metrics(name).append_metrics_item({…})` adds a row, wherever it is called.

    Raises:
        ConfigError: a name that cannot be a file's, or no keys, or a key twice.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name) or name == _TAKEN:
        raise ConfigError(
            f"{name!r} cannot name a metric set",
            next_step=f"use letters, digits, _ and -, and not {_TAKEN!r}, because it becomes a CSV file",
        )
    listed = [keys] if isinstance(keys, str) else list(keys)
    if not listed or len(set(listed)) != len(listed) or not all(isinstance(key, str) and key for key in listed):
        raise ConfigError(f"the metric set {name!r} has the keys {listed!r}", next_step="give different names")

    def mark(method: Method) -> Method:
        setattr(method, _ATTRIBUTE, {**getattr(method, _ATTRIBUTE, {}), name: tuple(listed)})
        return method

    return mark


class MetricSet:
    """Rows of one registered set."""

    def __init__(self, name: str, keys: tuple[str, ...], metrics: Metrics, current_round: Callable[[], int]) -> None:
        self.name = name
        self.keys = keys
        self.file: Path = metrics.folder / f"{name}.csv"
        self.items: list[dict[str, float]] = []
        self._metrics, self._current_round = metrics, current_round

    def append_metrics_item(self, item: Mapping[str, Any]) -> None:
        """Add a row: to the CSV file with the round in front, to TensorBoard and to everybody who watches the task.

        Raises:
            ConfigError: other keys than the registered ones, or a value that is not a number.
            StorageError: the disk is full or not writable.
        """
        given = set(item)
        if given != set(self.keys):
            missing, unknown = sorted(set(self.keys) - given), sorted(map(str, given - set(self.keys)))
            wrong = [f"lacks {', '.join(missing)}"] if missing else []
            wrong += [f"has the unknown {', '.join(unknown)}"] if unknown else []
            raise ConfigError(
                f"an item of the metric set {self.name!r} {' and '.join(wrong)}",
                next_step=f"give exactly the registered keys: {', '.join(self.keys)}",
            )
        round = self._current_round()
        self._metrics.add(round, {f"{self.name}/{key}": item[key] for key in self.keys})  # refuses what is no number
        row = {key: float(item[key]) for key in self.keys}
        self.items.append(row)
        try:
            with self.file.open("a", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                if file.tell() == 0:
                    writer.writerow(["round", *self.keys])
                writer.writerow([round, *(repr(value) for value in row.values())])
        except OSError as error:
            raise storage_error(error, self.file.parent, f"write the metric set {self.name}") from error

    def keep(self, count: int) -> None:
        """Leave the first `count` rows that the file has."""
        rows: list[list[str]] = []
        if self.file.exists():
            with self.file.open(newline="", encoding="utf-8") as file:
                rows = list(csv.reader(file))[: count + 1]
        self.items = [dict(zip(self.keys, map(float, row[1:]), strict=True)) for row in rows[1:]]
        if self.items:
            text = io.StringIO(newline="")
            csv.writer(text).writerows(rows)
            write_atomically(self.file, text.getvalue().encode())
        else:
            self.file.unlink(missing_ok=True)


class MetricSets:
    """The sets of one run, made when they are first used."""

    def __init__(self) -> None:
        self._sets: dict[str, MetricSet] = {}
        self._kept: dict[str, int] = {}  # rows that sets have from before this party came back

    def counts(self) -> dict[str, int]:
        """Rows by set."""
        return {**self._kept, **{name: len(found.items) for name, found in self._sets.items()}}

    def keep(self, counts: Mapping[str, int]) -> None:
        """Go back to so many rows of each set: later ones will be added again."""
        self._sets, self._kept = {}, dict(counts)

    def get(self, name: str, owner: type, metrics: Metrics, current_round: Callable[[], int]) -> MetricSet:
        """The set that `register_metrics` gave the class `owner` or one of its bases.

        Raises:
            ConfigError: there is none of that name; the message lists those there are.
        """
        if name not in self._sets:
            known: dict[str, tuple[str, ...]] = {}
            for cls in reversed(owner.__mro__):
                for member in vars(cls).values():
                    known.update(getattr(member, _ATTRIBUTE, {}) if callable(member) else {})
            if name not in known:
                raise ConfigError(
                    f"{owner.__name__} has no metric set {name!r}",
                    next_step=f"the registered ones are: {', '.join(known) or 'none'} (see register_metrics)",
                )
            self._sets[name] = MetricSet(name, known[name], metrics, current_round)
            self._sets[name].keep(self._kept.pop(name, 0))
        return self._sets[name]
