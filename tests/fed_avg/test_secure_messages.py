"""What secure aggregation's parties refuse to believe."""

from __future__ import annotations

from typing import Any

import pytest

from playground_ext.bus.envelope import Envelope
from playground_ext.errors import MalformedPayload, ProtocolError
from playground_ext.fed_avg.secure_messages import cut, named_parties


def envelope(payload: bytes = b"", **meta: Any) -> Envelope:
    return Envelope("t", "r", "aggregator", "a", 1, 1, "survivors", round=2, meta=meta, payload=payload)


def test_a_payload_is_cut_into_equal_pieces() -> None:
    assert cut(envelope(b"aabbcc"), ["x", "y", "z"], 2) == {"x": b"aa", "y": b"bb", "z": b"cc"}
    with pytest.raises(MalformedPayload, match="aggregator's 'survivors' has 5 bytes; 6 were expected"):
        cut(envelope(b"aabbc"), ["x", "y", "z"], 2)


def test_named_parties_are_taken_in_the_aggregators_order() -> None:
    assert named_parties(envelope(parties=["c", "a"]), ["a", "b", "c"], threshold=2) == ["c", "a"]


@pytest.mark.parametrize(
    ("parties", "said"),
    [
        (["a", "x"], "names other parties than those of this round in its 'survivors'"),
        ("ab", "names other parties"),
        (None, "names other parties"),
        ([["a"], "b"], "names other parties"),
        (["a", "a"], "names a party twice"),
        (["a"], "goes on with 1 parties, fewer than the threshold 2"),  # or a sum of one would be uncovered
    ],
)
def test_an_aggregator_that_names_the_wrong_parties_gets_nothing(parties: Any, said: str) -> None:
    with pytest.raises(ProtocolError, match=said):
        named_parties(envelope(parties=parties), ["a", "b", "c"], threshold=2)
