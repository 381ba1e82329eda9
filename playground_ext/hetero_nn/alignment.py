"""Do all parties mean the same samples? Compared by digests that only the host and one collaborator can compute."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from nacl.exceptions import CryptoError
from nacl.public import Box, PrivateKey, PublicKey

from playground_ext.errors import MalformedPayload
from playground_ext.psi.ids import canonical

__all__ = ["Agreement", "Digester", "in_common_order"]

Id = str | int


class Digester:
    """Digests of lists of ids under a key that the host and one collaborator share.

    Without the key, whoever records the messages could test guesses of ids against a plain hash.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def digest(self, ids: Iterable[Id]) -> str:
        """32 hexadecimal digits; the order counts."""
        state = hashlib.blake2b(digest_size=16, key=self._key)
        for value in ids:
            encoded = canonical(value)
            state.update(len(encoded).to_bytes(8, "big") + encoded)
        return state.hexdigest()


class Agreement:
    """One party's half of a key agreement on Curve25519, fresh for every attempt."""

    def __init__(self) -> None:
        self._private = PrivateKey.generate()

    @property
    def public(self) -> str:
        return bytes(self._private.public_key).hex()

    def with_peer(self, public: object, peer: str) -> Digester:
        """Raises MalformedPayload: not a public key."""
        try:
            key = PublicKey(bytes.fromhex(str(public)))
            return Digester(Box(self._private, key).shared_key())
        except (ValueError, TypeError, RuntimeError, CryptoError) as error:
            raise MalformedPayload(f"{peer} sent no public key", party=peer) from error


def in_common_order(ids: Iterable[Id]) -> list[Id]:
    """A set as a list in an order that is the same at all parties; a list or tuple as its owner ordered it."""
    if isinstance(ids, set | frozenset):
        return sorted(ids, key=canonical)
    return list(ids)
