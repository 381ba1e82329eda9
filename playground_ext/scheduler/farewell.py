"""How a party leaves its run: what it tells the others, for whom it stays, and whose last lines it waits for."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Collection

import redis

from playground_ext.bus.keys import RunKeys
from playground_ext.bus.mailbox import Mailbox
from playground_ext.errors import (
    CheckInError,
    PartyFailed,
    PartyReplaced,
    PlaygroundError,
    RunReplaced,
    ServerError,
    ServerUnreachable,
)
from playground_ext.logs.session import LogSession
from playground_ext.party.failure import describe, reload_edited_modules
from playground_ext.party.identity import Party
from playground_ext.party.liveness import Watch
from playground_ext.party.lobby import Lobby

__all__ = ["CONSEQUENCES", "Farewell", "wait_for_last_lines"]

LAGGARDS = 60.0  # seconds that the initiator waits for live parties that have not fetched their last message
LAST_LINES = 10.0  # seconds to wait for the others' last log lines
CONSEQUENCES = (PartyFailed, RunReplaced, PartyReplaced)  # somebody else's failure, seen from here

logger = logging.getLogger("playground")


class Farewell:
    """One party's way out of one run."""

    def __init__(
        self, party: Party, keys: RunKeys, *, watch: Watch, mailbox: Mailbox, logs: LogSession, lobby: Lobby
    ) -> None:
        self.run_status: str | None = None  # how this party says that the run ended
        self._party, self._keys = party, keys
        self._watch, self._mailbox, self._logs, self._lobby = watch, mailbox, logs, lobby

    def say(self, cause: BaseException | None) -> None:
        """`cause`: why this party leaves; None if it has done its part.

        Raises:
            ServerError, PartyReplaced: the others could not be told.
        """
        if cause is None:
            self._logs.round = None
            self._end("completed", "ended")
            self._wait_for_laggards()
            wait_for_last_lines(self._party.peers, self._watch, self._logs)
            if all(status.completed for status in self._watch.statuses.values()):
                with contextlib.suppress(ServerError, redis.RedisError):  # one that is away keeps nothing
                    self._mailbox.remove_payloads()
        elif isinstance(cause, CONSEQUENCES):
            logger.error("stopped: %s", cause.what)
            self._end("stopped", "failed")
            culprit = [party for party in self._party.peers if party == cause.party]
            wait_for_last_lines(culprit, self._watch, self._logs)
        elif isinstance(cause, KeyboardInterrupt) and not self._watch.running and not self._party.is_initiator:
            self._end("left", None)
        else:
            body = describe(cause)
            body["log_id"] = self._logs.error(body["traceback"])
            body["round"] = self._watch.progress_round
            body["ends"] = isinstance(cause, CheckInError)  # not for this party alone to mend
            self._watch.post("fail", {**body, "last_line": self._logs.drain()})
            if self._watch.policy.wait and not body["ends"]:
                reload_edited_modules()
            elif self._party.is_initiator:
                self.set_status("failed")

    def _end(self, status: str, run_status: str | None) -> None:
        self.run_status = run_status
        if self._party.is_initiator and run_status is not None:
            self.set_status(run_status)
        self._watch.post_progress()
        self._watch.post("end", {"status": status, "last_line": self._logs.drain()})

    def set_status(self, status: str) -> None:
        """Also on a server that was away meanwhile, or is for a moment."""
        deadline = time.monotonic() + LAST_LINES
        while True:
            try:
                return self._lobby.set_status(self._keys, status)
            except (redis.ConnectionError, redis.TimeoutError, ServerUnreachable):
                if time.monotonic() > deadline:
                    raise
                self._watch.wait(0.1)

    def _wait_for_laggards(self) -> None:
        """The initiator stays until all have fetched their last message, also those who are lost and may come back.

        Until then it gives a server that lost its data what it needs.
        """
        if not self._party.is_initiator:
            return
        statuses = self._watch.statuses

        def awaited() -> list[str]:
            inside = [party for party, status in statuses.items() if status.hello and not status.ended]
            missed = self._watch.missed()  # of those who are lost, the ones that a quorum cannot do without
            return [party for party in inside if not statuses[party].lost or party in missed]

        deadline = time.monotonic() + LAGGARDS
        try:
            while (left := awaited()) and time.monotonic() < deadline:
                if missed := self._watch.missed():
                    deadline = time.monotonic() + LAGGARDS  # how long they are waited for is the watch's to say
                    names = ", ".join(missed)
                    self._logs.status(f"all rounds are done; waiting until {names} comes back for the result")
                if self._watch.wait_until(lambda: not awaited(), 1.0):
                    break
                self._mailbox.keep_alive()
        except (PlaygroundError, KeyboardInterrupt) as error:
            logger.warning(
                "left without %s, which did not fetch the result: %s", ", ".join(left), error or "interrupted"
            )
        finally:
            self._logs.status(None)


def wait_for_last_lines(parties: Collection[str], watch: Watch, logs: LogSession) -> None:
    """Until the last line of every live party among these has been shown, at most LAST_LINES seconds."""
    deadline = time.monotonic() + LAST_LINES
    joined = [party for party, s in watch.statuses.items() if s.hello and (s.failure or not s.lost)]
    awaited = [party for party in parties if party in joined]

    def said_all() -> bool:
        said = (watch.statuses[party] for party in awaited)  # one that comes back has another status
        return all(status.ended or status.failure or status.lost for status in said)

    with contextlib.suppress(PlaygroundError):  # one of them died or failed: its lines until then are shown
        watch.wait_until(said_all, LAST_LINES)
    statuses = {party: watch.statuses[party] for party in awaited}
    last = {
        party: int((status.ended or status.failure or {}).get("last_line") or 0) for party, status in statuses.items()
    }
    missing = logs.wait_for(last, max(0.5, deadline - time.monotonic()))
    late = [party for party, status in statuses.items() if not (status.ended or status.failure)]
    if absent := sorted({*missing, *late}):
        logger.warning("left without the last log lines of %s", ", ".join(absent))
