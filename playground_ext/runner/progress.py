"""What is going on in a run: read from its streams by one thread, kept on a board that views show."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import redis

from playground_ext.bus.connection import Connection
from playground_ext.bus.envelope import Control, decode_control
from playground_ext.bus.keys import RunKeys, TaskKeys
from playground_ext.bus.streams import last_id
from playground_ext.errors import PlaygroundError, ProtocolError
from playground_ext.logs.record import Batch, LogRecord

__all__ = ["Board", "Follower", "MetricPoint", "PartyRow", "measure"]

BLOCK = 500  # milliseconds that a read waits for something new
SEEK = 100  # the same while a run with a name of its own is looked for, which nothing announces; some are short
COUNT = 500  # entries a read takes from each stream
RETRY = 1.0  # seconds before the server is asked again after it was away
DRAIN = 5.0  # seconds that reading the rest may take when everybody has left

_ENDED = frozenset({"done", "failed", "stopped", "lost"})
_RESTARTING = "restarting"


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
        with self._lock:
            row = self._rows.get(party)
        restart = row.state.partition(",")[0] + ", " if row is not None and row.state.startswith(_RESTARTING) else ""
        self._set(party, state=f"{restart}cell {index} of {count}")

    def end(self, party: str, state: str) -> None:
        self._set(party, state=state, ended=time.time())

    def restart(self, party: str, attempt: int, limit: int) -> None:
        """Its notebook begins again from the top, for the `attempt`th time of `limit`."""
        self.fails.pop(party, None)
        self._set(party, state=f"{_RESTARTING} ({attempt} of {limit})")

    def control(self, message: Control) -> None:
        body = message.body
        self.joined.add(message.sender)
        if message.kind == "hello":  # it is back: what it said before has been mended
            self.fails.pop(message.sender, None)
        elif message.kind == "fail":
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
    """Reads control, log and metrics streams of the task's runs from their beginning, until stopped.

    A notebook may play the task several times: every run that begins is read, however short it is; `keys` are those of
    the newest.

    `on_log` gets log records in stream order, in batches. A server that goes away is asked again; the run's notebooks
    report it better than this thread could. `home`: the folder of the parties' folders, by which the run is found if
    its notebooks have names of their own for task and parties. `goes_on`: a run that is resumed; what a server still
    holds of it is old.
    """

    def __init__(
        self,
        url: str,
        task: str,
        parties: Sequence[str],
        board: Board,
        on_log: Callable[[list[LogRecord]], None],
        *,
        home: Path | None = None,
        goes_on: str | None = None,
    ) -> None:
        super().__init__(name="playground progress", daemon=True)
        self._url = url
        self._own = TaskKeys(task)
        self._tasks = {self._own.runs: self._own}  # by the streams that tell of their runs
        self._parties = {task: list(parties)}  # by task
        self._board = board
        self._on_log = on_log
        self._stopping = threading.Event()
        self._listening: Connection | None = None  # where it waits for something new
        self._keys: RunKeys | None = None  # of the newest run
        self._kinds: dict[str, str] = {}  # of the streams of all runs: log, metrics or control
        self._cursors: dict[Any, Any] = {}
        self._old_run: bytes | None = None
        self._begun = "0-0"  # an entry's id, when this command began
        self._home = home
        self._goes_on = goes_on
        self._old: dict[str, str] = {}  # last entries of the streams of the run that goes on
        self._names: dict[str, str] = {}  # of parties that have names of their own: the notebook's
        self.ready = threading.Event()

    def run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._read_until_stopped()
            except (PlaygroundError, redis.RedisError, OSError):
                self._stopping.wait(RETRY)
        if self.ready.is_set():
            with contextlib.suppress(PlaygroundError, redis.RedisError, OSError):
                self._read_the_rest()

    def _read_until_stopped(self) -> None:
        with contextlib.closing(Connection(self._url, name="playground-run")) as connection:
            self._listening = connection
            if not self.ready.is_set():
                self._begin(connection)
            while not self._stopping.is_set():
                self._read(connection, block=SEEK if self._home is not None and self._keys is None else BLOCK)

    def _read_the_rest(self) -> None:
        deadline = time.monotonic() + DRAIN
        with contextlib.closing(Connection(self._url, name="playground-run")) as connection:
            self._follow(connection)
            while self._read(connection, block=None) and time.monotonic() < deadline:
                pass

    @property
    def keys(self) -> RunKeys | None:
        """Of the run that is followed; None before there is one."""
        return self._keys

    def party_of(self, notebook: str) -> str:
        """What the party of this notebook is called in the run."""
        return next((party for party, name in self._names.items() if name == notebook), notebook)

    def stop(self, timeout: float = DRAIN + 2) -> None:
        """Read what is left and end."""
        self._stopping.set()
        if self._listening is not None:
            self._listening.interrupt()
        self.join(timeout)

    def _begin(self, connection: Connection) -> None:
        """Runs of this task that are older than this command are not ours."""
        self._old_run = connection.client.get(self._own.run)  # type: ignore[assignment]
        self._cursors[self._own.runs] = last_id(connection, self._own.runs)
        seconds, microseconds = connection.client.time()
        self._begun = f"{seconds * 1000 + microseconds // 1000}-0"
        if self._goes_on is not None:
            keys = self._own.of(self._goes_on)
            self._old = {stream: last_id(connection, stream) for stream in self._streams(keys)}
            self._old_run = None if self._old_run == self._goes_on.encode() else self._old_run
        self.ready.set()

    def _streams(self, keys: RunKeys) -> dict[str, str]:
        """Those of a run, and of which kind they are."""
        controls = {keys.control(party): "control" for party in self._parties[keys.task]}
        return {keys.log: "log", keys.metrics: "metrics", **controls}

    def _read(self, connection: Connection, block: int | None) -> bool:
        """Take what is new from all streams; whether there was anything."""
        replies: Any = connection.client.xread(self._cursors, count=COUNT, block=block)
        records: list[LogRecord] = []
        opened: list[RunKeys] = []
        for raw_key, entries in replies or []:
            key = raw_key.decode()
            if entries:
                self._cursors[key] = entries[-1][0].decode()
            for entry_id, fields in entries:
                if (task := self._tasks.get(key)) is not None:
                    opened.extend(task.of(run.decode()) for run in (fields.get(b"run"),) if run)
                    continue
                with contextlib.suppress(ProtocolError):  # a party's nonsense must not end everybody's progress
                    self._take(key, entry_id, fields, records)
        if records:
            self._on_log(records)
        for keys in opened:
            self._add(keys)
        if not replies or self._keys is None:
            self._follow(connection)
        return bool(replies)

    def _follow(self, connection: Connection) -> None:
        current: Any = connection.client.get(self._own.run)
        if current is not None and current != self._old_run:
            self._add(self._own.of(current.decode()))
        elif self._home is not None:
            self._find_other(connection)

    def _add(self, keys: RunKeys) -> None:
        """Read this run's streams too, from now on."""
        streams = self._streams(keys)
        if streams.keys() & self._kinds.keys():
            return
        if self._keys is not None and keys.task != self._keys.task:  # the notebooks played another task before
            self._kinds = {stream: kind for stream, kind in self._kinds.items() if kind == "log"}
            self._cursors = {key: id for key, id in self._cursors.items() if key in self._kinds or key in self._tasks}
            self._board.points.clear()
        self._keys = keys
        self._board.run = keys.run
        self._kinds |= streams
        self._cursors |= {stream: self._old.get(stream, "0-0") for stream in streams}

    def _find_other(self, connection: Connection) -> None:
        """A task whose notebooks do not use the name that the runner gave it: who plays it, and its newest run."""
        own = [] if self._home is None else [path for path in self._home.glob("*/*/*/") if path.name != "no-run"]
        for run, task in {path.name: TaskKeys(path.parents[1].name) for path in own if not path.is_symlink()}.items():
            keys = task.of(run)
            fields: Any = connection.client.hgetall(keys.meta)
            if not fields or connection.client.get(task.run) != run.encode():
                continue
            hellos = {name[6:].decode(): value for name, value in fields.items() if name.startswith(b"party:")}
            for party, hello in hellos.items():
                self._note_name(party, msgspec.json.decode(hello))
            nodes = msgspec.json.decode(fields.get(b"run", b"{}")).get("nodes", [])
            self._parties[task.task] = [str(node) for node in nodes]
            if task.runs in self._tasks:
                self._add(keys)
            else:  # its stream tells of this run, and of those before it
                self._tasks[task.runs] = task
                self._cursors[task.runs] = self._begun

    def _note_name(self, party: str, hello: dict[str, Any]) -> None:
        """A party whose notebook has another name is shown by that; not if one notebook plays several."""
        name = Path(str(hello.get("notebook") or party)).stem
        if name != party and name not in self._names.values():
            self._names[party] = name

    def _take(self, key: str, entry_id: bytes, fields: dict[bytes, bytes], records: list[LogRecord]) -> None:
        kind = self._kinds[key]
        if kind == "log":
            batch = Batch.of(fields)
            if batch is not None:
                names = self._names
                records.extend(
                    msgspec.structs.replace(record, party=names[record.party]) if record.party in names else record
                    for record in batch.records()
                )
        elif kind == "metrics":
            for point in _points(fields):
                self._board.metric(msgspec.structs.replace(point, party=self._names.get(point.party, point.party)))
        else:
            sender = key.rsplit(":", 1)[1]
            message = decode_control(sender, entry_id, fields)
            if message.kind == "hello" and self._home is not None:
                self._note_name(sender, message.body)
            self._board.control(replace(message, sender=self._names.get(sender, sender)))


def measure(name: str) -> str | None:
    """`accuracy` or `loss` if a metric's name says so: `accuracy`, `test/accuracy`, `train/loss`."""
    last = name.rsplit("/", 1)[-1]
    return last if last in ("accuracy", "loss") else None


def _points(fields: dict[bytes, bytes]) -> list[MetricPoint]:
    try:
        return msgspec.json.decode(fields[b"m"], type=list[MetricPoint])
    except (KeyError, msgspec.MsgspecError) as error:
        raise ProtocolError(f"metric points cannot be read: {error!r}") from error
