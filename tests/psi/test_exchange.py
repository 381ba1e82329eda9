"""One intersection over a real server, with an honest party at one end and a dishonest one at the other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from playground_ext.bus.keys import RunKeys
from playground_ext.bus.mailbox import Mailbox
from playground_ext.errors import ConfigError, MalformedPayload, PlaygroundError, ProtocolError, ReceiveTimeout
from playground_ext.party.outbox import Outbox
from playground_ext.psi.channel import KINDS, Channel, Meter
from playground_ext.psi.exchange import check_protocol, hear_result, initiate, respond, tell_result
from playground_ext.psi.hashing import fresh_nonce
from playground_ext.psi.ids import canonical, normalise
from playground_ext.psi.matching import shuffled

IDS = normalise([f"id-{i}" for i in range(20)])
NOWHERE = Path("/nowhere")  # so few tags stay in memory


class Quiet:
    def check(self) -> None: ...

    def is_lost(self, party: str) -> bool:
        return False

    def calm_since(self) -> float:
        return 0.0

    def last_word(self, party: str) -> str:
        return "it said nothing"

    def wait(self, timeout: float) -> None: ...


@pytest.fixture
def channels(server: Any, tmp_path: Path) -> Iterator[Callable[..., tuple[Channel, Channel]]]:
    """Both ends of a channel; `attempt` may differ."""
    boxes = []

    def make(run: str = "run1", attempts: tuple[int, int] = (0, 0), timeout: float = 10) -> tuple[Channel, Channel]:
        ends = []
        for (me, peer), attempt in zip((("alice", "bob"), ("bob", "alice")), attempts, strict=True):
            box = Mailbox(
                server.url,
                RunKeys("task", run),
                me,
                [peer],
                incarnation=1,
                outbox=Outbox(tmp_path / run / me),
                guard=Quiet(),
                kinds=KINDS,
            )
            boxes.append(box)
            meter = Meter(lambda done, total: None)
            ends.append(Channel(box, peer, attempt=attempt, timeout=timeout, meter=meter, acknowledge=lambda: None))
        return ends[0], ends[1]

    yield make
    for box in boxes:
        box.close()


def _against(honest: Callable[[], Any], dishonest: Callable[[], Any]) -> BaseException:
    """Run both; returns what the honest one raised."""
    thread = threading.Thread(target=dishonest, daemon=True)
    thread.start()
    with pytest.raises(PlaygroundError) as caught:
        honest()
    thread.join(10)
    return caught.value


def _hello(channel: Channel, protocol: str, count: Any, payload: bytes = b"", **meta: Any) -> None:
    channel.send(
        "psi-hello", payload, meta={"protocol": protocol, "count": count, "nonce": fresh_nonce().hex(), **meta}
    )


@pytest.mark.parametrize(
    ("meta", "expected"),
    [
        ({"count": -1}, "says that it has -1 ids"),
        ({"count": 1 << 30}, "16,777,216 are supported"),
        ({"count": "20"}, "says that it has '20' ids"),
        ({"nonce": "00"}, "a PSI nonce is not 32 bytes"),
        ({"nonce": "z" * 64}, "a PSI nonce is not hexadecimal"),
        ({"protocol": "rsa"}, "bob intersects by 'rsa', this party by 'ecdh'"),
    ],
    ids=str,
)
def test_a_hello_that_makes_no_sense_is_refused(channels, meta, expected):
    alice, bob = channels()

    error = _against(
        lambda: initiate(alice, IDS, task="t", protocol="ecdh", folder=NOWHERE),
        lambda: _hello(bob, **{"protocol": "ecdh", "count": 1} | meta),
    )

    assert isinstance(error, ProtocolError)
    assert expected in str(error)


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [
        ([bytes(31)], "does not hold whole items"),
        ([b"\xff" * 32], "out of range"),
        ([bytes(32)], "not on the curve, or has small order"),
        ([(9).to_bytes(32, "little") * 3], "3 items came, but only 2 were announced"),
        ([(9).to_bytes(32, "little")], "2 items were announced, but only 1 came"),
    ],
    ids=["not whole points", "out of range", "small order", "too many", "too few"],
)
def test_points_that_no_honest_party_sends_are_refused(channels, blocks, expected):
    alice, bob = channels()

    def dishonest() -> None:
        _hello(bob, "ecdh", 2)
        for number, block in enumerate(blocks):
            bob.send("psi-blinded", block, step=number, meta={"last": number == len(blocks) - 1})
        bob.send("psi-returned", (9).to_bytes(32, "little") * len(IDS), meta={"last": True})

    error = _against(lambda: initiate(alice, IDS, task="t", protocol="ecdh", folder=NOWHERE), dishonest)

    assert isinstance(error, MalformedPayload | ProtocolError)
    assert expected in str(error)


def test_blocks_out_of_order_are_refused(channels):
    alice, bob = channels()

    def dishonest() -> None:
        _hello(bob, "ecdh", 2)
        bob.send("psi-blinded", (9).to_bytes(32, "little"), step=1, meta={"last": True})

    error = _against(lambda: initiate(alice, IDS, task="t", protocol="ecdh", folder=NOWHERE), dishonest)

    assert "bob sent block '1' of 'psi-blinded' where number 0 was due" in str(error)


def test_an_initiator_cannot_have_more_signed_than_it_announced(channels):
    alice, bob = channels()

    def dishonest() -> None:
        _hello(alice, "rsa", 1)
        alice.receive("psi-hello")
        number = (5).to_bytes(256, "big")
        alice.send("psi-blinded", number * 2, meta={"last": True})

    error = _against(lambda: respond(bob, IDS, task="t", protocol="rsa"), dishonest)

    assert "2 items came, but only 1 were announced" in str(error)


def test_messages_of_another_attempt_are_never_read(channels):
    alice, bob = channels(attempts=(1, 0), timeout=0.5)

    error = _against(
        lambda: initiate(alice, IDS, task="t", protocol="ecdh", folder=NOWHERE), lambda: _hello(bob, "ecdh", 2)
    )

    assert isinstance(error, ReceiveTimeout)


def test_what_is_read_but_not_taken_is_not_acknowledged(channels):
    alice, bob = channels()
    alice.send("psi-tags", bytes(100_000))  # larger than what travels inline: it lies on the server until it is fetched
    alice.send("psi-returned", bytes(100_000))

    bob.receive("psi-returned")
    before = bob._mailbox.taken["alice"]
    bob.receive("psi-tags")

    assert before == (1, 0)
    assert bob._mailbox.taken["alice"] == (1, 2)


@pytest.mark.parametrize(
    ("places", "count", "expected"),
    [
        ([0, 20], 2, "positions of common ids"),
        ([1, 1], 2, "positions of common ids"),
        ([1], 2, "announced 2 common ids in 4 bytes"),
    ],
    ids=["beyond the list", "twice", "wrong count"],
)
def test_a_result_that_cannot_be_is_refused(channels, places, count, expected):
    alice, bob = channels()
    payload = b"".join(place.to_bytes(4, "little") for place in places)

    error = _against(
        lambda: hear_result(bob, shuffled(IDS)), lambda: alice.send("psi-result", payload, meta={"count": count})
    )

    assert expected in str(error)


def test_an_unknown_protocol_is_refused_where_it_is_written():
    with pytest.raises(ConfigError, match="psi='dh' is no protocol"):
        check_protocol("dh")


_runs = iter(range(1_000_000))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mine=st.lists(st.text(max_size=6), max_size=30), theirs=st.lists(st.text(max_size=6), max_size=30))
def test_any_two_lists_meet_as_pythons_sets_do(channels, mine, theirs):
    def storable(values: list[str]) -> list[str]:
        return [value for value in values if not any("\ud800" <= letter <= "\udfff" for letter in value)]

    own, other = normalise(storable(mine)), normalise(storable(theirs))
    alice, bob = channels(run=f"run{next(_runs)}")
    heard: list[list[str]] = []

    def answer() -> None:
        order, _ = respond(bob, other, task="t", protocol="ecdh")
        heard.append([other.given[position] for position in hear_result(bob, order)])

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    match = initiate(alice, own, task="t", protocol="ecdh", folder=NOWHERE)
    tell_result(alice, match, match.common)
    thread.join(20)

    expected = set(own) & set(other)
    assert list(match.common) == [value for value in own if value in expected]
    assert [list(map(canonical, values)) for values in heard] == [[value for value in other if value in expected]]
