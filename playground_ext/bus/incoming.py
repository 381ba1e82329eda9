"""The receiving half of a mailbox: cursors, order, deduplication, payloads checked before they are believed."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Sequence

from playground_ext.bus.connection import Connection
from playground_ext.bus.envelope import (
    INLINE_BYTES,
    Buffer,
    Envelope,
    Header,
    checksum,
    decode_header,
    parse_id,
)
from playground_ext.bus.keys import ALL, RunKeys
from playground_ext.bus.payloads import Payloads, Place
from playground_ext.bus.streams import read
from playground_ext.errors import ProtocolError

__all__ = ["Receiver"]

_ARRIVALS = 500  # messages whose arrival is noted until somebody asks
_REMEMBERED = 4096  # logical keys a sender; a resent message is never older than that


class Receiver:
    """Reads one party's inboxes; used by one thread."""

    def __init__(
        self,
        connection: Connection,
        payloads: Payloads,
        keys: RunKeys,
        me: str,
        peers: Sequence[str],
        kinds: Collection[str],
    ) -> None:
        self._connection = connection
        self._payloads = payloads
        self._keys = keys
        self._me = me
        self._kinds = frozenset(kinds)
        self._streams = {keys.data(me, peer): peer for peer in peers}
        self.cursors: dict[str, tuple[int, int]] = {peer: (0, 0) for peer in peers}
        self._seen: dict[str, OrderedDict[tuple[str, int, int, str], None]] = {peer: OrderedDict() for peer in peers}
        self._waiting: dict[str, deque[tuple[int, int, Header, bytes]]] = {peer: deque() for peer in peers}
        self.received_bytes: dict[str, int] = {}  # sender -> payload bytes
        self.arrivals: deque[tuple[str, str, float]] = deque(maxlen=_ARRIVALS)  # sender, id, seconds since 1970
        self.incomplete: set[str] = set()  # senders whose payload is not there (any more)

    def pump(self, block: float) -> int:
        """Read what has come, waiting at most `block` seconds for the first entry. Returns the number of messages."""
        cursors = {key: f"{inc}-{seq}" for key, peer in self._streams.items() for inc, seq in [self.cursors[peer]]}
        new = 0
        for entry in read(self._connection, cursors, block=block if block > 0 else None):
            new += self._accept(self._streams[entry.key], entry.id, entry.fields)
        return new

    def ping(self) -> None:
        """Raises what a broken connection raises."""
        self._connection.client.ping()

    def take(
        self,
        sender: str,
        kind: str,
        round: int | None,
        attempt: int | None,
        step: str | None,
        *,
        newest: bool = False,
    ) -> Envelope | None:
        """The oldest waiting message that fits, with its payload; None if there is none yet."""
        waiting = self._waiting[sender]
        if not waiting:
            return None

        def fits(header: Header) -> bool:
            return (
                header.kind == kind
                and round in (None, header.round)
                and attempt in (None, header.attempt)
                and step in (None, header.step)
            )

        if newest:
            for entry in [entry for entry in waiting if fits(entry[2])][:-1]:
                waiting.remove(entry)
        for index, (incarnation, seq, header, inline) in enumerate(waiting):
            if fits(header):
                payload = self._payload(sender, incarnation, header, inline)
                if payload is None:
                    self.incomplete.add(sender)
                    return None
                self.incomplete.discard(sender)
                del waiting[index]
                self.arrivals.append((sender, f"{incarnation}-{seq}", time.time()))
                self.received_bytes[sender] = self.received_bytes.get(sender, 0) + header.size
                return Envelope(
                    task=self._keys.task,
                    run=self._keys.run,
                    sender=sender,
                    receiver=self._me,
                    incarnation=incarnation,
                    seq=seq,
                    kind=header.kind,
                    round=header.round,
                    attempt=header.attempt,
                    step=header.step,
                    meta=header.meta,
                    payload=payload,
                )
        return None

    def forget(self, outdated: Callable[[Header], bool]) -> list[tuple[str, str, int]]:
        """Drop waiting messages. Returns (sender, kind, round) of each."""
        dropped = []
        for sender, waiting in self._waiting.items():
            dropped += [(sender, entry[2].kind, entry[2].round) for entry in waiting if outdated(entry[2])]
            self._waiting[sender] = deque(entry for entry in waiting if not outdated(entry[2]))
        return dropped

    def taken(self) -> dict[str, tuple[int, int]]:
        """Per sender, up to where every message has been taken: the server need not hold those payloads any more."""
        return {
            sender: (waiting[0][0], waiting[0][1] - 1) if waiting else self.cursors[sender]
            for sender, waiting in self._waiting.items()
        }

    def waiting_kinds(self, sender: str) -> list[str]:
        """What has come from this sender and is not taken, for messages about what has not."""
        return [f"{header.kind} (round {header.round})" for _, _, header, _ in self._waiting[sender]]

    def _accept(self, sender: str, entry_id: str, fields: dict[bytes, bytes]) -> int:
        incarnation, seq = parse_id(entry_id, sender)
        self.cursors[sender] = (incarnation, seq)
        header = decode_header(fields.get(b"h", b""), sender)
        inline = fields.get(b"p", b"")
        if header.kind not in self._kinds:
            raise ProtocolError(
                f"{sender} sent a {header.kind!r} message; this algorithm knows {', '.join(sorted(self._kinds))}",
                party=sender,
                round=header.round,
                next_step="run the same algorithm and version at every party",
            )
        if header.pointer is None and len(inline) != header.size:
            raise ProtocolError(
                f"{sender}'s {header.kind!r} announces {header.size:,} bytes and carries {len(inline):,}", party=sender
            )
        if header.pointer is not None and (header.pointer.to not in (self._me, ALL) or header.size <= INLINE_BYTES):
            raise ProtocolError(f"{sender}'s {header.kind!r} points to somebody else's payload", party=sender)
        key = (header.kind, header.round, header.attempt, header.step)
        seen = self._seen[sender]
        if key in seen:
            self._renew(sender, key, (incarnation, seq, header, inline))
            return 0
        seen[key] = None
        if len(seen) > _REMEMBERED:
            seen.popitem(last=False)
        self._waiting[sender].append((incarnation, seq, header, inline))
        return 1

    def _renew(self, sender: str, key: tuple[str, int, int, str], entry: tuple[int, int, Header, bytes]) -> None:
        """A sender that came back stores its payloads anew: what still waits is read from there."""
        waiting = self._waiting[sender]
        for index, (_, _, header, _) in enumerate(waiting):
            if (header.kind, header.round, header.attempt, header.step) == key:
                waiting[index] = entry

    def _payload(self, sender: str, incarnation: int, header: Header, inline: bytes) -> Buffer | None:
        """Bytes as long as announced and with the announced checksum; None until all of them are there."""
        pointer = header.pointer
        payload: Buffer | None = inline
        if pointer is not None:
            payload = self._payloads.load(Place(pointer.to, sender, incarnation, pointer.seq, pointer.size))
        if payload is None:
            return None
        if checksum([payload]) != header.xxh3:
            raise ProtocolError(
                f"the payload of {sender}'s {header.kind!r} for round {header.round} is damaged (checksum differs)",
                party=sender,
                round=header.round,
                next_step="run all parties again; if it happens again, look at the server and the network before it",
            )
        return payload
