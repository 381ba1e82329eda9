"""Intersections of two or more parties: a star, in which the initiator meets one collaborator after the other.

The initiator goes on with what is left after each collaborator, so it learns the intersections of itself with the first
k collaborators for every k. A collaborator learns how many ids were left when its turn came, and the end result if the
initiator tells it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from playground_ext.psi.channel import Channel, Meter
from playground_ext.psi.exchange import Match, Protocol, hear_result, initiate, respond, tell_result
from playground_ext.psi.ids import IdSet, Positions
from playground_ext.psi.rsa import MIN_BITS
from playground_ext.scheduler.session import Session

__all__ = ["Outcome", "follow_intersection", "lead_intersection"]

logger = logging.getLogger("playground")


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one party has after an intersection. `positions` are private to it, 4 bytes a common id."""

    positions: Positions | None = field(repr=False)  # of its common ids in the list it gave; None: it was not told
    peer_counts: dict[str, int]  # how many ids the others brought to their meeting with this party
    seconds: float
    sent: int  # bytes
    received: int  # bytes
    learned: dict[str, str]  # party -> what it learned, in words

    def report(self) -> str:
        lines = [f"intersection in {self.seconds:.1f} s, {self.sent:,} bytes sent, {self.received:,} bytes received"]
        return "\n".join(lines + [f"{party} learned {what}" for party, what in self.learned.items()])

    def common(self, ids: IdSet) -> Iterator[str | int]:
        """The common ids as this party gave them, in its order; none if it was not told."""
        positions = self.positions if self.positions is not None else ()
        return (ids.given[position] for position in positions)

    def state(self) -> dict[str, Any]:
        """For a checkpoint, which holds tensors and no arrays."""
        import torch

        positions = None if self.positions is None else torch.from_numpy(self.positions.view(np.int32))
        return {**vars(self), "positions": positions}

    @classmethod
    def of_state(cls, state: Mapping[str, Any]) -> Self:
        """The inverse of `state`."""
        positions = state["positions"]
        return cls(**{**state, "positions": None if positions is None else positions.numpy().view(np.uint32)})


def lead_intersection(
    session: Session,
    ids: IdSet,
    *,
    protocol: Protocol,
    timeout: float,
    share_result: bool = True,
    attempt: int = 0,
) -> Outcome:
    """The initiator's side of a star, with every other party in turn.

    Raises:
        ProtocolError, StorageError: from `exchange.initiate`.
    """
    clock = _Clock(session)
    left, folder = ids, session.folder.root
    matches: list[tuple[Channel, Match]] = []
    brought: dict[str, int] = {}
    for peer in session.party.peers:
        channel = _channel(session, peer, attempt=attempt, timeout=timeout)
        brought[peer] = len(left)
        match = initiate(channel, left, task=session.party.task, protocol=protocol, folder=folder)
        matches.append((channel, match))
        left = match.common
        logger.info("%d of %d ids are left after the intersection with %s", len(left), brought[peer], peer)
    for channel, match in matches:
        if share_result:
            tell_result(channel, match, left)
    counts = {match.peer: match.peer_count for _, match in matches}
    return clock.outcome(left.positions, counts, _learned(session.party.id, len(ids), counts, brought, share_result))


def follow_intersection(
    session: Session,
    ids: IdSet,
    *,
    protocol: Protocol,
    timeout: float,
    share_result: bool = True,
    key_bits: int = MIN_BITS,
    attempt: int = 0,
) -> Outcome:
    """A collaborator's side.

    Raises:
        ProtocolError: from `exchange.respond`.
    """
    clock = _Clock(session)
    initiator = session.party.initiator
    channel = _channel(session, initiator, attempt=attempt, timeout=timeout)
    own, theirs = respond(channel, ids, task=session.party.task, protocol=protocol, key_bits=key_bits)
    positions = hear_result(channel, own) if share_result else None
    me = session.party.id
    learned = {
        initiator: f"which of its ids {me} has too, and that {me} has {len(ids):,} ids; not what the others are",
        me: f"that {initiator} brought {theirs:,} ids" + (_and_common(positions) if positions is not None else ""),
    }
    return clock.outcome(positions, {initiator: theirs}, learned)


class _Clock:
    def __init__(self, session: Session) -> None:
        self._box = session.mailbox
        self._began = time.monotonic()
        self._before = sum(self._box.sent_bytes.values()), sum(self._box.received_bytes.values())

    def outcome(self, positions: Positions | None, peer_counts: dict[str, int], learned: dict[str, str]) -> Outcome:
        return Outcome(
            positions=positions,
            peer_counts=peer_counts,
            seconds=time.monotonic() - self._began,
            sent=sum(self._box.sent_bytes.values()) - self._before[0],
            received=sum(self._box.received_bytes.values()) - self._before[1],
            learned=learned,
        )


def _channel(session: Session, peer: str, *, attempt: int, timeout: float) -> Channel:
    def say(done: int, total: int) -> None:
        logger.info("intersecting with %s: %d of %d ids", peer, done, total)
        session.watch.say("intersecting ids", round=session.watch.progress_round, done=done, total=total)

    def acknowledge() -> None:
        session.watch.post("ack", {"cursors": session.mailbox.taken})

    return Channel(session.mailbox, peer, attempt=attempt, timeout=timeout, meter=Meter(say), acknowledge=acknowledge)


def _learned(me: str, mine: int, counts: dict[str, int], brought: dict[str, int], shared: bool) -> dict[str, str]:
    others = " and ".join(f"that {peer} has {count:,}" for peer, count in counts.items())
    order = ", ".join(counts)
    prefix = "" if len(counts) == 1 else f" (also after each step, in this order: {order})"
    learned = {me: f"which of its {mine:,} ids all parties have{prefix}, and {others} ids; not what the others are"}
    for peer in counts:
        told = "and which of its ids all parties have" if shared else "and was not told which are common"
        learned[peer] = f"that {me} brought {brought[peer]:,} ids, {told}; not what the others are"
    return learned


def _and_common(positions: Positions) -> str:
    return f", and which {len(positions):,} of its own ids all parties have; not what the others are"
