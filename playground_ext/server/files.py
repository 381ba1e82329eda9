"""A task as its files tell it, when no server knows it any more."""

from __future__ import annotations

import contextlib
import heapq
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from playground_ext.logs.record import LogRecord
from playground_ext.runner.history import Record, find_records
from playground_ext.runner.progress import MetricPoint
from playground_ext.runner.show import describe_record

__all__ = ["lines", "points", "record_named"]

_MOST_OF_A_FILE = 256 << 20  # bytes of one party's log that are read, its end


def record_named(name: str) -> Record | None:
    """The newest run or task of that name; never a path."""
    return next((record for record in find_records() if name in (record.folder.name, record.name)), None)


def lines(record: Record) -> Iterator[LogRecord]:
    """What all parties logged, in order of time."""
    return heapq.merge(*(_lines(path) for path in record.logs), key=lambda line: line.time)


def points(record: Record) -> list[MetricPoint]:
    """All numbers that were reported, in order of time."""
    found = [
        MetricPoint(said["party"], said["round"], said["name"], said["value"], _moment(said["time"]))
        for said in describe_record(record)["metrics"]
    ]
    return sorted(found, key=lambda point: point.time)


def _lines(path: Path) -> Iterator[LogRecord]:
    decoder = msgspec.json.Decoder(LogRecord)
    with contextlib.suppress(OSError), path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > _MOST_OF_A_FILE:
            file.seek(size - _MOST_OF_A_FILE)
            file.readline()
        for line in file:
            with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError):
                yield decoder.decode(line)


def _moment(text: Any) -> float:
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return 0.0
