"""The sending half of a mailbox: outbox first, then the stream; resend after a reconnect; release when acknowledged."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, cast

from playground_ext.bus.connection import Connection
from playground_ext.bus.envelope import (
    INLINE_BYTES,
    Buffer,
    Header,
    Outgoing,
    Pointer,
    checksum,
    encode_header,
    parse_id,
)
from playground_ext.bus.keys import ALL, RunKeys
from playground_ext.bus.payloads import Payloads, Place
from playground_ext.bus.streams import last_id
from playground_ext.errors import PartyReplaced, ProtocolError, ServerError, ServerFull

__all__ = ["Outbox", "Sender"]


_SHOWN = 16  # acknowledged entries that stay in a stream a while, for those who watch; their chunks are gone


class Outbox(Protocol):
    """What a sender needs of the place where its unacknowledged messages lie."""

    def __iter__(self) -> Iterator[Outgoing]: ...

    def find(self, receivers: Sequence[str], kind: str, round: int, attempt: int, step: str) -> Outgoing | None: ...

    def put(
        self,
        receivers: Sequence[str],
        kind: str,
        round: int,
        attempt: int,
        step: str,
        meta: dict[str, Any],
        pieces: Sequence[Buffer],
    ) -> Outgoing: ...

    def settle(self, outgoing: Outgoing) -> None: ...

    def payload(self, outgoing: Outgoing) -> Sequence[Buffer]: ...

    def discard(self, seq: int) -> None: ...

    def close(self) -> None: ...


class Sender:
    """Sends one party's messages; used by one thread, except `acknowledged`."""

    def __init__(
        self, connection: Connection, payloads: Payloads, keys: RunKeys, me: str, incarnation: int, outbox: Outbox
    ) -> None:
        self._connection = connection
        self._payloads = payloads
        self._keys = keys
        self._me = me
        self._incarnation = incarnation
        self._outbox = outbox
        self._acks: dict[str, int] = {}  # receiver -> highest seq of this incarnation that it has on its own disk
        self._acks_lock = threading.Lock()
        self._acks_changed = False
        self.sent_bytes: dict[str, int] = {}  # receiver -> payload bytes

    def send(
        self,
        receivers: Sequence[str],
        kind: str,
        *,
        round: int,
        attempt: int,
        step: str,
        meta: Mapping[str, Any],
        pieces: Sequence[Buffer],
    ) -> Outgoing:
        """Keep a message, then put it into every receiver's stream; a payload for several is stored once.

        Raises:
            ProtocolError: this message was sent before with other content.
            ServerFull: no memory left; the message is in the outbox, call `resend`.
        """
        known = self._outbox.find(receivers, kind, round, attempt, step)
        if known is not None:
            if known.xxh3 != checksum(pieces):
                raise ProtocolError(
                    f"{self._me} computed another {kind!r} for round {round} (step {step!r}, attempt {attempt}) "
                    "than the one it has sent",
                    party=self._me,
                    round=round,
                    next_step="make the round a function of its inputs and seed (no clock, no unseeded randomness)",
                )
            return known
        outgoing = self._outbox.put(receivers, kind, round, attempt, step, dict(meta), pieces)
        for receiver in receivers:
            self.sent_bytes[receiver] = self.sent_bytes.get(receiver, 0) + outgoing.size
        self._transmit(outgoing, pieces)
        return outgoing

    def resend(self) -> int:
        """Send again what the server does not have. Returns how many messages."""
        last = {receiver: self._last_seq(receiver) for receiver in self._pending_receivers()}
        resent = 0
        for outgoing in self._outbox:
            if any(last.get(receiver, 0) < outgoing.seq for receiver in outgoing.receivers):
                self._transmit(outgoing, self._outbox.payload(outgoing))
                resent += 1
        return resent

    def resend_as_new(self) -> int:
        """Send everything unacknowledged again, as the incarnation that this party is now."""
        for outgoing in self._outbox:
            self._transmit(outgoing, self._outbox.payload(outgoing))
            if outgoing.size > INLINE_BYTES and self._incarnation > 1:
                self._payloads.drop([self._place(outgoing)._replace(incarnation=self._incarnation - 1)])
        return len(self._pending_receivers())

    def withdraw(self, outdated: Callable[[Outgoing], bool]) -> None:
        """Forget messages that nobody needs any more, acknowledged or not."""
        self._drop([outgoing for outgoing in self._outbox if outdated(outgoing)])

    def acknowledged(self, receiver: str, incarnation: int, seq: int) -> None:
        """A receiver says that it has everything up to `seq` on its disk. May be called by any thread."""
        with self._acks_lock:
            if incarnation == self._incarnation and seq > self._acks.get(receiver, 0):
                self._acks[receiver] = seq
                self._acks_changed = True

    def release(self) -> None:
        """Free what every receiver has acknowledged: payloads and outbox files; stream entries go with the next one."""
        with self._acks_lock:
            if not self._acks_changed:
                return
            self._acks_changed = False
            acks = dict(self._acks)
        done = [
            outgoing
            for outgoing in self._outbox
            if all(acks.get(receiver, 0) >= outgoing.seq for receiver in outgoing.receivers)
        ]
        self._drop(done)

    def _drop(self, done: Sequence[Outgoing]) -> None:
        self._payloads.drop([self._place(outgoing) for outgoing in done if outgoing.size > INLINE_BYTES])
        for outgoing in done:
            self._outbox.discard(outgoing.seq)

    def slowest(self) -> str | None:
        """The receiver that keeps most of this party's messages waiting."""
        waiting: dict[str, int] = {}
        with self._acks_lock:
            acks = dict(self._acks)
        for outgoing in self._outbox:
            for receiver in outgoing.receivers:
                if acks.get(receiver, 0) < outgoing.seq:
                    waiting[receiver] = waiting.get(receiver, 0) + outgoing.size
        return max(waiting, key=lambda receiver: waiting[receiver], default=None)

    def _pending_receivers(self) -> set[str]:
        return {receiver for outgoing in self._outbox for receiver in outgoing.receivers}

    def _transmit(self, outgoing: Outgoing, pieces: Sequence[Buffer]) -> None:
        beside: tuple[bytes, ...] = ()
        pointer = None
        if outgoing.size > INLINE_BYTES:
            place = self._place(outgoing)
            pointer = Pointer(place.receiver, place.seq, place.size, outgoing.xxh3)
            self._payloads.store(place, pieces)
            beside = (b"t", _tensor_header(pieces[0]))
        elif outgoing.size:
            beside = (b"p", b"".join(pieces))
        header = encode_header(
            Header(
                outgoing.kind,
                outgoing.round,
                outgoing.attempt,
                outgoing.step,
                outgoing.meta,
                outgoing.size,
                outgoing.xxh3,
                pointer,
                outgoing.at,
            )
        )
        digest = checksum([header]).encode()
        self._outbox.settle(outgoing)  # from here on it is visible, so it must be durable
        entry_id = f"{self._incarnation}-{outgoing.seq}"
        commands: list[Sequence[str | bytes | int]] = [
            (
                b"XADD",
                self._keys.data(receiver, self._me),
                b"MINID",
                f"{self._incarnation}-{max(1, min(self._acks.get(receiver, 0) + 1, outgoing.seq) - _SHOWN)}",
                entry_id,
                b"h",
                header,
                b"d",
                digest,
                *beside,
            )
            for receiver in outgoing.receivers
        ]
        for receiver, reply in zip(outgoing.receivers, self._connection.call(*commands), strict=True):
            if isinstance(reply, Exception):
                self._check_refusal(receiver, entry_id, digest, reply)

    def _check_refusal(self, receiver: str, entry_id: str, digest: bytes, error: Exception) -> None:
        """A refused id is success only if the very same message is already there (or was there and is trimmed)."""
        text = str(error)
        if text.startswith("OOM") or "used memory > 'maxmemory'" in text:  # redis-py takes the code away
            raise server_full(self._me, self.slowest()) from error
        if "equal or smaller" not in text:
            raise ServerError(
                f"the server refused a message from {self._me} to {receiver}: {text}", party=self._me
            ) from error
        key = self._keys.data(receiver, self._me)
        stored = cast(Any, self._connection.client).xrange(key, min=entry_id, max=entry_id)
        if stored:
            if stored[0][1].get(b"d") == digest:
                return
            raise ProtocolError(
                f"another message of {self._me} to {receiver} has the id {entry_id}", party=self._me
            ) from error
        incarnation, _ = parse_id(last_id(self._connection, key), self._me)
        if incarnation > self._incarnation:
            raise replaced(self._me) from error

    def _last_seq(self, receiver: str) -> int:
        """Highest seq of this incarnation that the server has seen for this receiver."""
        last = last_id(self._connection, self._keys.data(receiver, self._me))
        incarnation, seq = parse_id(last, self._me)
        if incarnation > self._incarnation:
            raise replaced(self._me)
        return seq if incarnation == self._incarnation else 0

    def _place(self, outgoing: Outgoing) -> Place:
        to = outgoing.receivers[0] if len(outgoing.receivers) == 1 else ALL
        return Place(to, self._me, self._incarnation, outgoing.seq, outgoing.size)


def replaced(me: str) -> PartyReplaced:
    return PartyReplaced(
        f"another notebook has joined this run as {me}, and took this one's place",
        party=me,
        next_step=f"keep one notebook for {me}; give the other its own party id",
    )


def server_full(me: str, slowest: str | None) -> ServerFull:
    waiting = f"; {slowest} has acknowledged least of what {me} sent" if slowest else ""
    return ServerFull(
        f"the Redis server has no memory left for a message of {me}{waiting}",
        party=me,
        next_step="raise the server's `maxmemory`, or see why that party is slow",
    )


def _tensor_header(piece: Buffer) -> bytes:
    """The header with which a tensor frame begins; empty if this is none, or if it is long."""
    start = memoryview(piece).cast("B")[: INLINE_BYTES + 8]
    length = 8 + int.from_bytes(start[:8], "little")
    return bytes(start[:length]) if 8 < length <= len(start) else b""
