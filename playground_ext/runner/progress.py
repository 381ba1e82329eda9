"""What is going on in a run: read from its streams by one thread, kept on a board that views show."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import redis

from playground_ext.bus.connection import Connection
from playground_ext.bus.envelope import Control, decode_control
from playground_ext.bus.keys import RunKeys, TaskKeys
from playground_ext.errors import PlaygroundError, ProtocolError
from playground_ext.logs.record import Batch, LogRecord

__all__ = ["Board", "Follower", "MetricPoint", "PartyRow", "measure"]

BLOCK = 500  # milliseconds that a read waits for something new
COUNT = 500  # entries a read takes from each stream
RETRY = 1.0  # seconds before the server is asked again after it was away
DRAIN = 5.0  # seconds that reading the rest may take when everybody has left

_ENDED = frozenset({"done", "failed", "stopped"})


class MetricPoint(msgspec.Struct, frozen=True):
    """One number that a party reported."""

    party: str
    round: int | None
    name: str
    value: float
    time: float


@dataclass(frozen=True)
class PartyRow:
    """What is known about one party now."""

    party: str
    role: str
    state: str = "starting the kernel"
    round: int | None = None
    rounds: int | None = None
    accuracy: float | None = None  # the newest it reported, 0 to 1
    loss: float | None = None
    began: float = 0.0
    ended: float | None = None

    @property
    def elapsed(self) -> float:
        return (self.ended or time.time()) - self.began


class Board:
    """The newest state of every party, all metric points, and who said first that it failed. Any thread may call."""

    def __init__(self, parties: Sequence[tuple[str, str]], rounds: int | None = None) -> None:
        self._lock = threading.Lock()
        now = time.time()
        self._rows = {party: PartyRow(party, role, began=now, rounds=rounds) for party, role in parties}
        self.points: list[MetricPoint] = []
        self.fails: dict[str, dict[str, Any]] = {}  # the first `fail` message of each party
        self.joined: set[str] = set()
        self.run: str | None = None

    def rows(self) -> list[PartyRow]:
        with self._lock:
            return list(self._rows.values())

    def cell(self, party: str, index: int, count: int) -> None:
        """The notebook reached a cell; what the party itself reports says more, until it has ended its run."""
        self._set(party, state=f"cell {index} of {count}")

    def end(self, party: str, state: str) -> None:
        self._set(party, state=state, ended=time.time())

    def control(self, message: Control) -> None:
        body = message.body
        self.joined.add(message.sender)
        if message.kind == "fail":
            self.fails.setdefault(message.sender, body)
        elif message.kind == "progress":
            known = {name: body[name] for name in ("round", "rounds") if isinstance(body.get(name), int)}
            if isinstance(body.get("state"), str):
                known["state"] = body["state"]
            self._set(message.sender, **known)

    def metric(self, point: MetricPoint) -> None:
        self.points.append(point)
        name = measure(point.name)
        if name is not None:
            self._set(point.party, **{name: point.value})

    def _set(self, party: str, **changes: Any) -> None:
        with self._lock:
            row = self._rows.get(party)
            if row is None:
                return
            if row.state.split(":")[0] in _ENDED:  # what it said last may be read after its notebook has ended
                changes = {name: value for name, value in changes.items() if name not in ("state", "ended")}
            self._rows[party] = replace(row, **changes)


class Follower(threading.Thread):
    """Reads control, log and metrics streams of the task's run from their beginning, until stopped.

    `on_log` gets log records in stream order, in batches. A server that goes away is asked again; the run's notebooks
    report it better than this thread could.
    """

    def __init__(
        self, url: str, task: str, parties: Sequence[str], board: Board, on_log: Callable[[list[LogRecord]], None]
    ) -> None:
        super().__init__(name="playground progress", daemon=True)
        self._url = url
        self._task = TaskKeys(task)
        self._parties = list(parties)
        self._board = board
        self._on_log = on_log
        self._stopping = threading.Event()
        self._keys: RunKeys | None = None
        self._cursors: dict[Any, Any] = {}
        self._old_run: bytes | None = None
        self.ready = threading.Event()

    def run(self) -> None:
        deadline: float | None = None
        while True:
            try:
                with contextlib.closing(Connection(self._url, name="playground-run")) as connection:
                    if not self.ready.is_set():
                        self._begin(connection)
                    while True:
                        if self._stopping.is_set():
                            deadline = deadline or time.monotonic() + DRAIN
                        got = self._read(connection, block=None if deadline else BLOCK)
                        if deadline and (not got or time.monotonic() > deadline):
                            return
            except (PlaygroundError, redis.RedisError, OSError):
                if self._stopping.wait(RETRY):
                    return

    def stop(self, timeout: float = DRAIN + 2) -> None:
        """Read what is left and end."""
        self._stopping.set()
        self.join(timeout)

    def _begin(self, connection: Connection) -> None:
        """Runs of this task that are older than this command are not ours."""
        self._old_run = connection.client.get(self._task.run)  # type: ignore[assignment]
        newest: Any = connection.client.xrevrange(self._task.runs, count=1)
        self._cursors[self._task.runs] = newest[0][0].decode() if newest else "0-0"
        self.ready.set()

    def _read(self, connection: Connection, block: int | None) -> bool:
        """Take what is new from all streams; whether there was anything."""
        replies: Any = connection.client.xread(self._cursors, count=COUNT, block=block)
        records: list[LogRecord] = []
        for raw_key, entries in replies or []:
            key = raw_key.decode()
            if entries:
                self._cursors[key] = entries[-1][0].decode()
            for entry_id, fields in entries:
                with contextlib.suppress(ProtocolError):  # a party's nonsense must not end everybody's progress
                    self._take(key, entry_id, fields, records)
        if records:
            self._on_log(records)
        if self._task.runs in {raw_key.decode() for raw_key, _ in replies or []} or self._keys is None:
            self._follow(connection)
        return bool(replies)

    def _follow(self, connection: Connection) -> None:
        current: Any = connection.client.get(self._task.run)
        if current is None or current == self._old_run:
            return
        keys = self._task.of(current.decode())
        if keys != self._keys:
            self._keys = keys
            self._board.run = keys.run
            streams = [keys.log, keys.metrics, *(keys.control(party) for party in self._parties)]
            self._cursors = {self._task.runs: self._cursors[self._task.runs], **dict.fromkeys(streams, "0-0")}

    def _take(self, key: str, entry_id: bytes, fields: dict[bytes, bytes], records: list[LogRecord]) -> None:
        if self._keys is None or key == self._task.runs:
            return
        if key == self._keys.log:
            batch = Batch.of(fields)
            if batch is not None:
                records.extend(batch.records())
        elif key == self._keys.metrics:
            for point in _points(fields):
                self._board.metric(point)
        else:
            sender = key.rsplit(":", 1)[1]
            self._board.control(decode_control(sender, entry_id, fields))


def measure(name: str) -> str | None:
    """`accuracy` or `loss` if a metric's name says so: `accuracy`, `test/accuracy`, `train/loss`."""
    last = name.rsplit("/", 1)[-1]
    return last if last in ("accuracy", "loss") else None


def _points(fields: dict[bytes, bytes]) -> list[MetricPoint]:
    try:
        return msgspec.json.decode(fields[b"m"], type=list[MetricPoint])
    except (KeyError, msgspec.MsgspecError) as error:
        raise ProtocolError(f"metric points cannot be read: {error!r}") from error
