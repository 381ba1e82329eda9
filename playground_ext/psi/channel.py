"""The messages of one intersection between two parties: numbered blocks, counted and in order, of one attempt only."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from playground_ext.bus.envelope import Buffer, Envelope
from playground_ext.bus.mailbox import Mailbox
from playground_ext.errors import ProtocolError

__all__ = ["KINDS", "Channel", "Meter", "alternate"]

KINDS = ("psi-hello", "psi-blinded", "psi-returned", "psi-tags", "psi-result")
_ACK_BYTES = 4 << 20  # received since the last acknowledgement: what the server holds of one sender stays near this
_SAY_EVERY = 5.0  # seconds between log lines about progress


class Meter:
    """How many ids are done, said to everybody now and then. `say` gets (done, total)."""

    def __init__(self, say: Callable[[int, int], None]) -> None:
        self._say = say
        self._total = self._done = 0
        self._said = time.monotonic()

    def expect(self, total: int) -> None:
        """Begin to count up to `total`."""
        self._total, self._done = total, 0

    def advance(self, count: int) -> None:
        self._done += count
        if time.monotonic() - self._said >= _SAY_EVERY:
            self._said = time.monotonic()
            self._say(self._done, self._total)


class Channel:
    """One party's end of the intersection with `peer`.

    `attempt` numbers the intersections of a run: a message of another attempt is never read. `timeout`: seconds that
    the peer may take for a block, 0 means unlimited for a live one. `acknowledge` tells the senders that all that came
    so far need not be kept.
    """

    def __init__(
        self,
        mailbox: Mailbox,
        peer: str,
        *,
        attempt: int,
        timeout: float,
        meter: Meter,
        acknowledge: Callable[[], None],
    ) -> None:
        self.peer = peer
        self.meter = meter
        self._mailbox, self._attempt, self._timeout, self._acknowledge = mailbox, attempt, timeout, acknowledge
        self._unacknowledged = 0

    def send(self, kind: str, payload: Buffer = b"", *, step: int = 0, meta: Mapping[str, Any] | None = None) -> None:
        self._mailbox.send(
            self.peer,
            kind,
            payload,
            attempt=self._attempt,
            step=str(step),
            meta=meta,
            timeout=self._timeout or 3600.0,
        )

    def receive(self, kind: str, *, step: int = 0, patient: bool = False) -> Envelope:
        """The peer's next message of that kind, which must be number `step`; `patient` waits for one's turn.

        Raises:
            ProtocolError: it is another one, so something was left out, repeated or reordered.
        """
        envelope = self._mailbox.receive(
            self.peer, kind, attempt=self._attempt, timeout=0 if patient else self._timeout
        )
        if envelope.step != str(step):
            raise ProtocolError(
                f"{self.peer} sent block {envelope.step!r} of {kind!r} where number {step} was due", party=self.peer
            )
        self._unacknowledged += len(envelope.payload)
        if self._unacknowledged >= _ACK_BYTES:
            self._acknowledge()
            self._unacknowledged = 0
        return envelope

    def send_blocks(self, kind: str, blocks: Iterable[bytes], count: int, width: int) -> Iterator[None]:
        """Send blocks that together hold `count` items; pauses after each."""
        sent = 0
        for number, block in enumerate(blocks):
            sent += len(block) // width
            self.send(kind, block, step=number, meta={"last": sent == count})
            self.meter.advance(len(block) // width)
            yield

    def blocks(self, kind: str, count: int) -> Iterator[Buffer]:
        """The peer's blocks until it says that one was the last; none are expected of `count` 0."""
        number, last = 0, count == 0
        while not last:
            envelope = self.receive(kind, step=number)
            number, last = number + 1, envelope.meta.get("last") is True
            yield envelope.payload


def alternate(*parts: Iterator[None]) -> None:
    """Advance several loops in turn until all are done, so that neither side waits longer than a block."""
    ended = object()
    active = list(parts)
    while active:
        active = [part for part in active if next(part, ended) is not ended]
