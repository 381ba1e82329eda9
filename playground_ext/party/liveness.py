"""Watch: a thread that speaks for this party, listens to the others, and interrupts a computation that lost its sense.

It posts to this party's control stream (and a heartbeat when nothing else was said), reads the others' control streams,
and looks at their leases. The main thread asks it what the others last said, waits on it, and marks the calls into user
code during which a failure elsewhere may interrupt it.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import redis

from playground_ext.bus.connection import Connection
from playground_ext.bus.envelope import Control, decode_control, encode_control, parse_id
from playground_ext.bus.keys import RunKeys, TaskKeys
from playground_ext.bus.outgoing import replaced
from playground_ext.bus.streams import last_id, read
from playground_ext.errors import PartyDied, PartyFailed, PlaygroundError, RunReplaced, ServerError, ServerUnreachable
from playground_ext.party.lease import is_held, machine

__all__ = ["PartyStatus", "Watch"]

HEARTBEAT = 2.0  # seconds of silence before the watch speaks by itself
LEASE_CHECK = 1.0  # seconds between looks at the others' leases
LOST = 600.0  # seconds without a sign of life after which a party on another machine counts as dead
CONTROL_KEPT = 2000  # entries of a control stream
_BLOCK = 0.5  # seconds a blocking read lasts


@dataclass
class PartyStatus:
    """What one other party last said."""

    hello: dict[str, Any] | None = None  # pid, host, lease, role: it has joined
    check_in: dict[str, Any] | None = None
    start: dict[str, Any] | None = None  # the initiator's word that the rounds begin
    state: str = "not here"
    round: int | None = None
    heard: float | None = None  # monotonic time of the last sign of life
    failure: dict[str, Any] | None = None
    ended: dict[str, Any] | None = None

    def last_word(self) -> str:
        if self.heard is None or self.hello is None:
            return "it never joined this run (is its notebook running?)"
        ago = time.monotonic() - self.heard
        of_round = "" if self.round is None else f" in round {self.round}"
        if self.ended is not None:
            return f"it has left the run{of_round}"
        hint = " (is its kernel running?)" if ago > 5 * HEARTBEAT else ""
        return f"it was {self.state}{of_round}, its last sign of life was {ago:.0f} s ago{hint}"


class Watch:
    """One party's ears and voice in one run. Implements `bus.mailbox.Guard`."""

    def __init__(
        self,
        url: str,
        keys: RunKeys,
        me: str,
        peers: Sequence[str],
        *,
        incarnation: int,
        on_ack: Callable[[str, int, int], None] = lambda receiver, incarnation, seq: None,
    ) -> None:
        self.statuses: dict[str, PartyStatus] = {peer: PartyStatus() for peer in peers}
        self.failure: PlaygroundError | None = None
        self.interrupted = False  # the main thread, by this watch; otherwise a KeyboardInterrupt is the user's
        self.on_ack = on_ack
        self.on_change: Callable[[str, str], None] = lambda party, kind: None
        self._url, self._keys, self._me, self._incarnation = url, keys, me, incarnation
        self._control = {keys.control(peer): peer for peer in peers}
        self._cursors: dict[str, str] = {key: "0-0" for key in self._control}
        self._runs_key = TaskKeys(keys.task).runs
        self._voice = Connection(url, name=f"{keys.task}:{me}:control")
        self._voice_lock = threading.Lock()
        self._seq = 0
        self._said: list[
            tuple[str, dict[bytes, bytes]]
        ] = []  # everything but heartbeats, for a server without its data
        self._progress: dict[str, Any] = {"state": "starting", "round": None}
        self._spoke = 0.0
        self._changed = threading.Condition()
        self._stopped = threading.Event()
        self._interruptible: int | None = None
        self._thread = threading.Thread(target=self._listen, name=f"playground-watch-{me}", daemon=True)

    # -- speaking ---------------------------------------------------------------------------------------------------

    def start(self, hello: Mapping[str, Any]) -> None:
        self.post("hello", hello)
        self._thread.start()

    def post(self, kind: str, body: Mapping[str, Any]) -> None:
        """Say something to everybody.

        Raises:
            PartyReplaced: another notebook has joined as this party.
            ServerUnreachable: the server is gone.
        """
        fields = encode_control(kind, body)
        with self._voice_lock:
            self._seq += 1
            entry_id = f"{self._incarnation}-{self._seq}"
            if kind not in ("progress", "ack"):
                self._said.append((entry_id, fields))
            self._add(entry_id, fields)
            self._spoke = time.monotonic()

    def _add(self, entry_id: str, fields: dict[bytes, bytes]) -> None:
        key = self._keys.control(self._me)
        try:
            self._voice.client.xadd(key, cast(Any, fields), id=entry_id, maxlen=CONTROL_KEPT, approximate=True)
        except (redis.ConnectionError, redis.TimeoutError, ServerUnreachable):
            self._voice.reconnect()
            self._repeat()
        except redis.ResponseError as error:
            if "equal or smaller" not in str(error):
                raise ServerError(f"the server refused a control message: {error}", party=self._me) from error
            if parse_id(last_id(self._voice, key), self._me)[0] > self._incarnation:
                raise replaced(self._me) from error

    def _repeat(self) -> None:
        """After a reconnect: say again what the server does not have."""
        key = self._keys.control(self._me)
        for entry_id, fields in self._said:
            try:
                self._voice.client.xadd(key, cast(Any, fields), id=entry_id)
            except redis.ResponseError as error:
                if "equal or smaller" not in str(error):
                    raise

    def say(self, state: str, *, round: int | None = None, **more: Any) -> None:
        """Tell everybody what the main thread is doing; heartbeats repeat it."""
        self._progress = {"state": state, "round": round, **more}
        self.post("progress", self._progress)

    @property
    def progress_round(self) -> int | None:
        """The round that the main thread is in."""
        round: int | None = self._progress["round"]
        return round

    # -- Guard ------------------------------------------------------------------------------------------------------

    def check(self) -> None:
        if self.failure is not None:
            raise self.failure

    def last_word(self, party: str) -> str:
        return self.statuses[party].last_word() if party in self.statuses else "unknown party"

    def wait(self, timeout: float) -> None:
        with self._changed:
            self._changed.wait(timeout)

    def wait_until(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Wait for something about the others, at most `timeout` seconds. Raises like `check`."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while not condition():
                self.check()
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(min(left, 1.0))
        return True

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Around user code: a failure elsewhere interrupts it instead of waiting for its end."""
        self.check()
        if threading.current_thread() is threading.main_thread() and hasattr(signal, "pthread_kill"):
            with self._changed:
                self._interruptible = threading.get_ident()
        try:
            yield
        except KeyboardInterrupt:
            if self.interrupted and self.failure is not None:
                raise self.failure from None
            raise
        finally:
            with self._changed:
                self._interruptible = None

    def stop(self) -> None:
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)
        self._voice.close()

    # -- listening --------------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        connection: Connection | None = None
        leases_checked = time.monotonic()
        pause = 0.05
        while not self._stopped.is_set():
            try:
                if connection is None:
                    connection = Connection(self._url, name=f"{self._keys.task}:{self._me}:watch")
                    self._skip_old_runs(connection)
                self._read(connection, _BLOCK)
                if time.monotonic() - self._spoke > HEARTBEAT:
                    self.post("progress", self._progress)
                if time.monotonic() - leases_checked > LEASE_CHECK:
                    leases_checked = time.monotonic()
                    self._check_leases(connection)
                pause = 0.05
            except (redis.ConnectionError, redis.TimeoutError, ServerUnreachable):
                if connection is not None:
                    connection.close()
                connection = None
                self._stopped.wait(pause)
                pause = min(2 * pause, 1.0)
            except PlaygroundError as error:
                self._fail(error)
        if connection is not None:
            connection.close()

    def _skip_old_runs(self, connection: Connection) -> None:
        if self._runs_key not in self._cursors:
            self._cursors[self._runs_key] = last_id(connection, self._runs_key)

    def _read(self, connection: Connection, block: float | None) -> None:
        for entry in read(connection, self._cursors, block=block):
            self._cursors[entry.key] = entry.id
            if entry.key == self._runs_key:
                self._on_runs(entry.fields)
            else:
                self._on_control(decode_control(self._control[entry.key], entry.id, entry.fields))

    def _on_runs(self, fields: Mapping[bytes, bytes]) -> None:
        run = fields.get(b"run", b"").decode()
        if run and run != self._keys.run:
            self._fail(
                RunReplaced(
                    f"the initiator of task {self._keys.task} has opened a new run",
                    party=self._me,
                    task=self._keys.task,
                    next_step="run this notebook again to join it",
                )
            )

    def _on_control(self, control: Control) -> None:
        status = self.statuses[control.sender]
        status.heard = time.monotonic()
        match control.kind:
            case "hello":
                status.hello, status.state, status.ended = control.body, "starting", None
            case "check-in":
                status.check_in, status.state = control.body, "ready"
            case "start":
                status.start = control.body
            case "progress":
                status.state, status.round = str(control.body.get("state")), control.body.get("round")
            case "ack":
                cursor = control.body.get("cursors", {}).get(self._me)
                if cursor:
                    self.on_ack(control.sender, int(cursor[0]), int(cursor[1]))
            case "fail":
                status.failure = control.body
                self._fail(failed(control.sender, self._keys.task, control.body))
            case "end":
                status.ended = control.body
                if control.body.get("status") == "left":  # interrupted before the start: it may come back
                    status.hello = status.check_in = None
        self.on_change(control.sender, control.kind)
        with self._changed:
            self._changed.notify_all()

    def _check_leases(self, connection: Connection) -> None:
        for party, status in self.statuses.items():
            if status.hello is None or status.ended is not None or status.failure is not None or status.heard is None:
                continue
            if status.hello.get("host") == machine():
                dead = not is_held(Path(str(status.hello.get("lease"))))
            else:
                dead = time.monotonic() - status.heard > LOST
            if dead:
                self._read(connection, None)  # its farewell may be waiting in the stream
                if status.ended is None and status.failure is None:
                    self._fail(died(party, self._keys.task, status))

    def _fail(self, error: PlaygroundError) -> None:
        with self._changed:
            if self.failure is None:
                self.failure = error
                if self._interruptible is not None:
                    self.interrupted = True
                    signal.pthread_kill(self._interruptible, signal.SIGINT)
            self._changed.notify_all()


def failed(party: str, task: str, body: Mapping[str, Any]) -> PartyFailed:
    """The error that everybody else raises when `party` failed."""
    place = ", ".join(str(body[key]) for key in ("notebook", "cell", "line") if body.get(key))
    return PartyFailed(
        f"{party} failed{f' ({place})' if place else ''}: {body.get('error', 'unknown error')}",
        party=party,
        task=task,
        round=body.get("round"),
        next_step=f"mend it in {party}'s notebook, then run all parties again",
        details=str(body.get("traceback", "")),
    )


def died(party: str, task: str, status: PartyStatus) -> PartyDied:
    pid = (status.hello or {}).get("pid")
    return PartyDied(
        f"{party} is gone: its process{f' {pid}' if pid else ''} ended without a word while it was {status.state}",
        party=party,
        task=task,
        round=status.round,
        next_step=f"look at {party}'s kernel (killed? out of memory?), then run all parties again",
    )
