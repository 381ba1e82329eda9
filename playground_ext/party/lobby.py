"""The lobby: where a task's parties meet, and from which a run starts.

People start notebooks in any order, again and again, so a task has runs. The initiator opens one, the others wait.
Nobody polls: every opening and every change of the lobby is an entry of the task's `runs` stream.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any, cast

import msgspec

from playground_ext.bus.connection import Connection
from playground_ext.bus.keys import TASKS, RunKeys, TaskKeys
from playground_ext.bus.streams import last_id, read
from playground_ext.errors import ConfigError, PartyMissing
from playground_ext.party.identity import Party
from playground_ext.party.lease import machine, still_holds
from playground_ext.party.policy import FailurePolicy
from playground_ext.party.run_record import RunRecord

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

    def republish(
        self, keys: RunKeys, meta: Mapping[str, Any], *, status: str, hello: Mapping[str, Any], incarnation: int
    ) -> None:
        """Put back what a server that lost its data should know of a run and of this party."""
        pipeline = self._connection.client.pipeline(transaction=True)
        pipeline.hsetnx(keys.meta, "run", cast(str, self._record(meta)))
        pipeline.hsetnx(keys.meta, "status", status)
        pipeline.hsetnx(keys.meta, f"party:{self._party.id}", cast(str, msgspec.json.encode(hello)))
        pipeline.hsetnx(keys.meta, f"incarnation:{self._party.id}", str(incarnation))
        pipeline.set(self._keys.run, keys.run, nx=True)
        pipeline.zadd(TASKS, {self._party.task: time.time()}, nx=True)
        pipeline.execute()

    def set_status(self, keys: RunKeys, status: str) -> None:
        """open (check-in), running, ended, failed."""
        self._connection.client.hset(keys.meta, "status", status)

    def reopen(self, record: RunRecord) -> RunKeys:
        """Open a run again whose parties are all gone; what they said before counts no more."""
        keys = self._keys.of(record.run)
        floors = {party: incarnation for party, (incarnation, _) in self.members(keys).items()}
        fields = {"run": self._record(record.meta), "status": "open", "floors": msgspec.json.encode(floors)}
        pipeline = self._connection.client.pipeline(transaction=True)
        pipeline.hset(keys.meta, mapping=cast(Any, fields))
        pipeline.set(self._keys.run, record.run)
        pipeline.zadd(TASKS, {self._party.task: time.time()}, nx=True)
        pipeline.xadd(self._keys.runs, {"run": record.run}, maxlen=_RUNS_KEPT, approximate=True)
        pipeline.execute()
        return keys

    def lives_on(self, record: RunRecord) -> bool:
        """Is the run that this party once joined still the task's, and can its part in it be done?

        Then somebody of it is alive, or has done its own part; and the run is one that waits for those who were lost.
        """
        keys = self._keys.of(record.run)
        if self._connection.client.get(self._keys.run) != record.run.encode():
            return False
        status = self.status(keys)
        if status == "ended":
            return True
        if status not in ("open", "running") or not FailurePolicy.of(record.meta).wait:
            return False
        others = {party: hello for party, (_, hello) in self.members(keys).items() if party != self._party.id}
        return any(self._takes_part(keys, party, hello) for party, hello in others.items())

    def status(self, keys: RunKeys) -> str:
        """open (check-in), running, ended, failed; empty if the server does not know the run."""
        return (cast("bytes | None", self._connection.client.hget(keys.meta, "status")) or b"").decode()

    def floors(self, keys: RunKeys) -> dict[str, int]:
        """Incarnations whose words count no more, since the run was opened again."""
        data = cast("bytes | None", self._connection.client.hget(keys.meta, "floors"))
        return msgspec.json.decode(data, type=dict[str, int]) if data else {}

    def members(self, keys: RunKeys) -> dict[str, tuple[int, dict[str, Any]]]:
        """Who has joined the run, by party: its incarnation, and the hello that it said last."""
        fields = self._hash(keys.meta)
        found = {}
        for name, value in fields.items():
            if name.startswith("party:"):
                party = name.removeprefix("party:")
                incarnation = int(fields.get(f"incarnation:{party}", b"1"))
                found[party] = incarnation, msgspec.json.decode(value, type=dict[str, Any])
        return found

    def _takes_part(self, keys: RunKeys, party: str, hello: Mapping[str, Any]) -> bool:
        """It is inside the run, or has done its part; of one on another machine its last word tells."""
        last = cast(Any, self._connection.client).xrevrange(keys.control(party), count=1)
        kind, body = (last[0][1].get(b"k", b""), last[0][1].get(b"m", b"")) if last else (b"", b"")
        if kind == b"end":
            return b'"completed"' in body
        if hello.get("host") == machine():
            return still_holds(hello)
        return kind not in (b"", b"fail")

    def join(self, keys: RunKeys, hello: Mapping[str, Any], *, at_least: int = 1) -> int:
        """Enter a run's register. Returns this party's incarnation, counted from 1.

        `at_least`: what a server that lost its data cannot know.
        """
        client = self._connection.client
        incarnation = int(client.hincrby(keys.meta, f"incarnation:{self._party.id}", 1))
        if incarnation < at_least:
            incarnation = at_least
            client.hset(keys.meta, f"incarnation:{self._party.id}", str(at_least))
        client.hset(keys.meta, f"party:{self._party.id}", cast(str, msgspec.json.encode(hello)))
        client.hdel(self._keys.lobby, self._party.id)
        return incarnation

    def wait_for_run(
        self,
        hello: Mapping[str, Any],
        *,
        timeout: float,
        on_wait: Callable[[float], None],
        record: RunRecord | None = None,
    ) -> tuple[RunKeys, dict[str, Any]]:
        """Wait until the initiator opens a run, or find an open one. `on_wait` gets the seconds left, every second.

        `record`: a run that this party has not finished, to which it goes back if that lives on.

        Raises:
            PartyMissing: nobody opened a run within `timeout` seconds.
            ConfigError: the open run does not know this party.
        """
        self._announce({"since": self.server_time(), **hello})
        cursor = last_id(self._connection, self._keys.runs)
        deadline = time.monotonic() + timeout
        while True:
            found = self._joinable()
            if found is None and record is not None and self.lives_on(record):
                found = self._keys.of(record.run), record.meta
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
            here = record.get("host") != machine() or still_holds(record)
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

    def failed_run(self) -> tuple[str, dict[str, Any]] | None:
        """If the current run opened since `failures_since` and has failed: who failed, and what it said."""
        run = cast("bytes | None", self._connection.client.get(self._keys.run))
        if run is None:
            return None
        keys = self._keys.of(run.decode())
        fields = self._hash(keys.meta)
        meta = msgspec.json.decode(fields.get("run", b"{}"), type=dict[str, Any])
        if fields.get("status") != b"failed" or float(meta.get("opened", 0.0)) < self.failures_since:
            return None
        for party in meta.get("nodes", ()):
            last = cast(Any, self._connection.client).xrevrange(keys.control(party), count=1)
            if last and last[0][1].get(b"k") == b"fail":
                return party, msgspec.json.decode(last[0][1][b"m"], type=dict[str, Any])
        return None

    def announce_failure(self, failure: Mapping[str, Any]) -> None:
        """Tell those who wait that this party will not come."""
        self._announce({**failure, "time": self.server_time()})

    def withdraw(self) -> None:
        self._connection.client.hdel(self._keys.lobby, self._party.id)

    def _hash(self, key: str) -> dict[str, bytes]:
        fields = cast("dict[bytes, bytes]", self._connection.client.hgetall(key))
        return {name.decode(): value for name, value in fields.items()}

    def _record(self, meta: Mapping[str, Any]) -> bytes:
        shared = {"nodes": list(self._party.nodes), "initiator": self._party.initiator, "opened": self.server_time()}
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
            return still_holds(record)
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
