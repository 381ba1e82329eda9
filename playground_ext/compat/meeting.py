"""A run without roles: whoever comes first opens it, each party takes part in it once, and leaves when it is done.

Nobody waits for the others in order to begin: tutorials name parties that never come. A run that all have left can be
joined for as long as people get to start a notebook, because what was said is waiting there. A party that has been in
it opens the next one.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import time
from collections.abc import Mapping
from typing import Any, cast

import msgspec
import redis

from playground_ext import settings
from playground_ext.bus.connection import Connection
from playground_ext.bus.keys import TASKS, RunKeys, TaskKeys
from playground_ext.bus.mailbox import Mailbox
from playground_ext.compat.talk import KINDS, Talk
from playground_ext.errors import ConfigError, PartyReplaced, PlaygroundError, ServerError
from playground_ext.logs.session import LogSession
from playground_ext.party.context import server_url
from playground_ext.party.failure import describe, is_interactive
from playground_ext.party.identity import Party
from playground_ext.party.lease import Lease, machine, still_holds
from playground_ext.party.liveness import Watch
from playground_ext.party.outbox import MemoryOutbox
from playground_ext.party.policy import FailurePolicy
from playground_ext.party.process_age import process_age
from playground_ext.party.storage import PartyFolder
from playground_ext.scheduler.farewell import CONSEQUENCES, wait_for_last_lines

__all__ = ["Meeting"]

ALGORITHM = "Contracts"
_RUNS_KEPT = 200  # entries of the `runs` stream

logger = logging.getLogger("playground")


class Meeting:
    """One party inside such a run, from its construction until it has said goodbye and is closed."""

    talk: Talk

    def __init__(self, party: Party) -> None:
        known = settings.read()
        self.party = party
        default = settings.CHECK_IN_INTERACTIVE if is_interactive() else settings.CHECK_IN_BATCH
        self._patience = default if known.check_in_timeout is None else known.check_in_timeout
        self._completed = False  # it has said goodbye, and nothing went wrong
        self._cleanup = contextlib.ExitStack()
        self._folder = PartyFolder.of(party.task, party.id)
        self._logs = LogSession(party.id, self._folder.logs, level=known.log_level)
        self._lease = Lease(self._folder.lease, party=party.id, task=party.task, notebook=known.notebook)
        try:
            self._enter(known.notebook)
        except BaseException:
            self._cleanup.close()
            raise

    def _enter(self, notebook: str | None) -> None:
        self._logs.start()
        self._cleanup.callback(self._logs.stop)
        self._lease.acquire()
        self._cleanup.callback(self._lease.release)
        url, me, task = server_url(), self.party.id, self.party.task
        hello = {
            "pid": os.getpid(),
            "host": machine(),
            "lease": str(self._lease.path),
            "lease_since": self._lease.since,
            "role": "party",
            "notebook": notebook,
            "folder": str(self._folder.root),
        }
        self._connection = Connection(url, name=f"{task}:{me}:main")
        self._cleanup.callback(self._connection.close)
        self.keys = self._join_or_open(hello)
        self.folder = self._folder.run(self.keys.run)
        peers = self.party.peers
        self.watch = Watch(url, self.keys, me, peers, incarnation=1, policy=FailurePolicy(), is_initiator=False)
        self._cleanup.callback(self.watch.stop)
        self._mailbox = Mailbox(
            url, self.keys, me, peers, incarnation=1, outbox=MemoryOutbox(), guard=self.watch, kinds=KINDS
        )
        self._cleanup.callback(self._mailbox.close)
        self.watch.on_ack = self._mailbox.acknowledged
        self._logs.publish(url, self.keys, self.party.nodes)
        self.watch.start(hello)
        self.watch.say("talking")
        self.talk = Talk(
            self._mailbox,
            self.watch,
            me=me,
            task=task,
            nodes=self.party.nodes,
            patience=self._patience,
            acknowledge=True,
            on_wait=self._logs.status,
        )
        logger.info("%s takes part in task %s; the others: %s", me, task, ", ".join(peers) or "none")

    def say_goodbye(self, error: BaseException | None = None) -> None:
        """Tell the others how it ended here."""
        try:
            if error is None or isinstance(error, CONSEQUENCES):
                self._end("completed" if error is None else "stopped")
            else:
                self._report(error)
        except (ServerError, PartyReplaced, redis.RedisError) as unreachable:
            logger.warning("could not tell the others how this ended: %s", unreachable)

    def close(self) -> None:
        """Show the last lines of those who are here, and be gone."""
        try:
            if self._completed:
                wait_for_last_lines(self.party.peers, self.watch, self._logs)
        except (ServerError, PartyReplaced, redis.RedisError) as unreachable:
            logger.warning("left without the others' last log lines: %s", unreachable)
        finally:
            self._cleanup.close()

    # -- joining ----------------------------------------------------------------------------------------------------

    def _join_or_open(self, hello: Mapping[str, Any]) -> RunKeys:
        """The task's current run if there is a place for this party, else a new one; decided in one step."""
        task = TaskKeys(self.party.task)
        mine = msgspec.json.encode(hello)
        while True:  # each turn somebody has opened a run
            with self._connection.client.pipeline(transaction=True) as pipeline:
                watched = cast(Any, pipeline)
                watched.watch(task.run)
                run = watched.get(task.run)
                keys = task.of(run.decode() if run else secrets.token_hex(6))
                place = f"party:{self.party.id}"
                if run is not None:
                    fields = {name.decode(): value for name, value in watched.hgetall(keys.meta).items()}
                    if self._is_open(fields) and watched.hsetnx(keys.meta, place, mine):
                        status = b"failed" if fields.get("status") == b"failed" else b"open"
                        watched.hset(keys.meta, mapping={f"incarnation:{self.party.id}": b"1", "status": status})
                        return keys
                    keys = task.of(secrets.token_hex(6))
                fields = {"run": self._record(), "status": "open", place: mine, f"incarnation:{self.party.id}": b"1"}
                watched.multi()
                watched.hset(keys.meta, mapping=fields)
                watched.set(task.run, keys.run)
                watched.zadd(TASKS, {self.party.task: time.time()}, nx=True)
                watched.xadd(task.runs, {"run": keys.run}, maxlen=_RUNS_KEPT, approximate=True)
                with contextlib.suppress(redis.WatchError):
                    watched.execute()
                    return keys

    def _record(self) -> bytes:
        shared = {"nodes": list(self.party.nodes), "initiator": self.party.id, "opened": self._server_time()}
        described = {"algorithm": ALGORITHM, "scheduler": "", "arguments": {}, "check_in_timeout": self._patience}
        return msgspec.json.encode({**described, **shared})

    def _is_open(self, fields: Mapping[str, bytes]) -> bool:
        """Has it a place for this party, and is somebody in it or has left it only just now?

        One that has failed since this process began is joined too: there this party learns of it.

        Raises:
            ConfigError: those who are in it expect other parties.
        """
        status = fields.get("status")
        if status not in (b"open", b"ended", b"failed") or "run" not in fields or f"party:{self.party.id}" in fields:
            return False
        meta = msgspec.json.decode(fields["run"], type=dict[str, Any])
        members = {name[len("party:") :]: value for name, value in fields.items() if name.startswith("party:")}
        left = {name[len("left:") :]: float(value) for name, value in fields.items() if name.startswith("left:")}
        inside = [party for party, hello in members.items() if party not in left and _is_alive(hello)]
        now, last = self._server_time(), max(left.values(), default=0.0)
        recently = (set(left) >= set(members) or status == b"failed") and last + self._patience > now
        if status == b"failed" and last < now - process_age():
            return False
        if meta.get("algorithm") != ALGORITHM or not (inside or recently):
            return False
        nodes = [str(node) for node in meta["nodes"]]
        if set(nodes) == set(self.party.nodes):
            return True
        if not inside:
            return False
        raise ConfigError(
            f"{inside[0]} expects {', '.join(nodes)}; this notebook says {', '.join(self.party.nodes)}",
            party=self.party.id,
            task=self.party.task,
            next_step="give every notebook of the task the same nodes, in any order",
        )

    def _server_time(self) -> float:
        seconds, microseconds = self._connection.client.time()
        return seconds + microseconds / 1e6

    # -- leaving ----------------------------------------------------------------------------------------------------

    def _end(self, status: str) -> None:
        self._connection.client.hset(self.keys.meta, f"left:{self.party.id}", str(self._server_time()))
        others = [one for one in self.watch.statuses.values() if one.hello is not None]
        if status == "stopped" or all(one.ended for one in others):
            ending = "failed" if status == "stopped" else "ended"  # for those who look; one who comes late may join yet
            self._connection.client.hset(self.keys.meta, "status", ending)
        self.watch.post("end", {"status": status, "last_line": self._logs.drain()})
        self._completed = status == "completed"

    def _report(self, error: BaseException) -> None:
        if isinstance(error, PlaygroundError):
            error.located(party=self.party.id, task=self.party.task)
        body = describe(error)
        body["log_id"] = self._logs.error(body["traceback"])
        ending = {f"left:{self.party.id}": str(self._server_time()), "status": "failed"}
        self._connection.client.hset(self.keys.meta, mapping=cast(Any, ending))
        self.watch.post("fail", {**body, "round": None, "last_line": self._logs.drain()})


def _is_alive(hello: bytes) -> bool:
    record = msgspec.json.decode(hello, type=dict[str, Any])
    return record.get("host") != machine() or still_holds(record)
