"""Recordings of rounds: what passed, each message once, of the last attempt, and no more rounds than wanted."""

from __future__ import annotations

from pathlib import Path

import pytest

from playground_ext.bus.envelope import Envelope, Outgoing, checksum
from playground_ext.party.recording import Recorder, read_round, recorded_rounds, rounds_bytes


def sent(round: int, payload: bytes, *, attempt: int = 0, step: str = "") -> Outgoing:
    return Outgoing(
        1, ("aggregator",), "update", round, attempt, step, {"samples": 3}, len(payload), checksum([payload])
    )


def received(round: int, payload: bytes, *, attempt: int = 0) -> Envelope:
    return Envelope("t", "r", "aggregator", "me", 1, 1, "global", round=round, attempt=attempt, payload=payload)


def record(folder: Path, rounds: int, keep: int | None) -> None:
    recorder = Recorder(folder, keep=keep)
    for number in range(1, rounds + 1):
        recorder.received(received(number, b"in %d" % number))
        recorder.sent(sent(number, b"out %d" % number), [b"out ", b"%d" % number])
        recorder.round_over(number)
    recorder.close()


def test_a_round_is_read_as_it_passed(tmp_path: Path) -> None:
    record(tmp_path, 1, keep=1)
    first, second = read_round(tmp_path, 1)

    assert (first.head.sent, first.head.peers, first.head.kind, first.payload) == (
        False,
        ("aggregator",),
        "global",
        b"in 1",
    )
    assert (second.head.sent, second.head.kind, second.head.meta, second.payload) == (
        True,
        "update",
        {"samples": 3},
        b"out 1",
    )


@pytest.mark.parametrize(("keep", "left"), [(1, [5]), (2, [4, 5]), (None, [1, 2, 3, 4, 5]), (0, [])])
def test_so_many_of_the_last_rounds_are_kept(tmp_path: Path, keep: int | None, left: list[int]) -> None:
    record(tmp_path, 5, keep=keep)
    assert recorded_rounds(tmp_path) == left
    assert (rounds_bytes(tmp_path) > 0) == bool(left)


def test_only_the_last_attempt_counts_and_a_message_that_came_again_counts_once(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, keep=1)
    recorder.sent(sent(1, b"old"), [b"old"])
    recorder.sent(sent(1, b"new", attempt=1), [b"new"])
    recorder.close()
    again = Recorder(tmp_path, keep=1)  # the party came back
    again.sent(sent(1, b"new", attempt=1), [b"new"])
    again.close()

    assert [message.payload for message in read_round(tmp_path, 1)] == [b"new"]


@pytest.mark.parametrize("cut", [1, 8, 20, 100])
def test_what_was_half_written_when_the_party_died_is_left_out(tmp_path: Path, cut: int) -> None:
    recorder = Recorder(tmp_path, keep=1)
    recorder.received(received(1, b"whole"))
    recorder.received(Envelope("t", "r", "host", "me", 1, 2, "global", round=1, payload=b"x" * 200))
    recorder.close()
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-cut])

    assert [message.payload for message in read_round(tmp_path, 1)] == [b"whole"]


def test_a_round_that_was_not_recorded_is_empty(tmp_path: Path) -> None:
    assert read_round(tmp_path, 7) == []
