"""Intersection by blind RSA signatures (De Cristofaro & Tsudik, 2010; signatures after Chaum, 1982).

The collaborator signs, the initiator asks. With H a full-domain hash into Z_n, H' a short hash and r random:

1. the collaborator sends its public key, the initiator H(x)·r^e mod n for each of its ids: `blind`;
2. the collaborator raises that to d and returns it: `sign_blinded`; it also sends H'(H(y)^d) for its own ids in a
   secret random order: `tag_blocks`;
3. the initiator divides by r, checks s^e = H(x), and compares H'(s) with the tags: `unblind`, `buckets.Buckets`.

Between semi-honest parties, under the one-more-RSA assumption in the random oracle model, the initiator learns which
of its ids are common and how many ids the collaborator has; the collaborator learns how many ids the initiator has,
and nothing about them even with unbounded computation. Every signature lets the initiator test one guess, so a
collaborator signs no more of them than were announced at check-in (`count`) and never twice with one key.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

import gmpy2  # type: ignore[import-untyped]
from gmpy2 import mpz

from playground_ext.errors import MalformedPayload, ProtocolError
from playground_ext.psi.blocks import BLOCK_IDS, THREADS, Buffer, Progress, check_items, checked_blocks, in_threads
from playground_ext.psi.hashing import Domain
from playground_ext.psi.matching import Shuffled
from playground_ext.psi.modular import MARGIN_BYTES, invert_all, pack, pack_all, random_numbers, unpack, unpack_all
from playground_ext.psi.rsa_keys import EXPONENT, MAX_BITS, MIN_BITS, PublicKey, SigningKey

__all__ = [
    "EXPONENT",
    "MAX_BITS",
    "MIN_BITS",
    "TAG_BYTES",
    "Blinding",
    "PublicKey",
    "SigningKey",
    "blind",
    "sign_blinded",
    "sign_blocks",
    "tag_blocks",
    "tags",
    "unblind",
]

TAG_BYTES = 16  # two different ids share a tag with probability 2**-128


@dataclass(frozen=True)
class Blinding:
    """What the initiator keeps of one blinded block until its signatures come: secret, used once."""

    ids: Sequence[bytes] = field(repr=False)
    inverses: bytes = field(repr=False)  # 1/r, `width` bytes for each id

    def __len__(self) -> int:
        return len(self.ids)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a blinding does not leave the process that drew it")


def blind(ids: Sequence[bytes], key: PublicKey, domain: Domain, *, threads: int = THREADS) -> tuple[bytes, Blinding]:
    """Initiator: H(x)·r^e for a block of ids, which the collaborator may see, and the factors to undo it.

    Raises:
        ProtocolError: the key's modulus has small factors, so it is no RSA key.
    """
    n = mpz(key.modulus)

    def work(start: int, stop: int) -> tuple[bytes, bytes]:
        hashes = _full_domain_hashes(ids[start:stop], key, domain)
        factors = random_numbers(len(hashes), n)
        try:
            inverses = invert_all(factors, n)
        except ZeroDivisionError as error:
            raise ProtocolError("the RSA modulus has small factors") from error
        masks = gmpy2.powmod_base_list(factors, EXPONENT, n)
        blinded = [h * mask % n for h, mask in zip(hashes, masks, strict=True)]
        return pack_all(blinded, key.width), pack_all(inverses, key.width)

    parts = in_threads(work, len(ids), threads)
    return b"".join(part for part, _ in parts), Blinding(ids, b"".join(part for _, part in parts))


def sign_blinded(blinded: Buffer, key: SigningKey, *, count: int, threads: int = THREADS) -> bytes:
    """Collaborator: sign a block of `count` blinded numbers without learning what they hide.

    Raises:
        MalformedPayload: another number of them, or one that is not in 2 … n - 2.
    """
    width, n = key.public.width, key.public.modulus
    view = check_items(blinded, width, count, "blinded numbers")

    def work(start: int, stop: int) -> bytes:
        numbers = unpack_all(view[start * width : stop * width], width)
        if not all(1 < number < n - 1 for number in numbers):
            raise MalformedPayload("a blinded number is out of range")
        return pack_all(key.sign(numbers), width)

    return b"".join(in_threads(work, count, threads))


def sign_blocks(
    blocks: Iterable[Buffer],
    key: SigningKey,
    *,
    count: int,
    threads: int = THREADS,
    progress: Progress | None = None,
) -> Iterator[bytes]:
    """Collaborator: `sign_blinded` for all blocks of the initiator; exactly `count` numbers, the oracle's limit.

    Raises:
        MalformedPayload: a block that `sign_blinded` refuses.
        ProtocolError: more numbers than announced (none of that block is signed), or fewer.
    """
    checked = checked_blocks(blocks, key.public.width, count, "blinded numbers")
    yield from _with_progress(
        ((sign_blinded(view, key, count=items, threads=threads), items) for view, items in checked), progress
    )


def unblind(signed: Buffer, blinding: Blinding, key: PublicKey, domain: Domain, *, threads: int = THREADS) -> bytes:
    """Initiator: the tags of a block of own ids, `TAG_BYTES` each, from the collaborator's signatures. Stays private.

    Raises:
        MalformedPayload: another number of signatures, or one out of range.
        ProtocolError: a number that is not the signature of the id it answers.
    """
    n, width = mpz(key.modulus), key.width
    view = check_items(signed, width, len(blinding), "signatures")

    def work(start: int, stop: int) -> bytes:
        numbers = unpack_all(view[start * width : stop * width], width)
        if not all(1 < number < n - 1 for number in numbers):
            raise MalformedPayload("a signature is out of range")
        inverses = unpack_all(memoryview(blinding.inverses)[start * width : stop * width], width)
        signatures = [number * inverse % n for number, inverse in zip(numbers, inverses, strict=True)]
        hashes = _full_domain_hashes(blinding.ids[start:stop], key, domain)
        if gmpy2.powmod_base_list(signatures, EXPONENT, n) != hashes:
            raise ProtocolError(
                "a signature is wrong: it was made with another key, for another attempt, or in another order"
            )
        return _short_hashes(signatures, key, domain)

    return b"".join(in_threads(work, len(blinding), threads))


def tags(ids: Sequence[bytes], key: SigningKey, domain: Domain, *, threads: int = THREADS) -> bytes:
    """Collaborator: H'(H(y)^d) for a block of own ids, `TAG_BYTES` each. Send them in shuffled order only."""

    def work(start: int, stop: int) -> bytes:
        hashes = _full_domain_hashes(ids[start:stop], key.public, domain)
        return _short_hashes(key.sign(hashes), key.public, domain)

    return b"".join(in_threads(work, len(ids), threads))


def tag_blocks(
    ids: Shuffled,
    key: SigningKey,
    domain: Domain,
    *,
    block_ids: int = BLOCK_IDS,
    threads: int = THREADS,
    progress: Progress | None = None,
) -> Iterator[bytes]:
    """Collaborator: `tags` of all own ids in their secret order, a block at a time. The initiator may see them."""
    blocks = ((tags(block, key, domain, threads=threads), len(block)) for block in ids.blocks(block_ids))
    yield from _with_progress(blocks, progress)


def _with_progress(blocks: Iterable[tuple[bytes, int]], progress: Progress | None) -> Iterator[bytes]:
    done = 0
    for message, items in blocks:
        yield message
        done += items
        if progress:
            progress(done)


def _full_domain_hashes(ids: Sequence[bytes], key: PublicKey, domain: Domain) -> list[mpz]:
    """H: uniform in Z_n up to 2**-128 (Bellare & Rogaway, 1996), separated by the key as well."""
    n = mpz(key.modulus)
    return [unpack(digest) % n for digest in domain.hashes(ids, key.width + MARGIN_BYTES, b"rsa/fdh", key.to_bytes())]


def _short_hashes(signatures: Sequence[mpz], key: PublicKey, domain: Domain) -> bytes:
    packed = (pack(signature, key.width) for signature in signatures)
    return b"".join(domain.hashes(packed, TAG_BYTES, b"rsa/tag", key.to_bytes()))
