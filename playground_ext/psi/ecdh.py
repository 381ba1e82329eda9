"""Intersection by commutative blinding on Curve25519: H(x)^ab is the same for both parties exactly if x is.

The protocol is that of Meadows (1986) and Huberman, Franklin & Hogg (1999), with a and b secret, H a random oracle:

1. each party sends H(x)^a (collaborator: H(y)^b) for its own ids, in a secret random order: `blind_blocks`;
2. the collaborator returns the initiator's points raised to b, in the order they came: `reblind_blocks`;
3. the initiator raises the collaborator's points to a and compares: `reblind_blocks`, `buckets.Buckets`.

Between semi-honest parties, under the decisional Diffie-Hellman assumption in the random oracle model, the initiator
learns which of its ids are common and how many ids the collaborator has; the collaborator learns how many ids the
initiator has. (Whoever answers step 2 could lie about the result, or raise the points to another secret; no proof
keeps it from doing so.) Both secrets are fresh for every attempt and leave no party.

Hashing follows RFC 9380's `hash_to_curve`: two independent images of Elligator 2, added, cofactor cleared, so H(x) is
uniform in the prime-order group. Its X25519 coordinate (RFC 7748) is then on the curve, never on the twist; a raw hash
taken as coordinate would leak one bit an id. The scalar multiplications and the map are libsodium's, through PyNaCl;
X25519 takes constant time.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence
from typing import NoReturn

import gmpy2  # type: ignore[import-untyped]
from nacl.bindings import crypto_core_ed25519_add, crypto_core_ed25519_from_uniform, crypto_scalarmult

from playground_ext.errors import MalformedPayload
from playground_ext.psi.blocks import BLOCK_IDS, THREADS, Buffer, Progress, check_items, checked_blocks, in_threads
from playground_ext.psi.hashing import Domain
from playground_ext.psi.matching import Shuffled
from playground_ext.psi.modular import invert_all

__all__ = ["POINT_BYTES", "Secret", "blind", "blind_blocks", "hash_to_curve", "reblind", "reblind_blocks"]

POINT_BYTES = 32  # a little-endian u-coordinate
_PRIME = gmpy2.mpz(2**255 - 19)
_A = 486662  # v² = u³ + A·u² + u
_PURPOSE = b"ecdh/curve25519/shake256/elligator2"


class Secret:
    """One party's exponent for one attempt. It cannot be printed, compared, copied to another process or derived."""

    __slots__ = ("_scalar",)

    def __init__(self, scalar: bytes) -> None:
        if len(scalar) != 32:
            raise ValueError(f"an X25519 scalar has 32 bytes, not {len(scalar)}")
        self._scalar = scalar  # libsodium clamps: a multiple of the cofactor, of fixed length

    @classmethod
    def fresh(cls) -> Secret:
        """From the operating system's generator."""
        return cls(secrets.token_bytes(32))

    def __repr__(self) -> str:
        return "Secret(…)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an ECDH secret does not leave the process that drew it")

    def multiply(self, points: Iterable[bytes]) -> bytes:
        """Each point times this secret, in order.

        Raises:
            MalformedPayload: a point of small order, whose product says nothing.
        """
        scalar = self._scalar
        try:
            return b"".join([crypto_scalarmult(scalar, point) for point in points])
        except (RuntimeError, ValueError) as error:  # NaCl's RuntimeError: the product is zero
            raise MalformedPayload("a curve point has small order") from error


def blind(ids: Sequence[bytes], secret: Secret, domain: Domain, *, threads: int = THREADS) -> bytes:
    """H(x)·secret for each id, `POINT_BYTES` each, in the given order. The other party may see it."""

    def work(start: int, stop: int) -> bytes:
        return secret.multiply(hash_to_curve(ids[start:stop], domain))

    return b"".join(in_threads(work, len(ids), threads))


def reblind(points: Buffer, secret: Secret, *, count: int, threads: int = THREADS) -> bytes:
    """The other party's `count` blinded points times our secret, in the order they came.

    Raises:
        MalformedPayload: another number of points, or a point that is out of range, not on the curve or of small order.
    """
    view = check_items(points, POINT_BYTES, count, "blinded points")

    def work(start: int, stop: int) -> bytes:
        items = [bytes(view[i : i + POINT_BYTES]) for i in range(start * POINT_BYTES, stop * POINT_BYTES, POINT_BYTES)]
        for point in items:
            _check_point(point)
        return secret.multiply(items)

    return b"".join(in_threads(work, count, threads))


def blind_blocks(
    ids: Shuffled,
    secret: Secret,
    domain: Domain,
    *,
    block_ids: int = BLOCK_IDS,
    threads: int = THREADS,
    progress: Progress | None = None,
) -> Iterator[bytes]:
    """`blind` for all ids, a block at a time: memory stays that of one block."""
    done = 0
    for block in ids.blocks(block_ids):
        yield blind(block, secret, domain, threads=threads)
        done += len(block)
        if progress:
            progress(done)


def reblind_blocks(
    blocks: Iterable[Buffer],
    secret: Secret,
    *,
    count: int,
    threads: int = THREADS,
    progress: Progress | None = None,
) -> Iterator[bytes]:
    """`reblind` for all blocks of the other party, whose sizes are the sender's choice; together `count` points.

    Raises:
        MalformedPayload: a block or point that `reblind` refuses.
        ProtocolError: more or fewer points than announced.
    """
    done = 0
    for view, items in checked_blocks(blocks, POINT_BYTES, count, "blinded points"):
        yield reblind(view, secret, count=items, threads=threads)
        done += items
        if progress:
            progress(done)


def hash_to_curve(ids: Sequence[bytes], domain: Domain) -> list[bytes]:
    """The random oracle H into the prime-order group of Curve25519, as u-coordinates. Never send one as it is."""
    points = [
        crypto_core_ed25519_add(
            crypto_core_ed25519_from_uniform(digest[:32]), crypto_core_ed25519_from_uniform(digest[32:])
        )
        for digest in domain.hashes(ids, 64, _PURPOSE)
    ]
    return _montgomery(points)


def _montgomery(points: Sequence[bytes]) -> list[bytes]:
    """Edwards points as X25519 coordinates, u = (1 + y) / (1 - y) (RFC 7748, section 4.1), with one inversion for all.

    libsodium's own conversion checks the subgroup of each point again, which costs more than a multiplication. The
    neutral element, y = 1, has no coordinate; a hash meets it with probability 2**-252.
    """
    ys = [gmpy2.mpz(int.from_bytes(point, "little") & (2**255 - 1)) for point in points]
    inverses = invert_all([(1 - y) % _PRIME for y in ys], _PRIME)
    return [
        int((1 + y) * inverse % _PRIME).to_bytes(POINT_BYTES, "little") for y, inverse in zip(ys, inverses, strict=True)
    ]


def _check_point(point: bytes) -> None:
    """Refuse what no honest party sends: a coordinate that is not reduced, or one of the twist."""
    u = gmpy2.mpz(int.from_bytes(point, "little"))
    if u >= _PRIME:
        raise MalformedPayload("a curve point is out of range")
    if gmpy2.legendre(u * (u * (u + _A) + 1) % _PRIME, _PRIME) != 1:
        raise MalformedPayload("a point is not on the curve, or has small order")
