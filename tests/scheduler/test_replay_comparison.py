"""What a replay says of messages that it sends, leaves out or adds."""

from __future__ import annotations

import pytest

from playground_ext.bus.envelope import checksum
from playground_ext.party.recording import Head, Message
from playground_ext.scheduler.replay import ReplayResult, RoundReplayed, _RecordedMailbox


def sent(kind: str, step: str, payload: bytes, round: int = 2) -> Message:
    head = Head(True, ("host",), kind, round, 0, step, {}, len(payload), checksum([payload]))
    return Message(head, payload)


@pytest.fixture
def result() -> ReplayResult:
    return ReplayResult("t", "alice", 2)


@pytest.fixture
def mailbox(result: ReplayResult) -> _RecordedMailbox:
    round = [sent("projection", "1", b"one"), sent("projection", "2", b"two")]
    return _RecordedMailbox(round, [sent("global", "", b"next", 3)], 2, result)


def test_all_messages_again_are_equal(mailbox: _RecordedMailbox, result: ReplayResult) -> None:
    mailbox.send("host", "projection", b"one", round=2, step="1")
    mailbox.send("host", "projection", b"two", round=2, step="2")
    assert result.equal
    with pytest.raises(RoundReplayed):
        mailbox.send("host", "global", b"next", round=3)
    assert result.equal
    assert "global: equal, bit for bit" in repr(result)


def test_one_that_is_left_out_is_named(mailbox: _RecordedMailbox, result: ReplayResult) -> None:
    mailbox.send("host", "projection", b"one", round=2, step="1")
    assert not result.equal
    assert "alice, round 2 of t, run again: NOT equal\n  projection 2 of round 2: sent then, NOT now" in repr(result)


def test_one_that_is_added_is_named(mailbox: _RecordedMailbox, result: ReplayResult) -> None:
    for step, payload in (("1", b"one"), ("2", b"two"), ("3", b"three")):
        mailbox.send("host", "projection", payload, round=2, step=step)
    assert not result.equal
    assert "projection 3 of round 2: sent now, NOT then" in repr(result)


def test_a_round_in_which_nothing_was_sent_is_equal_if_nothing_is_sent_again(result: ReplayResult) -> None:
    _RecordedMailbox([], [], 2, result)
    assert result.equal
    assert repr(result) == "alice, round 2 of t, run again: equal, nothing was sent in it"
