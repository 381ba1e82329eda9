"""Algorithms whose parties answer each other batch by batch cannot go on when one is lost: all begin again, together.

attempt a   leader    --begin(a)-->  everybody    the round whose end, on everybody's disk, they go back to
            …         the algorithm's own messages, all marked with the attempt
            follower  --done(a)-->   leader       its part is done and on its disk
at last     leader    --begin(a, over)-->  everybody

The attempt's number is how often parties have come back, so it only grows; messages of older attempts are dropped.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from playground_ext.bus.envelope import Envelope
from playground_ext.errors import MalformedPayload, RoundInterrupted
from playground_ext.scheduler.replay import ReplaySession
from playground_ext.scheduler.session import Session

__all__ = ["KINDS", "NOTHING", "Attempt", "follow", "lead"]

KINDS = ("begin", "done")
NOTHING = -1  # the round of one that has no checkpoint yet

Result = TypeVar("Result")

logger = logging.getLogger("playground")


@dataclass(frozen=True)
class Attempt:
    """`round`: everybody goes back to the end of this one; NOTHING to before anything was sent."""

    number: int
    round: int


def lead(
    session: Session, play: Callable[[Attempt], Result], conclude: Callable[[], Result], *, timeout: float
) -> Result:
    """Let everybody play, again from their newest common checkpoint when one was lost. Returns what `play` returned.

    `conclude`: what to return if the others have done their parts already, from this party's own checkpoint.
    `timeout`: seconds that the others may take to say that they are done; 0 means unlimited for live ones.
    """
    watch, peers = session.watch, session.party.peers
    if isinstance(session, ReplaySession):
        return play(Attempt(session.attempt, session.round - 1))
    while True:
        session.wait_for_everybody()
        if session.run_ended or all(watch.statuses[peer].completed for peer in peers):
            return conclude()
        incarnations = watch.incarnations()
        rounds = [watch.statuses[peer].checkpoint for peer in peers]
        newest = min(NOTHING if round is None else round for round in (watch.checkpoint, *rounds))
        attempt = Attempt(sum(incarnations.values()) - len(incarnations), newest)
        watch.together({peer: incarnations[peer] for peer in peers})
        try:
            session.mailbox.abandon(attempt.number)
            meta = {"round": attempt.round, "incarnations": incarnations, "over": False}
            session.mailbox.send(list(peers), "begin", attempt=attempt.number, meta=meta)
            result = play(attempt)
            session.mailbox.gather(peers, "done", attempt=attempt.number, timeout=timeout)
            session.mailbox.send(list(peers), "begin", attempt=attempt.number, step="over", meta={"over": True})
            return result
        except RoundInterrupted as loss:
            logger.warning("%s; beginning again from the newest common checkpoint when all are back", loss.what)
        finally:
            watch.together(None)


def follow(
    session: Session, play: Callable[[Attempt], Result], conclude: Callable[[], Result], *, timeout: float
) -> Result:
    """A follower's side of `lead`."""
    if isinstance(session, ReplaySession):
        return play(Attempt(session.attempt, session.round - 1))
    watch, leader = session.watch, session.party.initiator
    number = -1
    while True:
        begin = _next_begin(session, leader, number, timeout=timeout)
        if begin is None:
            return conclude()
        number = begin.attempt
        attempt = Attempt(number, _round(begin))
        incarnations = begin.meta["incarnations"]
        watch.together({peer: int(incarnations[peer]) for peer in session.party.peers})
        try:
            session.mailbox.abandon(number)
            result = play(attempt)
            session.mailbox.send(leader, "done", attempt=number)
            session.mailbox.receive(leader, "begin", attempt=number, step="over", timeout=0)
            return result
        except RoundInterrupted as loss:
            logger.warning("%s; waiting for %s to begin again", loss.what, leader)
        finally:
            watch.together(None)


def _next_begin(session: Session, leader: str, number: int, *, timeout: float) -> Envelope | None:
    """The leader's newest word, if it is meant for this incarnation; None if all is over."""
    if session.run_ended:
        return None
    while True:
        session.watch.say(f"waiting for {leader}", round=session.watch.progress_round)
        begin = session.mailbox.receive(leader, "begin", timeout=timeout, newest=True)
        if begin.meta.get("over"):
            return None
        incarnations = begin.meta.get("incarnations")
        if not isinstance(incarnations, dict) or set(incarnations) != set(session.party.nodes):
            raise MalformedPayload(f"{leader} begins with the parties {incarnations!r}", party=leader)
        if incarnations[session.party.id] == session.watch.incarnation and begin.attempt > number:
            return begin


def _round(begin: Envelope) -> int:
    round = begin.meta.get("round")
    if not isinstance(round, int) or round < NOTHING:
        raise MalformedPayload(f"{begin.sender} goes back to round {round!r}", party=begin.sender)
    return round
