"""Session: one party inside one run, from the lobby to the last log line."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

import msgspec
import redis

from playground_ext import settings
from playground_ext.bus.connection import Connection
from playground_ext.bus.keys import TaskKeys
from playground_ext.bus.mailbox import Mailbox
from playground_ext.bus.steps import around
from playground_ext.errors import (
    PartyReplaced,
    PlaygroundError,
    ServerError,
)
from playground_ext.logs.session import LogSession
from playground_ext.party.checkpoint import Checkpoints
from playground_ext.party.context import server_url
from playground_ext.party.failure import is_interactive, shorten
from playground_ext.party.identity import Party
from playground_ext.party.lease import Lease, machine
from playground_ext.party.liveness import Watch
from playground_ext.party.lobby import Lobby
from playground_ext.party.outbox import MemoryOutbox, Outbox
from playground_ext.party.policy import FailurePolicy
from playground_ext.party.process_age import process_age
from playground_ext.party.recording import Recorder, recorded_rounds, rounds_bytes
from playground_ext.party.run_record import RunRecord
from playground_ext.party.storage import PartyFolder, RunFolder
from playground_ext.scheduler.farewell import Farewell
from playground_ext.scheduler.gathering import Gathering
from playground_ext.scheduler.metrics import Metrics

__all__ = ["Session"]


logger = logging.getLogger("playground")


class Session:
    """Joins the run on entering; on leaving tells the others how it ended, and shows their last lines.

    `meta` describes the run (algorithm, constructor arguments, failure policy) and is the initiator's to set; the
    others read it from `self.meta`. A party that left its run unfinished, while others of it are still there, goes back
    to it; `restored` is what its newest checkpoint holds. `durable`: messages must survive this process, because the
    party does not compute them again when it comes back.
    """

    keys: Any
    meta: dict[str, Any]
    folder: RunFolder
    mailbox: Mailbox
    watch: Watch
    metrics: Metrics
    checkpoints: Checkpoints
    replays = False  # a round that was recorded

    def __init__(
        self,
        party: Party,
        *,
        role: str,
        meta: Mapping[str, Any],
        kinds: Collection[str],
        durable: bool = True,
        keep_rounds: int | None = 1,
    ) -> None:
        known = settings.read()
        self.party = party
        self.role = role
        self.interactive = is_interactive()
        default = settings.CHECK_IN_INTERACTIVE if self.interactive else settings.CHECK_IN_BATCH
        self.check_in_timeout = default if known.check_in_timeout is None else known.check_in_timeout
        self.started = time.monotonic()
        self._given_meta = {**meta, "check_in_timeout": self.check_in_timeout}
        self._kinds = kinds
        self._keep = keep_rounds
        self._durable = durable
        self._resume = known.resume
        self.restored: dict[str, Any] | None = None
        self._cursors_saved: dict[str, tuple[int, int]] = {}  # of the newest durable checkpoint
        self._cleanup = contextlib.ExitStack()
        self._party_folder = PartyFolder.of(party.task, party.id)
        self._logs = LogSession(party.id, self._party_folder.logs, level=known.log_level)
        self._lease = Lease(self._party_folder.lease, party=party.id, task=party.task, notebook=known.notebook)

    # -- joining ----------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        try:
            self._logs.start()
            self._cleanup.callback(self._logs.stop)
            self._lease.acquire()
            self._cleanup.callback(self._lease.release)
            self.url = server_url()
            self._connection = Connection(self.url, name=f"{self.party.task}:{self.party.id}:main")
            self._cleanup.callback(self._connection.close)
            self._lobby = Lobby(self._connection, self.party)
            self._lobby.failures_since = self._lobby.server_time() - process_age()
            self._gathering = Gathering(
                self.party, self._lobby, self._logs, timeout=self.check_in_timeout, interactive=self.interactive
            )
            self._join()
        except BaseException as error:
            if isinstance(error, PlaygroundError):
                error.located(party=self.party.id, task=self.party.task)
            if isinstance(error, KeyboardInterrupt):
                shorten(error)
            self._cleanup.close()
            raise
        return self

    def _join(self) -> None:
        hello: dict[str, Any] = {
            "pid": os.getpid(),
            "host": machine(),
            "lease": str(self._lease.path),
            "lease_since": self._lease.since,
            "role": self.role,
            "initiator": self.party.is_initiator,
            "notebook": settings.read().notebook,
            "folder": str(self._party_folder.root),
        }
        record = self._unfinished()
        if self.party.is_initiator:
            self._open(record, hello)
        else:
            try:
                self.keys, self.meta = self._lobby.wait_for_run(
                    hello, timeout=self._gathering.timeout, on_wait=self._gathering.show_lobby, record=record
                )
            except KeyboardInterrupt:
                self._lobby.withdraw()
                raise
            finally:
                self._logs.status(None)
            self.party = replace(self.party, nodes=tuple(self.meta["nodes"]), leader=self.meta["initiator"])
        came_back = record is not None and record.run == self.keys.run
        incarnation = self._lobby.join(
            self.keys, hello, at_least=record.incarnation + 1 if came_back and record is not None else 1
        )
        self.folder = self._party_folder.run(self.keys.run)
        self._record = RunRecord(
            self.keys.run,
            self.meta,
            incarnation,
            settings.read().notebook,
            check_ins=record.check_ins if came_back and record is not None else None,
        )
        self._record.save(self.folder.root)
        self.checkpoints = Checkpoints(
            self.folder.checkpoints,
            kept=None if self._keep is None else max(self._keep + 1, 2 if self._durable else 3),
        )
        self._recorder = Recorder(self.folder.recordings, keep=self._keep)
        self._cleanup.callback(self._recorder.close)
        if came_back:
            self.restored = self.checkpoints.newest()
        hello["checkpoint"] = self._newest_round()
        self.policy = FailurePolicy.of(self.meta)
        self.watch = Watch(
            self.url,
            self.keys,
            self.party.id,
            self.party.peers,
            incarnation=incarnation,
            policy=self.policy,
            is_initiator=self.party.is_initiator,
            floors=self._lobby.floors(self.keys),
        )
        self._hello = hello
        self.run_ended = came_back and self._lobby.status(self.keys) == "ended"
        self._cleanup.callback(self.watch.stop)
        self.watch.running = came_back and self._lobby.status(self.keys) in ("running", "ended")
        self.watch.checkpoint = hello["checkpoint"]
        self.mailbox = Mailbox(
            self.url,
            self.keys,
            self.party.id,
            self.party.peers,
            incarnation=incarnation,
            outbox=Outbox(self.folder.outbox) if self._durable else MemoryOutbox(copy=True),
            guard=self.watch,
            kinds=self._kinds,
            on_reconnect=self._restore_run,
            recorder=self._recorder if self._keep != 0 else None,
        )
        self._cleanup.callback(self.mailbox.close)
        self.watch.on_ack = self.mailbox.acknowledged
        self.watch.arrivals = self.mailbox.arrivals
        self.watch.on_reconnect = self._restore_run
        self._farewell = Farewell(
            self.party, self.keys, watch=self.watch, mailbox=self.mailbox, logs=self._logs, lobby=self._lobby
        )
        self.metrics = Metrics(self.party.id, self.folder.results, self._publish_metrics)
        self._cleanup.callback(self.metrics.close)
        self._logs.publish(self.url, self.keys, self.party.nodes)
        known = {party: m for party, m in self._lobby.members(self.keys).items() if party in self.party.peers}
        self.watch.start(hello, known, over=self.run_ended)

    def _unfinished(self) -> RunRecord | None:
        """The run that this party was last in, if it has not done its part of it."""
        last = self._party_folder.last_run
        record = None if last is None or last.report.exists() else RunRecord.load(last.root)
        return None if record is None or record.finished else record

    def _open(self, record: RunRecord | None, hello: Mapping[str, Any]) -> None:
        """Go back to the unfinished run, or open a new one."""
        if record is not None and _same_configuration(record.meta, self._given_meta):
            self.meta = {**record.meta, "policy": self._given_meta["policy"]} if self._resume else record.meta
            if self._lobby.lives_on(record):
                self.keys = TaskKeys(self.party.task).of(record.run)
                return
            if self._resume:
                self.keys = self._lobby.reopen(RunRecord(record.run, self.meta, record.incarnation))
                return
        self.meta = {**self._given_meta, "nodes": list(self.party.nodes), "initiator": self.party.id}
        self.keys = self._lobby.open_run(self.meta, hello)

    def _newest_round(self) -> int:
        return int(self.restored["round"]) if self.restored is not None else -1

    # -- check-in ---------------------------------------------------------------------------------------------------

    def check_in(self, body: Mapping[str, Any], validate: Callable[[Mapping[str, Mapping[str, Any]]], None]) -> None:
        """Say what this party brings, and wait until all are here and the initiator says start.

        `validate` gets every party's body at the initiator, and raises to end the task before any training.

        Raises:
            PartyMissing: naming who never came.
        """
        self.watch.post("check-in", body)
        if self.watch.running:  # the others are in their rounds already
            if self.party.is_initiator:
                validate({**(self._record.check_ins or {}), self.party.id: body})
                self.watch.post("start", {})
            logger.info("back in the run, for the %d. time", self.watch.incarnation)
            return
        theirs = self._gathering.check_in(self.party, self.watch)
        if self.party.is_initiator:
            check_ins = {self.party.id: dict(body), **{party: dict(brought) for party, brought in theirs.items()}}
            validate(check_ins)
            self._record = msgspec.structs.replace(self._record, check_ins=check_ins)
            self._record.save(self.folder.root)
            self._farewell.set_status("running")
            self.watch.post("start", {})
        self.watch.running = True
        logger.info("all %d parties are here: %s", len(self.party.nodes), ", ".join(self.party.nodes))

    # -- rounds -----------------------------------------------------------------------------------------------------

    def say(self, state: str, round: int | None = None) -> None:
        """Tell everybody what this party is doing; what it logs from now on is about that round."""
        self._logs.round = round
        self.watch.say(state, round=round)

    @contextmanager
    def user_code(self, state: str, round: int | None = None) -> Iterator[None]:
        """Around calls into the user's class: a failure elsewhere interrupts them."""
        self.say(state, round)
        with self.watch.interruptible():
            yield

    def checkpoint(
        self, round: int, state: Mapping[str, Any], *, before_the_end: bool = False
    ) -> list[tuple[str, str, int]]:
        """Make a round durable, and acknowledge what the checkpoint before it had received.

        `before_the_end`: only make it durable; another one of the same round follows.
        Returns (sender, kind, round) of messages that came when their round was over, and are dropped.
        """
        cursors = {peer: list(cursor) for peer, cursor in self.mailbox.taken.items()}
        with around(lambda: f"checkpoint round {round}"):
            self.checkpoints.save(round, {**state, "round": round, "cursors": cursors})
        if before_the_end:
            return []
        self.watch.checkpoint = round
        self.watch.post("ack", {"cursors": self._cursors_saved, "checkpoint": round})
        self._cursors_saved = self.mailbox.taken
        self._recorder.round_over(round)
        return self.mailbox.forget(round)

    def wait_for_everybody(self) -> None:
        """Until nobody who is needed is lost.

        Raises:
            PartyFailed: one did not come back in time.
        """
        while missed := self.watch.missed():
            self._logs.status(f"waiting for {', '.join(missed)} to come back")
            try:
                self.watch.wait_until(lambda: not self.watch.missed(), 1.0)
            finally:
                self._logs.status(None)
            self.mailbox.keep_alive()

    def go_back(self, state: Mapping[str, Any]) -> None:
        """Read messages from where the checkpoint `state` stood, and send again what is unacknowledged."""
        self.mailbox.restore({peer: (int(inc), int(seq)) for peer, (inc, seq) in state["cursors"].items()})

    def _publish_metrics(self, points: bytes) -> None:
        with contextlib.suppress(redis.RedisError, ServerError):  # they are in the file; the stream is for watching
            self._connection.client.xadd(self.keys.metrics, {"m": points}, maxlen=100_000, approximate=True)

    def _restore_run(self, connection: Connection) -> None:
        """The server is back: without its data it does not know this run."""
        Lobby(connection, self.party).republish(
            self.keys,
            self.meta,
            status=self._farewell.run_status or ("running" if self.watch.running else "open"),
            hello=self._hello,
            incarnation=self.watch.incarnation,
        )

    # -- leaving ----------------------------------------------------------------------------------------------------

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        cause = error
        if isinstance(error, KeyboardInterrupt) and self.watch.interrupted:
            cause = self.watch.failure  # the watch interrupted, not the user
        elif isinstance(error, KeyboardInterrupt):
            shorten(error)
        if isinstance(cause, PlaygroundError):
            cause.located(party=self.party.id, task=self.party.task)
        try:
            if cause is None:
                self._record = msgspec.structs.replace(self._record, finished=True)
                self._record.save(self.folder.root)
                self._report_recordings()
            self._farewell.say(cause)
        except (ServerError, PartyReplaced, redis.RedisError) as unreachable:
            logger.warning("could not tell the others how this ended: %s", unreachable)
        finally:
            self._cleanup.close()
        if cause is not error and cause is not None:
            raise cause from None

    def _report_recordings(self) -> None:
        """What keeping rounds costs on disk."""
        rounds = [number for number in recorded_rounds(self.folder.recordings) if number]
        if self._keep is None or self._keep > 1:
            size = rounds_bytes(self.folder.recordings)
            logger.info("recordings of %d rounds take %.1f MB on disk (keep_rounds)", len(rounds), size / 1e6)


def _same_configuration(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Algorithm, parties and constructor arguments: with others it is another run."""
    return all(before.get(name) == now.get(name) for name in ("algorithm", "scheduler", "arguments"))
