"""The lobby: where a task's parties meet, and from which a run starts.

People start notebooks in any order, again and again, so a task has runs. The initiator opens one, the others wait.
Nobody polls: every opening and every change of the lobby is an entry of the task's `runs` stream.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import msgspec

from playground_ext.bus.connection import Connection
from playground_ext.bus.keys import TASKS, RunKeys, TaskKeys
from playground_ext.bus.streams import last_id, read
from playground_ext.errors import ConfigError, PartyMissing
from playground_ext.party.identity import Party
from playground_ext.party.lease import is_held, machine

__all__ = ["Lobby", "tell_waiting"]

_RUNS_KEPT = 200  # entries of the `runs` stream
_SLICE = 1.0  # seconds a blocking read lasts


def tell_waiting(url: str, party: Party, failure: Mapping[str, Any]) -> None:
    """`party` failed before it could join a run: tell those who wait for it. `failure` is what `describe` returns.

    Raises:
        ServerError: the server is gone; then nobody waits there.
    """
    connection = Connection(url, name=f"{party.task}:{party.id}:farewell", timeout=5.0)
    try:
        Lobby(connection, party).announce_failure(failure)
    finally:
        connection.close()


class Lobby:
    """One party's view of the meeting place."""

    def __init__(self, connection: Connection, party: Party) -> None:
        self._connection = connection
        self._party = party
        self._keys = TaskKeys(party.task)
        self.failures_since = 0.0  # server time in seconds: failures before it are old news

    def server_time(self) -> float:
        """Seconds since 1970 by the server's clock, the only one that all parties share."""
        seconds, microseconds = self._connection.client.time()
        return seconds + microseconds / 1e6

    def open_run(self, meta: Mapping[str, Any], hello: Mapping[str, Any]) -> RunKeys:
        """Open a new run of this task and make it the current one, in one step."""
        run = secrets.token_hex(6)
        keys = self._keys.of(run)
        fields = {
            "run": self._record(meta),
            "status": "open",
            f"party:{self._party.id}": msgspec.json.encode(hello),
        }
        pipeline = self._connection.client.pipeline(transaction=True)
        pipeline.hset(keys.meta, mapping=cast(Any, fields))
        pipeline.set(self._keys.run, run)
        pipeline.zadd(TASKS, {self._party.task: time.time()}, nx=True)
        pipeline.xadd(self._keys.runs, {"run": run}, maxlen=_RUNS_KEPT, approximate=True)
        pipeline.execute()
        return keys

    def republish(self, keys: RunKeys, meta: Mapping[str, Any]) -> None:
        """Put a run's description back after the server lost its data."""
        pipeline = self._connection.client.pipeline(transaction=True)
        pipeline.hsetnx(keys.meta, "run", cast(str, self._record(meta)))
        pipeline.hsetnx(keys.meta, "status", "running")
        pipeline.set(self._keys.run, keys.run, nx=True)
        pipeline.zadd(TASKS, {self._party.task: time.time()}, nx=True)
        pipeline.execute()

    def set_status(self, keys: RunKeys, status: str) -> None:
        """open (check-in), running, ended, failed."""
        self._connection.client.hset(keys.meta, "status", status)

    def join(self, keys: RunKeys, hello: Mapping[str, Any]) -> int:
        """Enter a run's register. Returns this party's incarnation, counted from 1."""
        client = self._connection.client
        incarnation = int(client.hincrby(keys.meta, f"incarnation:{self._party.id}", 1))
        client.hset(keys.meta, f"party:{self._party.id}", cast(str, msgspec.json.encode(hello)))
        client.hdel(self._keys.lobby, self._party.id)
        return incarnation

    def wait_for_run(
        self, hello: Mapping[str, Any], *, timeout: float, on_wait: Callable[[float], None]
    ) -> tuple[RunKeys, dict[str, Any]]:
        """Wait until the initiator opens a run, or find an open one. `on_wait` gets the seconds left, every second.

        Raises:
            PartyMissing: nobody opened a run within `timeout` seconds.
            ConfigError: the open run does not know this party.
        """
        self._announce({"since": self.server_time(), **hello})
        cursor = last_id(self._connection, self._keys.runs)
        deadline = time.monotonic() + timeout
        while True:
            found = self._joinable()
            if found is not None:
                return found
            left = deadline - time.monotonic()
            if left <= 0:
                self.withdraw()
                raise self._nobody(timeout)
            on_wait(left)
            for entry in read(self._connection, {self._keys.runs: cursor}, block=min(_SLICE, left)):
                cursor = entry.id

    def present(self) -> set[str]:
        """Parties that wait in the lobby now."""
        found: set[str] = set()
        for name, data in self._hash(self._keys.lobby).items():
            record = msgspec.json.decode(data, type=dict[str, Any])
            here = record.get("host") != machine() or is_held(Path(str(record.get("lease"))))
            if "error" not in record and here:
                found.add(name)
        return found & set(self._party.nodes)

    def last_run(self) -> str:
        """What became of the task's current run, for one who comes late; empty if there was none."""
        run = cast("bytes | None", self._connection.client.get(self._keys.run))
        status = self._hash(self._keys.of(run.decode()).meta).get("status", b"") if run else b""
        return {
            b"running": "a run is going on without this party",
            b"ended": "its last run has ended",
            b"failed": "its last run has failed",
        }.get(status, "")

    def failures(self) -> dict[str, dict[str, Any]]:
        """Parties that failed before they could join a run, by their last word."""
        found: dict[str, dict[str, Any]] = {}
        for party, data in self._hash(self._keys.lobby).items():
            record = msgspec.json.decode(data, type=dict[str, Any])
            if "error" in record and party != self._party.id and record.get("time", 0.0) >= self.failures_since:
                found[party] = record
        return found

    def announce_failure(self, failure: Mapping[str, Any]) -> None:
        """Tell those who wait that this party will not come."""
        self._announce({**failure, "time": self.server_time()})

    def withdraw(self) -> None:
        self._connection.client.hdel(self._keys.lobby, self._party.id)

    def _hash(self, key: str) -> dict[str, bytes]:
        fields = cast("dict[bytes, bytes]", self._connection.client.hgetall(key))
        return {name.decode(): value for name, value in fields.items()}

    def _record(self, meta: Mapping[str, Any]) -> bytes:
        shared = {"nodes": list(self._party.nodes), "initiator": self._party.id, "opened": self.server_time()}
        return msgspec.json.encode({**meta, **shared})

    def _announce(self, record: Mapping[str, Any]) -> None:
        pipeline = self._connection.client.pipeline(transaction=True)
        pipeline.hset(self._keys.lobby, self._party.id, cast(str, msgspec.json.encode(record)))
        pipeline.xadd(self._keys.runs, {"lobby": self._party.id}, maxlen=_RUNS_KEPT, approximate=True)
        pipeline.execute()

    def _joinable(self) -> tuple[RunKeys, dict[str, Any]] | None:
        """The current run, if it is open, its initiator lives, and nobody has this party's place in it."""
        run = cast("bytes | None", self._connection.client.get(self._keys.run))
        if run is None:
            return None
        keys = self._keys.of(run.decode())
        fields = self._hash(keys.meta)
        if fields.get("status") != b"open" or "run" not in fields:
            return None
        meta = msgspec.json.decode(fields["run"], type=dict[str, Any])
        if not self._is_alive(fields.get(f"party:{meta['initiator']}"), meta):
            return None
        nodes = [str(node) for node in meta["nodes"]]
        if self._party.id not in nodes or set(nodes) != set(self._party.nodes):
            raise ConfigError(
                f"{meta['initiator']} expects {', '.join(nodes)}; this notebook says {', '.join(self._party.nodes)}",
                party=self._party.id,
                task=self._party.task,
                next_step="give every notebook of the task the same parties (the same number of collaborators)",
            )
        return keys, meta

    def _is_alive(self, hello: bytes | None, meta: Mapping[str, Any]) -> bool:
        """A lease on this machine answers at once; elsewhere a run stays open as long as its check-in."""
        if hello is None:
            return False
        record = msgspec.json.decode(hello, type=dict[str, Any])
        if record.get("host") == machine():
            return is_held(Path(str(record["lease"])))
        return self.server_time() < float(meta.get("opened", 0)) + float(meta.get("check_in_timeout", 0))

    def _nobody(self, timeout: float) -> PartyMissing:
        initiator = self._party.initiator
        late = f" ({last})" if (last := self.last_run()) else ""
        return PartyMissing(
            f"{initiator} did not open task {self._party.task} within {timeout:.0f} s{late}",
            party=self._party.id,
            task=self._party.task,
            next_step=f"run {initiator}'s notebook (same task id, same folder or server), then this one again",
        )
