"""What the other parties of a task do, seen from outside: read from the server, without taking part."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import msgspec

from playground_ext.bus.connection import Connection
from playground_ext.bus.envelope import Control, decode_control
from playground_ext.bus.keys import RunKeys, TaskKeys
from playground_ext.bus.streams import last_id, read
from playground_ext.errors import ProtocolError
from playground_ext.logs.record import Batch, LogRecord
from playground_ext.party.lease import is_held, machine

__all__ = ["PartyState", "TaskView", "last_lines", "look", "wait_for_all"]

LISTEN = 2.5  # seconds in which a living party says something: a little more than its heartbeat
_RECENT = 50  # control messages that are read back
_LOG_ENTRIES = 400  # batches that are read back
_SLICE = 1.0  # seconds a blocking read lasts


@dataclass
class PartyState:
    """One party in a task's current run, or in its lobby."""

    state: str = "not here"
    round: int | None = None
    sign: str = ""  # of life: when
    here: bool = False  # in the lobby, or in the run, and alive as far as can be told
    hello: dict[str, Any] | None = None

    def hear(self, control: Control) -> None:
        body = control.body
        match control.kind:
            case "hello":
                self.hello, self.state, self.here = body, "starting", True
            case "check-in":
                self.state = "ready"
            case "progress":
                self.state, self.round = str(body.get("state")), body.get("round")
            case "fail":
                self.state, self.here = f"failed: {body.get('error')}", False
            case "end":
                self.state, self.here = f"has left ({body.get('status')})", False

    @property
    def is_local(self) -> bool:
        return self.hello is not None and self.hello.get("host") == machine()

    def is_dead(self) -> bool:
        """Its process is gone. Only known on the same machine."""
        return self.is_local and not is_held(Path(str((self.hello or {}).get("lease"))))


@dataclass
class TaskView:
    """A task as its server knows it."""

    run: str | None = None  # id of the current run
    status: str = "no run yet"
    nodes: tuple[str, ...] = ()
    parties: dict[str, PartyState] = field(default_factory=dict)

    def missing(self) -> list[str]:
        return [party for party, state in self.parties.items() if not state.here]


def look(
    connection: Connection, task: str, nodes: Sequence[str], *, me: str | None, listen: float = LISTEN
) -> TaskView:
    """The others' states. Takes up to `listen` seconds, until everybody who should be alive has said something."""
    view = _read_back(connection, task, nodes, me)
    if view.run is not None and listen > 0:
        _listen(connection, TaskKeys(task).of(view.run), view, listen)
    return view


def wait_for_all(
    connection: Connection,
    task: str,
    nodes: Sequence[str],
    *,
    me: str | None,
    timeout: float,
    on_change: Callable[[list[str]], None] = lambda missing: None,
) -> TaskView:
    """Wait until all others are in the lobby or in the run, at most `timeout` seconds; `on_change`: who is missing."""
    runs = TaskKeys(task).runs
    cursor = last_id(connection, runs)
    deadline = time.monotonic() + timeout
    before: list[str] | None = None
    while True:
        view = look(connection, task, nodes, me=me, listen=0.0)
        missing, left = view.missing(), deadline - time.monotonic()
        if missing != before:
            on_change(missing)
            before = missing
        if not missing or left <= 0:
            return view
        for entry in read(connection, {runs: cursor}, block=min(_SLICE, left)):
            cursor = entry.id


def last_lines(connection: Connection, task: str, count: int) -> list[LogRecord]:
    """The newest lines of all parties in the current run, the oldest of them first."""
    client = connection.client
    run = cast("bytes | None", client.get(TaskKeys(task).run))
    if run is None:
        return []
    lines: list[LogRecord] = []
    entries = cast(Any, client.xrevrange(TaskKeys(task).of(run.decode()).log, count=_LOG_ENTRIES))
    for _, fields in entries:
        if len(lines) < count and (batch := Batch.of(fields)) is not None:
            lines[:0] = batch.tail(count)
    return lines[-count:] if count else []


def _read_back(connection: Connection, task: str, nodes: Sequence[str], me: str | None) -> TaskView:
    client, keys = connection.client, TaskKeys(task)
    view = TaskView(nodes=tuple(nodes))
    run = cast("bytes | None", client.get(keys.run))
    if run is not None:
        view.run = run.decode()
        meta = _hash(connection, keys.of(view.run).meta)
        view.status = meta.get("status", b"unknown").decode()
        if "run" in meta and not view.nodes:
            view.nodes = tuple(msgspec.json.decode(meta["run"], type=dict[str, Any])["nodes"])
    view.parties = {node: PartyState() for node in view.nodes if node != me}
    if view.run is not None:
        for party, state in view.parties.items():
            for control in _recent(connection, keys.of(view.run), party):
                state.hear(control)
            if state.here and state.is_dead():
                state.state, state.here = f"gone without a word, while it was {state.state}", False
    for party, data in _hash(connection, keys.lobby).items():
        if party in view.parties:
            _in_lobby(view.parties[party], msgspec.json.decode(data, type=dict[str, Any]))
    return view


def _in_lobby(state: PartyState, record: dict[str, Any]) -> None:
    if "error" in record:
        state.state, state.here = f"failed before it joined: {record['error']}", False
    elif record.get("host") != machine() or is_held(Path(str(record.get("lease")))):
        state.state, state.here, state.round, state.hello = "waiting in the lobby", True, None, record
        state.sign = "now" if state.is_local else ""


def _recent(connection: Connection, keys: RunKeys, party: str) -> Iterator[Control]:
    entries = cast(Any, connection.client.xrevrange(keys.control(party), count=_RECENT))
    for entry_id, fields in reversed(entries):
        yield decode_control(party, entry_id, fields)


def _listen(connection: Connection, keys: RunKeys, view: TaskView, timeout: float) -> None:
    """Who says something now is alive now; of the others the log knows when they last did."""
    silent = {keys.control(party): party for party, state in view.parties.items() if state.here and not state.sign}
    cursors = {key: last_id(connection, key) for key in silent}
    deadline = time.monotonic() + timeout
    while silent and (left := deadline - time.monotonic()) > 0:
        for entry in read(connection, {key: cursors[key] for key in silent}, block=min(_SLICE, left)):
            if (party := silent.pop(entry.key, None)) is not None:
                state = view.parties[party]
                state.hear(decode_control(party, entry.id, entry.fields))
                state.sign = "now"
    said = _said_last(connection, keys, view.parties)
    for party, state in view.parties.items():
        if not state.sign and party in said:
            state.sign = f"{_ago(said[party])} ago, a log line"


def _said_last(connection: Connection, keys: RunKeys, parties: Mapping[str, PartyState]) -> dict[str, float]:
    """Seconds since each party's last log line, by the server's clock."""
    seconds, microseconds = cast(Any, connection.client.time())
    now, found = seconds + microseconds / 1e6, dict[str, float]()
    for entry_id, fields in cast(Any, connection.client.xrevrange(keys.log, count=_LOG_ENTRIES)):
        party = fields.get(b"p", b"").decode("utf-8", "replace")
        if b"r" in fields and party in parties and party not in found:
            found[party] = max(0.0, now - int(entry_id.split(b"-")[0]) / 1000)
    return found


def _ago(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _hash(connection: Connection, key: str) -> dict[str, bytes]:
    fields = cast("dict[bytes, bytes]", connection.client.hgetall(key))
    try:
        return {name.decode(): value for name, value in fields.items()}
    except UnicodeDecodeError as error:
        raise ProtocolError(f"{key} holds names that are no text") from error
