"""The messages of one round, in order, and where the time of a batch goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from playground_ext.bus.envelope import Envelope
from playground_ext.bus.tensors import decode, encode
from playground_ext.errors import ProtocolError
from playground_ext.scheduler.session import Session

__all__ = ["AHEAD", "KINDS", "Timings", "Wire"]

KINDS = ("agree", "split", "round", "feature", "backward", "credit")
AHEAD = 16  # batches that a party may compute ahead where nothing is learned from them
_ACK_BYTES = 2 << 20  # received since the last acknowledgement: what the server holds of one round stays near this
_SAY_EVERY = 2.0  # seconds between progress messages


@dataclass
class Timings:
    """Seconds of one round at one party."""

    batches: int = 0
    total: float = 0.0
    serialising: float = 0.0
    transferring: float = 0.0  # bytes to and from the server
    waiting: float = 0.0  # for other parties

    @property
    def computing(self) -> float:
        return max(0.0, self.total - self.serialising - self.transferring - self.waiting)

    def __str__(self) -> str:
        parts = ("computing", "serialising", "transferring", "waiting")
        a_batch = 1000 / max(1, self.batches)
        split = ", ".join(f"{name} {getattr(self, name) * a_batch:.2f}" for name in parts)
        return f"{self.batches} batches in {self.total:.1f} s, {self.total * a_batch:.1f} ms each ({split})"


class Wire:
    """One party's messages of a round. `attempt` is higher if the round starts again."""

    def __init__(self, session: Session, *, timeout: float, round: int = 0, attempt: int = 0) -> None:
        self.round, self.attempt = round, attempt
        self.timings = Timings()
        self._session, self._timeout = session, timeout
        self._unacknowledged = 0
        self._said = time.monotonic()

    def send(
        self,
        receivers: str | Sequence[str],
        kind: str,
        step: str,
        *,
        tensors: Mapping[str, torch.Tensor] | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> None:
        with self._counting("serialising"):
            payload = encode(tensors) if tensors else b""
        with self._counting("transferring"):
            self._session.mailbox.send(
                receivers,
                kind,
                payload,
                round=self.round,
                attempt=self.attempt,
                step=step,
                meta=meta,
                timeout=self._timeout or 3600.0,
            )

    def receive(self, sender: str, kind: str, step: str) -> Envelope:
        """The sender's next message of that kind.

        Raises:
            ReceiveTimeout: nothing came in time.
            ProtocolError: it is not the one that was due.
        """
        return self.gather([sender], kind, step)[sender]

    def gather(self, senders: Sequence[str], kind: str, step: str) -> dict[str, Envelope]:
        """The next message of each of them. Raises like `receive`."""
        mailbox = self._session.mailbox
        transferred = mailbox.transferred
        with self._counting("waiting"):
            envelopes = mailbox.gather(senders, kind, round=self.round, attempt=self.attempt, timeout=self._timeout)
        transferred = mailbox.transferred - transferred
        self.timings.transferring += transferred
        self.timings.waiting -= transferred
        for sender, envelope in envelopes.items():
            if envelope.step != step:
                raise ProtocolError(
                    f"{sender} sent {kind!r} number {envelope.step!r} where {step!r} was due",
                    party=sender,
                    round=self.round,
                )
            self._unacknowledged += len(envelope.payload)
        if self._unacknowledged >= _ACK_BYTES:
            self._session.watch.post("ack", {"cursors": self._session.mailbox.taken})
            self._unacknowledged = 0
        return envelopes

    def decode(self, envelope: Envelope) -> dict[str, torch.Tensor]:
        with self._counting("serialising"):
            payload = memoryview(envelope.payload)
            return decode(bytearray(payload) if payload.readonly else payload)  # users may change features in place

    def batch_done(self, state: str, index: int) -> None:
        """Count a batch, and tell everybody now and then how far this party is."""
        self.timings.batches += 1
        if time.monotonic() - self._said >= _SAY_EVERY:
            self._said = time.monotonic()
            self._session.watch.say(state, round=self.round, batch=index + 1)

    @contextmanager
    def measured(self, report: Callable[[Timings], None]) -> Iterator[Timings]:
        """Around all batches of a phase."""
        self.timings = Timings()
        started = time.monotonic()
        yield self.timings
        self.timings.total = time.monotonic() - started
        report(self.timings)

    @contextmanager
    def _counting(self, what: str) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            setattr(self.timings, what, getattr(self.timings, what) + time.monotonic() - started)
