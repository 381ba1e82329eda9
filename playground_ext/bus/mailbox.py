"""Mailbox: send, broadcast, receive, gather, with deadlines that name who is silent.

Truth lives in the parties' folders; Redis only carries what is in flight. So every connection problem is the same case:
connect again, send again what the server does not have, go on reading at the cursor.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import redis

from playground_ext.bus.connection import Connection
from playground_ext.bus.envelope import Buffer, Envelope, Outgoing, total_bytes
from playground_ext.bus.incoming import Receiver
from playground_ext.bus.keys import RunKeys
from playground_ext.bus.outgoing import Outbox, Sender, server_full
from playground_ext.bus.payloads import Payloads
from playground_ext.bus.steps import around
from playground_ext.errors import ReceiveTimeout, ServerFull, ServerUnreachable

__all__ = ["Guard", "Mailbox", "Recorder"]

_Result = TypeVar("_Result")
_SLICE = 0.25  # seconds a blocking read lasts before the guard is asked again
_SPIN = 0.0002  # seconds to look out for a message before sleeping; longer than a fast peer takes to answer
_RECONNECT = 60.0  # seconds to wait for a server that went away


class Guard(Protocol):
    """What a waiting party looks at besides its inbox."""

    def check(self) -> None:
        """Raise if going on makes no sense: another party failed or died, the run was replaced."""

    def last_word(self, party: str) -> str:
        """What that party last said, and when, for an error message."""

    def wait(self, timeout: float) -> None:
        """Return when something about the other parties has changed, or after `timeout` seconds."""

    def is_lost(self, party: str) -> bool:
        """It failed or died, and may come back: nothing comes from it now."""

    def calm_since(self) -> float:
        """Monotonic time since when nobody who is needed is lost; deadlines count from then on."""


class Recorder(Protocol):
    """Sees what passes."""

    def sent(self, message: Outgoing, pieces: Sequence[Buffer]) -> None: ...

    def received(self, message: Envelope) -> None: ...


class Mailbox:
    """One party's messages of one run; used by one thread.

    A timeout of 0 means unlimited for live parties; dead ones raise through the guard.
    """

    def __init__(
        self,
        url: str,
        keys: RunKeys,
        me: str,
        peers: Sequence[str],
        *,
        incarnation: int,
        outbox: Outbox,
        guard: Guard,
        kinds: Collection[str],
        on_reconnect: Callable[[Connection], None] | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        self._connection = Connection(url, name=f"{keys.task}:{me}:data", spin=_SPIN)
        self._keys = keys
        self._me = me
        self._guard = guard
        self._on_reconnect = on_reconnect
        self._outbox = outbox
        self._recorder = recorder
        self._payloads = Payloads(self._connection, keys)
        self._sender = Sender(self._connection, self._payloads, keys, me, incarnation, outbox)
        self._receiver = Receiver(self._connection, self._payloads, keys, me, peers, kinds)
        self.waited = 0.0  # seconds spent waiting for other parties
        self.transferred = 0.0  # seconds spent moving bytes to and from the server

    @property
    def sent_bytes(self) -> Mapping[str, int]:
        return self._sender.sent_bytes

    @property
    def received_bytes(self) -> Mapping[str, int]:
        return self._receiver.received_bytes

    @property
    def taken(self) -> dict[str, tuple[int, int]]:
        """Per sender, the (incarnation, seq) up to which this party has taken everything, payloads included."""
        return self._receiver.taken()

    def restore(self, cursors: Mapping[str, tuple[int, int]]) -> None:
        """Go on reading where a checkpoint stood, and send again everything that is unacknowledged."""
        self._receiver.cursors.update(cursors)
        self._with_server(self._sender.resend_as_new, deadline=_deadline(_RECONNECT))

    def keep_alive(self) -> None:
        """If the server has lost its data, give it again what this party has sent. Raises like `send`."""
        self._with_server(self._receiver.ping, deadline=_deadline(_RECONNECT))

    def abandon(self, attempt: int) -> None:
        """A new attempt begins: drop what was sent and what came for those before it."""
        self._receiver.forget(lambda header: header.attempt < attempt)
        self._with_server(
            lambda: self._sender.withdraw(lambda sent: sent.attempt < attempt), deadline=_deadline(_RECONNECT)
        )

    def withdraw(self, kind: str, before_round: int) -> None:
        """Take back payloads that are out of date, so that those who do not fetch them cost nothing."""
        self._with_server(
            lambda: self._sender.withdraw(lambda sent: sent.kind == kind and sent.round < before_round),
            deadline=_deadline(_RECONNECT),
        )

    def remove_payloads(self) -> None:
        """Everybody has everything: remove what this party has sent, and what those left who did not see the end.

        Raises:
            ServerError, redis.RedisError: the server cannot be told.
        """
        self._sender.withdraw(lambda sent: True)
        self._payloads.remove()

    def acknowledged(self, receiver: str, incarnation: int, seq: int) -> None:
        """See Sender.acknowledged; may be called by any thread."""
        self._sender.acknowledged(receiver, incarnation, seq)

    def arrivals(self) -> list[tuple[str, str, float]]:
        """What was taken since the last call: sender, `<incarnation>-<seq>`, and when. May be called by any thread."""
        taken = self._receiver.arrivals
        return [taken.popleft() for _ in range(len(taken))]

    def forget(self, before_round: int) -> list[tuple[str, str, int]]:
        """Drop unread messages of rounds that are over. Returns (sender, kind, round) of each."""
        return self._receiver.forget(lambda header: header.round < before_round)

    def send(
        self,
        receiver: str | Sequence[str],
        kind: str,
        payload: Buffer | Sequence[Buffer] = b"",
        *,
        round: int = 0,
        attempt: int = 0,
        step: str = "",
        meta: Mapping[str, Any] | None = None,
        timeout: float = _RECONNECT,
    ) -> int:
        """Send to one party, or to several with the payload stored once. Returns the payload's bytes.

        Raises:
            ServerFull, ServerUnreachable: still so after `timeout` seconds; the message stays in the outbox.
            ProtocolError: this message was sent before with other content.
            StorageError: the outbox cannot be written.
        """
        receivers = [receiver] if isinstance(receiver, str) else list(receiver)
        pieces: Sequence[Buffer] = [payload] if isinstance(payload, bytes | bytearray | memoryview) else payload
        if not receivers:
            return 0
        first = True

        def attempt_once() -> None:
            nonlocal first
            self._sender.release()
            if first:
                first = False
                sent = self._sender.send(
                    receivers, kind, round=round, attempt=attempt, step=step, meta=meta or {}, pieces=pieces
                )
                if self._recorder is not None:
                    self._recorder.sent(sent, pieces)
            else:
                self._sender.resend()

        started = time.monotonic()
        with around(lambda: _step("send", kind, round, attempt, step)):
            self._with_server(attempt_once, deadline=_deadline(timeout))
        self.transferred += time.monotonic() - started
        return total_bytes(pieces)

    def receive(
        self,
        sender: str,
        kind: str,
        *,
        round: int | None = None,
        attempt: int | None = None,
        step: str | None = None,
        timeout: float,
        newest: bool = False,
    ) -> Envelope:
        """The next message of that kind (and round, attempt, step, if given) from one party.

        `newest`: of several that wait take the last, and drop those before it.

        Raises:
            ReceiveTimeout: nothing came within `timeout` seconds (0: unlimited for a live party).
            PartyFailed, PartyDied, RunReplaced: from the guard.
            ProtocolError: what came makes no sense.
        """
        return self.gather([sender], kind, round=round, attempt=attempt, step=step, timeout=timeout, newest=newest)[
            sender
        ]

    def gather(
        self,
        senders: Sequence[str],
        kind: str,
        *,
        round: int | None = None,
        attempt: int | None = None,
        step: str | None = None,
        timeout: float,
        quorum: int | None = None,
        newest: bool = False,
        on_arrival: Callable[[Envelope], None] | None = None,
    ) -> dict[str, Envelope]:
        """One message of that kind from each of several parties, in the order of `senders`. Raises like `receive`.

        `quorum`: so many suffice at the deadline, or as soon as those that are missing are lost.
        """
        started = time.monotonic()
        deadline = _deadline(timeout)
        arrived: dict[str, Envelope] = {}
        missing = list(senders)
        with around(lambda: _step("receive", kind, round, attempt, step)):
            while True:
                for sender in list(missing):
                    asked = time.monotonic()
                    envelope = self._with_server(
                        lambda sender=sender: self._receiver.take(  # type: ignore[misc]
                            sender, kind, round, attempt, step, newest=newest
                        ),
                        deadline=deadline,
                    )
                    if envelope is not None:
                        self.transferred += time.monotonic() - asked
                        missing.remove(sender)
                        arrived[sender] = envelope
                        if self._recorder is not None:
                            self._recorder.received(envelope)
                        if on_arrival is not None:
                            on_arrival(envelope)
                deadline = max(deadline, _deadline(timeout, self._guard.calm_since()))
                left = deadline - time.monotonic()
                enough = quorum is not None and len(arrived) >= quorum
                if not missing or (enough and (left <= 0 or all(map(self._guard.is_lost, missing)))):
                    return {sender: arrived[sender] for sender in senders if sender in arrived}
                if left <= 0:
                    raise self._timeout(missing, kind, round, time.monotonic() - started)
                self._wait(min(left, _SLICE), deadline)

    def receive_any(self, wanted: Sequence[tuple[str, str]], *, timeout: float) -> Envelope | None:
        """The next message that is one of `wanted`, (sender, kind); None if none came in `timeout` seconds.

        Raises like `receive`, except that silence is no error: who may still speak is the caller's to judge.
        """
        deadline = time.monotonic() + timeout
        while True:
            for sender, kind in wanted:
                envelope = self._with_server(
                    lambda sender=sender, kind=kind: self._receiver.take(sender, kind, None, None, None),  # type: ignore[misc]
                    deadline=_deadline(_RECONNECT),
                )
                if envelope is not None:
                    return envelope
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            self._wait(min(left, _SLICE), _deadline(_RECONNECT))

    def close(self) -> None:
        self._connection.close()
        self._payloads.close()
        self._outbox.close()

    def _timeout(self, missing: Sequence[str], kind: str, round: int | None, waited: float) -> ReceiveTimeout:
        of_round = "" if round is None else f" for round {round}"
        culprits = "; ".join(f"{party}: {self._explain_silence(party)}" for party in missing)
        return ReceiveTimeout(
            f"{', '.join(missing)} sent no {kind!r}{of_round} within {waited:.0f} s ({culprits})",
            party=self._me,
            task=self._keys.task,
            round=round,
            next_step=f"look at the notebook of {missing[0]}; if it is only slow, give the scheduler a larger timeout",
        )

    def _explain_silence(self, party: str) -> str:
        if party in self._receiver.incomplete:
            return "it announced the message, but its payload is not there"
        return self._guard.last_word(party)

    def _wait(self, seconds: float, deadline: float) -> None:
        """Until something has come, at most so long. Raises what the guard raises."""
        began = time.monotonic()
        try:
            self._with_server(lambda: self._receiver.pump(seconds), deadline=deadline)
            self._guard.check()
        finally:
            self.waited += time.monotonic() - began

    def _with_server(self, action: Callable[[], _Result], *, deadline: float) -> _Result:
        """Do it; when the server is full or gone, wait for it until the deadline, resend, and do it again."""
        pause = 0.05
        while True:
            try:
                return action()
            except ServerFull as error:
                if time.monotonic() > deadline:
                    raise server_full(self._me, self._sender.slowest()) from error
                self._guard.check()
                self._guard.wait(pause)
            except (redis.ConnectionError, redis.TimeoutError, ServerUnreachable):
                self._recover(min(deadline, time.monotonic() + _RECONNECT))
            pause = min(2 * pause, 1.0)

    def _recover(self, deadline: float) -> None:
        pause = 0.05
        while True:
            try:
                self._connection.reconnect()
                if self._on_reconnect is not None:
                    self._on_reconnect(self._connection)
                self._sender.resend()
                return
            except (redis.ConnectionError, redis.TimeoutError, ServerUnreachable) as error:
                if time.monotonic() > deadline:
                    raise ServerUnreachable(
                        f"the Redis server is gone since {_RECONNECT:.0f} s: {error}",
                        party=self._me,
                        task=self._keys.task,
                        next_step="start it again; this party's messages are kept in its folder",
                    ) from error
                self._guard.check()
                self._guard.wait(pause)
                pause = min(2 * pause, 1.0)


def _deadline(timeout: float, start: float | None = None) -> float:
    """On the monotonic clock; a timeout of 0 means never."""
    return (time.monotonic() if start is None else start) + timeout if timeout > 0 else float("inf")


def _step(verb: str, kind: str, round: int | None, attempt: int | None, step: str | None) -> str:
    parts = (("round", round), ("attempt", attempt), ("step", step))
    return " ".join([verb, kind, *(f"{name} {value}" for name, value in parts if value not in (None, "", 0))])
