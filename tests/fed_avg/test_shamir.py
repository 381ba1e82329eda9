"""Shamir's secret sharing: any t shares give the secret, fewer give nothing."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground_ext.errors import AggregationError, ProtocolError, TooFewSurvivors
from playground_ext.fed_avg.shamir import PRIME, SHARE_BYTES, combine, split

sizes = st.integers(1, 7).flatmap(lambda count: st.tuples(st.integers(1, count), st.just(count)))


@given(secret=st.binary(min_size=1, max_size=64), size=sizes)
def test_every_set_of_threshold_shares_gives_the_secret(secret: bytes, size: tuple[int, int]) -> None:
    threshold, count = size
    shares = split(secret, threshold=threshold, count=count)

    for places in combinations(shares, threshold):
        chosen = {place: shares[place] for place in places}
        assert combine(chosen, threshold=threshold, size=len(secret)) == secret
    assert combine(shares, threshold=threshold, size=len(secret)) == secret


def test_fewer_shares_than_the_threshold_are_refused() -> None:
    shares = split(b"secret", threshold=3, count=5)

    with pytest.raises(TooFewSurvivors, match="2 shares are here; the secret takes 3"):
        combine({1: shares[1], 4: shares[4]}, threshold=3, size=6)


def test_fewer_shares_than_the_threshold_fit_every_secret() -> None:
    # Perfect secrecy: for t - 1 shares and any secret there is a polynomial through both, so they rule nothing out.
    # By hand for t = 2: the line through (0, other) and the share (1, y) is y(x) = other + (y - other) x.
    share = int.from_bytes(split(b"\x07", threshold=2, count=2)[1], "big")
    for other in (0, 7, 200):
        second = (other + (share - other) * 2) % PRIME
        forged = {1: share.to_bytes(SHARE_BYTES, "big"), 2: second.to_bytes(SHARE_BYTES, "big")}
        assert combine(forged, threshold=2, size=1) == bytes([other])


def test_shares_lie_on_a_polynomial_with_the_drawn_coefficients() -> None:
    # 66 bytes of zeros but the last: 521 bits keep all but the lowest 7, so 0x180 is drawn as 3. By hand: 5 + 3x.
    shares = split(b"\x05", threshold=2, count=3, draw=lambda size: (0x180).to_bytes(size, "big"))

    assert [int.from_bytes(share, "big") for share in shares.values()] == [8, 11, 14]


def test_the_same_secret_is_shared_differently_every_time() -> None:
    assert split(b"secret", threshold=2, count=2) != split(b"secret", threshold=2, count=2)


def test_a_damaged_share_is_noticed_where_there_is_one_too_many() -> None:
    shares = split(b"secret", threshold=2, count=3)
    damaged = {**shares, 3: bytes(SHARE_BYTES)}

    with pytest.raises(ProtocolError, match="do not belong together"):
        combine(damaged, threshold=2, size=6)


@pytest.mark.parametrize("share", [b"", bytes(65), b"\xff" * SHARE_BYTES])
def test_what_cannot_be_a_share_is_refused(share: bytes) -> None:
    shares = split(b"secret", threshold=2, count=2)

    with pytest.raises(ProtocolError, match="a share is not one"):
        combine({1: shares[1], 2: share}, threshold=2, size=6)


@pytest.mark.parametrize(("threshold", "count"), [(0, 3), (4, 3)])
def test_a_threshold_that_cannot_be_reached_is_refused(threshold: int, count: int) -> None:
    with pytest.raises(AggregationError, match="cannot be a threshold"):
        split(b"secret", threshold=threshold, count=count)


def test_a_secret_that_does_not_fit_is_refused() -> None:
    with pytest.raises(AggregationError, match="65 bytes does not fit"):
        split(bytes(65), threshold=1, count=1)
