"""Watch: a thread that speaks for this party, listens to the others, and interrupts a computation that lost its sense.

It posts to this party's control stream (and a heartbeat when nothing else was said), reads the others' control streams,
and looks at their leases. The main thread asks it what the others last said, waits on it, and marks the calls into user
code during which a failure elsewhere may interrupt it.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import redis

from playground_ext.bus.connection import Connection
from playground_ext.bus.envelope import Control, decode_control
from playground_ext.bus.keys import RunKeys, TaskKeys
from playground_ext.bus.streams import last_id, read
from playground_ext.errors import (
    PartyFailed,
    PlaygroundError,
    RoundInterrupted,
    RunReplaced,
    ServerUnreachable,
)
from playground_ext.party.lease import machine, still_holds
from playground_ext.party.policy import FailurePolicy
from playground_ext.party.status import HEARTBEAT, PartyStatus, died, failed
from playground_ext.party.voice import Voice

__all__ = ["Watch"]

LEASE_CHECK = 1.0  # seconds between looks at the others' leases
LOST = 600.0  # seconds without a sign of life after which a party on another machine counts as dead
_BLOCK = 0.5  # seconds a blocking read lasts

logger = logging.getLogger("playground")


class Watch:
    """One party's ears and voice in one run. Implements `bus.mailbox.Guard`.

    `policy` says what a failure elsewhere means once the rounds have begun (`running`): the end, or that the party is
    lost until it comes back. `floors`: incarnations whose words count no more, because the run was opened again.
    """

    def __init__(
        self,
        url: str,
        keys: RunKeys,
        me: str,
        peers: Sequence[str],
        *,
        incarnation: int,
        policy: FailurePolicy,
        is_initiator: bool,
        floors: Mapping[str, int] | None = None,
        on_ack: Callable[[str, int, int], None] = lambda receiver, incarnation, seq: None,
    ) -> None:
        self.policy = policy
        self.is_initiator = is_initiator
        self.running = False  # the rounds have begun
        self._before: dict[str, int] = {}  # incarnations of the others, if the rounds had ended when this one came back
        self.checkpoint: int | None = None  # the newest round that this party has on its disk
        self.incarnation = incarnation
        self._floors = dict(floors or {})
        self._together: dict[str, int] | None = None  # incarnations that take part in what cannot go on without them
        self._calm_since = 0.0
        self.statuses: dict[str, PartyStatus] = {peer: PartyStatus() for peer in peers}
        self.failure: PlaygroundError | None = None
        self.interrupted = False  # the main thread, by this watch; otherwise a KeyboardInterrupt is the user's
        self.on_ack = on_ack
        self.arrivals: Callable[[], list[tuple[str, str, float]]] = list  # messages that were taken lately
        self.on_reconnect: Callable[[Connection], None] = lambda connection: None
        self.on_change: Callable[[str, str], None] = lambda party, kind: None
        self._url, self._keys, self._me = url, keys, me
        self._control = {keys.control(peer): peer for peer in peers}
        self._cursors: dict[str, str] = {key: "0-0" for key in self._control}
        self._runs_key = TaskKeys(keys.task).runs
        self._voice = Voice(url, keys, me, incarnation=incarnation)
        self._progress: dict[str, Any] = {"state": "starting", "round": None}
        self._listening: Connection | None = None
        self._changed = threading.Condition()
        self._stopped = threading.Event()
        self._interruptible: int | None = None
        self._thread = threading.Thread(target=self._listen, name=f"playground-watch-{me}", daemon=True)

    # -- speaking ---------------------------------------------------------------------------------------------------

    def start(
        self,
        hello: Mapping[str, Any],
        known: Mapping[str, tuple[int, dict[str, Any]]] | None = None,
        *,
        over: bool = False,
    ) -> None:
        """Say hello and begin to listen. `known`: who has joined before, with incarnation: long ago is trimmed.

        `over`: this party comes back to a run whose rounds have ended.
        """
        for party, (incarnation, theirs) in (known or {}).items():
            if over:
                self._before[party] = incarnation
            if incarnation > self._floors.get(party, 0):
                self.statuses[party] = PartyStatus(
                    hello=theirs, state="here", heard=time.monotonic(), incarnation=incarnation
                )
        self.post("hello", hello)
        self._thread.start()

    def post(self, kind: str, body: Mapping[str, Any]) -> None:
        """Say something to everybody. Raises like `Voice.post`."""
        self._voice.post(kind, body)

    def say(self, state: str, *, round: int | None = None, **more: Any) -> None:
        """Tell everybody what the main thread is doing; heartbeats repeat it."""
        self._progress = {"state": state, "round": round, **more}
        self.post_progress()

    def post_progress(self) -> None:
        """Repeat what the main thread is doing, and say what it has taken since."""
        more = {"checkpoint": self.checkpoint, "at": time.time(), "taken": self.arrivals()}
        self.post("progress", {**self._progress, **more})

    @property
    def progress_round(self) -> int | None:
        """The round that the main thread is in."""
        round: int | None = self._progress["round"]
        return round

    # -- Guard ------------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Raises what ends this party's part; RoundInterrupted if somebody was lost since `together`."""
        if self.failure is not None:
            raise self.failure
        for party, incarnation in (self._together or {}).items():
            status = self.statuses.get(party)  # an older incarnation: the one who began has heard its return before us
            gone = status is not None and status.incarnation == incarnation and status.lost is not None
            if gone or (status is not None and status.incarnation > incarnation):
                raise RoundInterrupted(f"{party} was lost", party=party, task=self._keys.task)

    def is_lost(self, party: str) -> bool:
        return self.statuses[party].lost is not None

    def calm_since(self) -> float:
        return time.monotonic() if self.missed() else self._calm_since

    def missed(self) -> list[str]:
        """Parties that are lost and without which the task cannot go on."""
        return [party for party, status in self.statuses.items() if status.lost and not self._is_dispensable(party)]

    def together(self, incarnations: Mapping[str, int] | None) -> None:
        """From now on `check` raises RoundInterrupted when one of these parties is lost or replaced; None: no more."""
        self._together = None if incarnations is None else dict(incarnations)

    def incarnations(self) -> dict[str, int]:
        """How often everybody has joined."""
        return {self._me: self.incarnation, **{party: status.incarnation for party, status in self.statuses.items()}}

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
        ignored = False
        if threading.current_thread() is threading.main_thread() and hasattr(signal, "pthread_kill"):
            ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN  # as a shell's background jobs inherit it
            if ignored:
                signal.signal(signal.SIGINT, signal.default_int_handler)
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
            if ignored:
                signal.signal(signal.SIGINT, signal.SIG_IGN)

    def stop(self) -> None:
        self._stopped.set()
        if (listening := self._listening) is not None:
            listening.interrupt()
        if self._thread.is_alive():
            self._thread.join(timeout=5)
        self._voice.close()

    # -- listening --------------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        connection: Connection | None = None
        heard = False
        leases_checked = time.monotonic()
        pause = 0.05
        while not self._stopped.is_set():
            try:
                if connection is None:
                    connection = self._listening = Connection(self._url, name=f"{self._keys.task}:{self._me}:watch")
                    if heard:
                        self.on_reconnect(connection)
                        self._voice.repeat()
                    heard = True
                    self._skip_old_runs(connection)
                self._read(connection, _BLOCK)
                if time.monotonic() - self._voice.spoke > HEARTBEAT:
                    self.post_progress()
                if time.monotonic() - leases_checked > LEASE_CHECK:
                    leases_checked = time.monotonic()
                    self._check_leases(connection)
                    self._check_patience()
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
        if control.incarnation <= self._floors.get(control.sender, 0) or control.incarnation < status.incarnation:
            return
        status.heard = time.monotonic()
        match control.kind:
            case "hello":
                self._welcome(control)
            case "check-in":
                status.check_in, status.state = control.body, "ready"
            case "start":
                status.start = control.body
            case "progress":
                status.state, status.round = str(control.body.get("state")), control.body.get("round")
                status.checkpoint = control.body.get("checkpoint")
            case "ack":
                status.checkpoint = control.body.get("checkpoint")
                cursor = control.body.get("cursors", {}).get(self._me)
                if cursor:
                    self.on_ack(control.sender, int(cursor[0]), int(cursor[1]))
            case "fail":
                self._on_failure(control)
            case "end":
                status.ended = control.body
                if control.body.get("status") == "left":  # interrupted before the start: it may come back
                    status.hello = status.check_in = None
        self.on_change(control.sender, control.kind)
        with self._changed:
            self._changed.notify_all()

    def _check_leases(self, connection: Connection) -> None:
        for party, status in self.statuses.items():
            if status.hello is None or status.ended or status.failure or status.lost or status.heard is None:
                continue
            if self._is_past(party, status.incarnation):
                continue
            if status.hello.get("host") == machine():
                dead = not still_holds(status.hello)
            else:
                dead = time.monotonic() - status.heard > LOST
            if dead:
                self._read(connection, None)  # its farewell may be waiting in the stream
                if status.ended is None and status.failure is None:
                    self._lose(party, died(party, self._keys.task, status))

    def _welcome(self, control: Control) -> None:
        """A party has joined, or come back."""
        before = self.statuses[control.sender]
        now = time.monotonic()
        status = self.statuses[control.sender] = PartyStatus(
            hello=control.body,
            state="starting",
            heard=now,
            incarnation=control.incarnation,
            checkpoint=control.body.get("checkpoint"),
            start=before.start,
            check_in=before.check_in if self.running else None,
        )
        if self.running and before.incarnation and before.incarnation < control.incarnation:
            self._calm_since = now
            logger.info("%s is back (it has joined for the %d. time)", control.sender, status.incarnation)

    def _is_past(self, party: str, incarnation: int) -> bool:
        """It missed the end of the run, as this party did; what became of it then keeps nobody from reading the end."""
        return incarnation <= self._before.get(party, 0)

    def _on_failure(self, control: Control) -> None:
        if self._is_past(control.sender, control.incarnation):
            return
        status = self.statuses[control.sender]
        error = failed(control.sender, self._keys.task, control.body)
        if control.body.get("ends"):
            status.failure = control.body
            self._fail(error)
        elif not self.running and self.policy.wait:  # its notebook will be run again, and check in again
            status.hello = status.check_in = None
            status.state = "failed"
            logger.warning("%s; waiting until its notebook is run again", error.what)
        else:
            status.failure = control.body
            self._lose(control.sender, error)

    def _lose(self, party: str, error: PartyFailed) -> None:
        """A party failed or died: the end for everybody, or the begin of a wait."""
        status = self.statuses[party]
        bearable = self.running and (self.policy.wait or self._is_dispensable(party))
        if not bearable:
            if not self.running and self.policy.wait and status.failure is None:
                status.hello = status.check_in = None
                logger.warning("%s; waiting until its notebook is run again", error.what)
            else:
                self._fail(error)
            return
        status.lost, status.lost_since = error, time.monotonic()
        if self._is_dispensable(party):
            logger.warning("%s; going on without it (quorum %d)", error.what, self.policy.quorum)
        else:
            patience = f"at most {self.policy.repair_timeout:.0f} s " if self.policy.repair_timeout else ""
            logger.warning("%s; waiting %suntil its notebook is run again", error.what, patience)
        with self._changed:
            self._changed.notify_all()

    def _is_dispensable(self, party: str) -> bool:
        """With a quorum, collaborators may be missing as long as enough others are here."""
        initiator = self.statuses[party].hello is not None and (self.statuses[party].hello or {}).get("initiator")
        if not self.policy.quorum or initiator:
            return False
        others = [name for name, status in self.statuses.items() if not (status.hello or {}).get("initiator")]
        here = len([name for name in others if name != party and self.statuses[name].lost is None])
        return here + (0 if self.is_initiator else 1) >= self.policy.quorum

    def _check_patience(self) -> None:
        """Nobody waits for ever."""
        for party in self.missed():
            status = self.statuses[party]
            waited = time.monotonic() - status.lost_since
            late = self.policy.repair_timeout and waited > self.policy.repair_timeout
            if late and status.lost is not None and self.failure is None:
                lost = status.lost
                lost.what += f"; it did not come back within {self.policy.repair_timeout:.0f} s"
                self._fail(lost)

    def _fail(self, error: PlaygroundError) -> None:
        with self._changed:
            if self.failure is None:
                self.failure = error
                if self._interruptible is not None:
                    self.interrupted = True
                    signal.pthread_kill(self._interruptible, signal.SIGINT)
            self._changed.notify_all()
