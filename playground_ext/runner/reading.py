"""`playground logs`: what the parties of a task said, from their files, and what they go on saying."""

from __future__ import annotations

import contextlib
import heapq
import sys
import time
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import redis

from playground_ext import settings
from playground_ext.bus.connection import Connection
from playground_ext.bus.keys import RunKeys, TaskKeys
from playground_ext.bus.streams import read
from playground_ext.bus.supervisor import shared_server_status
from playground_ext.errors import ConfigError, PlaygroundError, ProtocolError
from playground_ext.logs.record import Batch, LogRecord
from playground_ext.logs.render import clean
from playground_ext.runner.history import Record, find_record
from playground_ext.runner.view import Output

__all__ = ["LEVELS", "Wanted", "logs_command", "server_of"]

LEVELS = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}
LINES_AT_ONCE = 2000  # written in one go
SLICE = 0.5  # seconds that a read waits for something new before it is asked whether anybody is still there
REMEMBERED = 20_000  # lines of a party that are known to have been shown


@dataclass(frozen=True)
class Wanted:
    """Which lines to show."""

    parties: Collection[str] = ()  # empty: all
    level: str = "DEBUG"  # this one and more important ones
    round: int | None = None

    def __call__(self, record: LogRecord) -> bool:
        return (
            (not self.parties or record.party in self.parties)
            and (self.round is None or record.round == self.round)
            and LEVELS.get(record.level, LEVELS["INFO"]) >= LEVELS[self.level]
        )


def logs_command(
    task: str, *, parties: Collection[str], level: str, round: int | None, follow: bool, as_json: bool
) -> None:
    """Print a task's merged log.

    Raises:
        ConfigError: no such task, party or level.
    """
    record = find_record(task)
    names = [party.name for party in record.parties]
    if unknown := [party for party in parties if party not in names]:
        raise ConfigError(
            f"{record.name} has no party {unknown[0]!r}", next_step=f"these took part: {', '.join(names)}"
        )
    if level.upper() not in LEVELS:
        raise ConfigError(f"there is no level {level!r}", next_step=f"use one of {', '.join(LEVELS)}")
    wanted = Wanted(frozenset(parties), level.upper(), round)
    width = max(map(len, names), default=0)
    output = Output(sys.stdout)
    lines = _followed(record) if follow else _written(record.logs, {})
    chosen = (_json(line) if as_json else _text(line, width) for line in lines if line is not None and wanted(line))
    for text in _together(chosen) if not follow else chosen:
        output.write(text)
        if follow:
            output.flush()
    output.flush()


def _written(files: list[Path], offsets: dict[Path, int]) -> Iterator[LogRecord]:
    """Everything that the files hold behind the offsets, by time; the offsets are moved to where it ended."""
    return heapq.merge(*(_lines(path, offsets) for path in files), key=lambda record: record.time)


def _lines(path: Path, offsets: dict[Path, int]) -> Iterator[LogRecord]:
    decoder = msgspec.json.Decoder(LogRecord)
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        file.seek(offsets.get(path, 0))
        for line in file:
            if not line.endswith(b"\n"):  # being written, or the last words of a party that was killed
                return
            offsets[path] = offsets.get(path, 0) + len(line)
            with contextlib.suppress(msgspec.MsgspecError):
                yield decoder.decode(line)


def _followed(record: Record) -> Iterator[LogRecord]:
    """What was said so far, what is said until nobody runs any more, and what the stream did not bring."""
    seen: dict[str, _Seen] = {}
    offsets: dict[Path, int] = {}

    def new(lines: Iterable[LogRecord]) -> Iterator[LogRecord]:
        for line in lines:
            if seen.setdefault(line.party, _Seen()).is_new(line):
                yield line

    yield from new(_written(record.logs, offsets))
    if record.active and (url := server_of(record)) is not None:
        with contextlib.suppress(redis.RedisError, PlaygroundError):  # the run's server leaves with the run
            yield from new(_streamed(url, record))
    yield from new(_written(record.logs, offsets))


def server_of(record: Record) -> str | None:
    """Where the parties of a running task meet."""
    own = record.summary.get("url")
    if isinstance(own, str):
        return own
    if (given := settings.read().redis_url) is not None:
        return given
    shared = shared_server_status()
    return None if shared is None else shared.url


def _streamed(url: str, record: Record) -> Iterator[LogRecord]:
    """Lines of the task's newest run from its beginning, until nothing comes and nobody of it is alive."""
    task = TaskKeys(record.task)
    with Connection(url, name="playground-logs") as connection:
        cursors = {task.runs: "0-0"}
        keys: RunKeys | None = None
        while True:
            alive = record.active  # asked before reading: what comes after the last look is read by the next one
            found = False
            for entry in read(connection, cursors, block=SLICE):
                found = True
                cursors[entry.key] = entry.id
                with contextlib.suppress(ProtocolError):
                    if keys is not None and entry.key == keys.log and (batch := Batch.of(entry.fields)) is not None:
                        yield from batch.records()
            current = connection.client.get(task.run)
            if isinstance(current, bytes) and (keys is None or keys.run != current.decode()):
                keys = task.of(current.decode())
                cursors = {task.runs: cursors[task.runs], keys.log: "0-0"}
            elif not found and not alive:
                return


class _Seen:
    """Which lines of one party were shown; of those long ago only that they were."""

    def __init__(self) -> None:
        self._recent: deque[tuple[float, int]] = deque()
        self._keys: set[tuple[float, int]] = set()
        self._forgotten = float("-inf")  # lines up to this moment were shown

    def is_new(self, record: LogRecord) -> bool:
        key = record.time, record.seq
        if key in self._keys or record.time <= self._forgotten:
            return False
        self._recent.append(key)
        self._keys.add(key)
        if len(self._recent) > REMEMBERED:
            oldest = self._recent.popleft()
            self._keys.discard(oldest)
            self._forgotten = max(self._forgotten, oldest[0])
        return True


def _together(texts: Iterable[str]) -> Iterator[str]:
    pieces: list[str] = []
    for text in texts:
        pieces.append(text)
        if len(pieces) == LINES_AT_ONCE:
            yield "".join(pieces)
            pieces.clear()
    yield "".join(pieces)


def _json(record: LogRecord) -> str:
    return msgspec.json.encode(record).decode() + "\n"


def _text(record: LogRecord, width: int) -> str:
    """`11:38:15  collaborator-1  round 2   WARNING the text`, whole: this is where everything is read."""
    try:
        moment = time.strftime("%H:%M:%S", time.localtime(record.time))
    except (OverflowError, ValueError, OSError):  # a party whose clock says nonsense
        moment = "--:--:--"
    round_ = "" if record.round is None else f"round {record.round}"
    level = f"{clean(record.level)} " if record.level not in ("INFO", "DEBUG") else ""
    text = clean(record.text).replace("\n", "\n    ")
    return f"{moment}  {clean(record.party):<{width}}  {round_:<9} {level}{text}\n"
