"""Shamir's secret sharing (1979): a secret in n shares, of which any t give it back and t - 1 say nothing.

Arithmetic is modulo the Mersenne prime 2^521 - 1, which has room for secrets of 64 bytes. The secret is the value at 0
of a polynomial of degree t - 1 whose other coefficients are random; share i is its value at i = 1, 2, …
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping

from playground_ext.errors import AggregationError, ProtocolError, TooFewSurvivors

__all__ = ["PRIME", "SHARE_BYTES", "combine", "split"]

PRIME = 2**521 - 1
SHARE_BYTES = 66
MAX_SECRET_BYTES = 64


def split(
    secret: bytes, *, threshold: int, count: int, draw: Callable[[int], bytes] = secrets.token_bytes
) -> dict[int, bytes]:
    """Shares of `SHARE_BYTES` bytes by their number, 1 to `count`. `draw(n)` gives n secret random bytes.

    Raises:
        AggregationError: a threshold below 1 or above `count`, or a secret that is too long.
    """
    if not 1 <= threshold <= count:
        raise AggregationError(f"{threshold} of {count} shares cannot be a threshold")
    if len(secret) > MAX_SECRET_BYTES:
        raise AggregationError(f"a secret of {len(secret)} bytes does not fit; {MAX_SECRET_BYTES} do")
    coefficients = [int.from_bytes(secret, "big"), *(_uniform(draw) for _ in range(threshold - 1))]
    return {place: _evaluate(coefficients, place).to_bytes(SHARE_BYTES, "big") for place in range(1, count + 1)}


def combine(shares: Mapping[int, bytes], *, threshold: int, size: int) -> bytes:
    """The secret of `size` bytes, from at least `threshold` shares by their numbers.

    Raises:
        TooFewSurvivors: fewer shares than the threshold.
        ProtocolError: shares that cannot be of one secret of that size.
    """
    if len(shares) < threshold:
        raise TooFewSurvivors(f"{len(shares)} shares are here; the secret takes {threshold}")
    points = {place: int.from_bytes(share, "big") for place, share in shares.items()}
    if any(len(share) != SHARE_BYTES for share in shares.values()) or any(value >= PRIME for value in points.values()):
        raise ProtocolError("a share is not one")
    chosen = dict(sorted(points.items())[:threshold])
    secret = _interpolate(chosen, 0)
    spare = [place for place in points if place not in chosen]
    if secret >> (8 * size) or any(_interpolate(chosen, place) != points[place] for place in spare):
        raise ProtocolError("the shares do not belong together")
    return secret.to_bytes(size, "big")


def _uniform(draw: Callable[[int], bytes]) -> int:
    """521 random bits; all ones, with probability 2^-521, count as 0."""
    return (int.from_bytes(draw(SHARE_BYTES), "big") >> (8 * SHARE_BYTES - 521)) % PRIME


def _evaluate(coefficients: list[int], place: int) -> int:
    value = 0
    for coefficient in reversed(coefficients):
        value = (value * place + coefficient) % PRIME
    return value


def _interpolate(points: Mapping[int, int], place: int) -> int:
    """Lagrange: sum of y_i times the product of (x - x_j) / (x_i - x_j)."""
    total = 0
    for x, y in points.items():
        above, below = 1, 1
        for other in points:
            if other != x:
                above = above * (place - other) % PRIME
                below = below * (x - other) % PRIME
        total = (total + y * above * pow(below, -1, PRIME)) % PRIME
    return total
