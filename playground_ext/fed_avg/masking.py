"""Secure aggregation: the sum of the parties' vectors, of which no party shows its own (Bonawitz et al., 2017).

"Practical Secure Aggregation for Privacy-Preserving Machine Learning", the protocol for semi-honest parties.

In every round each collaborator u draws two X25519 key pairs (c_u seals shares, s_u makes masks) and a seed b_u:

1. keys     u -> aggregator    its public keys; the aggregator hands all of them out
2. shares   u -> aggregator    Shamir shares of s_u and b_u, one for each other v, sealed for v; handed on to v
3. masked   u -> aggregator    y_u = x_u + PRG(b_u) + sum over v > u of PRG(s_uv) - sum over v < u of PRG(s_uv),
                               modulo 2^64, with s_uv the secret that u and v agree on, unknown to the aggregator
4. reveal   u -> aggregator    its shares of b_v for every v whose y_v came, and of s_v for every v that dropped out

Pairwise masks cancel in the sum. The aggregator takes off PRG(b_v) of the survivors, and the pairwise masks that the
survivors have with those that dropped out, from t shares each. It gets shares of b_v or of s_v, never of both, so that
a y_v which comes late stays masked. Everything here is exact integer arithmetic; nothing here sends or waits.

Primitives are `cryptography`'s: X25519, HKDF-SHA256, ChaCha20 as PRG, ChaCha20-Poly1305 for the sealed shares.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from playground_ext.errors import MalformedPayload, ProtocolError, TooFewSurvivors
from playground_ext.fed_avg import shamir
from playground_ext.fed_avg.fixed_point import Words

__all__ = ["PUBLIC_BYTES", "SEALED_BYTES", "SECRET_BYTES", "Domain", "PublicKeys", "RoundSecret", "Shares", "unmask"]

SECRET_BYTES = 32
PUBLIC_BYTES = 2 * 32
SEALED_BYTES = 2 * shamir.SHARE_BYTES + 16  # two shares and Poly1305's tag
_BLOCK = 1 << 17  # words of a mask that are made at a time: 1 MB
_ONCE = bytes(12)  # the nonce of a key that seals one message


@dataclass(frozen=True)
class Domain:
    """What keys are bound to: those of one attempt at a round are of no use in another."""

    task: str
    run: str
    round: int
    attempt: int = 0

    def info(self, purpose: str, *parties: str) -> bytes:
        """HKDF's context. Names hold no slash."""
        where = (self.task, self.run, str(self.round), str(self.attempt))
        return "/".join(["playground", "secure aggregation", purpose, *where, *parties]).encode()


@dataclass(frozen=True)
class PublicKeys:
    """What the others may know of a party's round: 32 bytes each."""

    seal: bytes
    mask: bytes

    @classmethod
    def parse(cls, data: bytes) -> PublicKeys:
        """Raises MalformedPayload unless these are two keys."""
        if len(data) != PUBLIC_BYTES:
            raise MalformedPayload(f"two X25519 keys have {PUBLIC_BYTES} bytes, not {len(data)}")
        return cls(data[:32], data[32:])

    def __bytes__(self) -> bytes:
        return self.seal + self.mask


@dataclass(frozen=True)
class Shares:
    """Of another party's secrets, what this one holds: `SHARE_BYTES` each."""

    mask_key: bytes  # of s_v, revealed if v drops out
    own_mask: bytes  # of b_v, revealed if v stays


class RoundSecret:
    """One collaborator's secrets of one round, all derived from 32 bytes of the operating system's generator.

    It cannot be printed. The 32 bytes may be kept in this party's private folder until the round is over, so that a
    party that was killed sends the same messages again. Two vectors under one mask would show how they differ.
    """

    def __init__(self, root: bytes, me: str, domain: Domain) -> None:
        if len(root) != SECRET_BYTES:
            raise ValueError(f"a round's secret has {SECRET_BYTES} bytes, not {len(root)}")
        self._me, self._domain = me, domain
        self._root = root
        self._seal_key = X25519PrivateKey.from_private_bytes(self._derive("seal key"))
        self._mask_key = self._derive("mask key")
        self._own_mask = self._derive("own mask")

    @classmethod
    def fresh(cls, me: str, domain: Domain) -> RoundSecret:
        return cls(secrets.token_bytes(SECRET_BYTES), me, domain)

    def __repr__(self) -> str:
        return "RoundSecret(…)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a round's secret does not leave the process that drew it")

    @property
    def root(self) -> bytes:
        """What all of it is derived from. For this party's private folder, and nothing else."""
        return self._root

    @property
    def public(self) -> PublicKeys:
        return PublicKeys(self._seal_key.public_key().public_bytes_raw(), _public(self._mask_key))

    def seal_shares(self, roster: Mapping[str, PublicKeys], *, threshold: int) -> dict[str, bytes]:
        """For each other party of the roster its shares of this party's secrets, which only it can open.

        Raises:
            ProtocolError: this party's keys are not in the roster.
            AggregationError: a threshold that cannot be reached.
        """
        if roster.get(self._me) != self.public:
            raise ProtocolError(f"the roster holds other keys of {self._me} than those it sent", party=self._me)
        stream = _Stream(self._derive("coefficients"))
        count = len(roster)
        mask_key = shamir.split(self._mask_key, threshold=threshold, count=count, draw=stream.read)
        own_mask = shamir.split(self._own_mask, threshold=threshold, count=count, draw=stream.read)
        sealed = {}
        for place, party in enumerate(roster, start=1):
            shares = Shares(mask_key[place], own_mask[place])
            if party == self._me:
                self._kept = shares
            else:
                key = self._seal(party, roster[party], sender=self._me)
                sealed[party] = key.encrypt(_ONCE, shares.mask_key + shares.own_mask, None)
        return sealed

    def open_shares(self, sealed: Mapping[str, bytes], roster: Mapping[str, PublicKeys]) -> dict[str, Shares]:
        """What the others sealed for this party, and its own shares.

        Raises:
            MalformedPayload: shares that were not sealed for this party and round.
        """
        opened = {self._me: self._kept}
        for party, data in sealed.items():
            try:
                plain = self._seal(party, roster[party], sender=party).decrypt(_ONCE, data, None)
            except InvalidTag as error:
                raise MalformedPayload(f"the shares from {party} are not sealed for {self._me}", party=party) from error
            opened[party] = Shares(plain[: shamir.SHARE_BYTES], plain[shamir.SHARE_BYTES :])
        return opened

    def mask(self, vector: Words, others: Mapping[str, PublicKeys]) -> Words:
        """y_u: the vector under this party's own mask and its pairwise masks with all that shared their secrets."""
        masked = vector.copy()
        _add_mask(masked, self._own_mask, +1)
        for party, public in others.items():
            if party != self._me:
                _add_mask(
                    masked, _pairwise(self._mask_key, public, self._domain, self._me, party), _sign(self._me, party)
                )
        return masked

    def _seal(self, other: str, public: PublicKeys, *, sender: str) -> ChaCha20Poly1305:
        receiver = other if sender == self._me else self._me
        agreed = _agree(self._seal_key, public.seal, other)
        return ChaCha20Poly1305(_hkdf(agreed, self._domain.info("shares", sender, receiver)))

    def _derive(self, purpose: str) -> bytes:
        return _hkdf(self._root, self._domain.info(purpose, self._me))


def unmask(
    total: Words,
    *,
    roster: Mapping[str, PublicKeys],
    dropped: Collection[str],
    revealed: Mapping[str, Mapping[str, bytes]],
    threshold: int,
    domain: Domain,
) -> Words:
    """The sum of the survivors' vectors, from the sum of their masked ones.

    `roster`: all that handed out keys, in the order of their shares. `revealed`: for each v that shared its secrets, by
    the party that reveals it, a share of s_v if v is in `dropped`, else of b_v. Only survivors can reveal.

    Raises:
        TooFewSurvivors: fewer shares of somebody's secret than the threshold.
        ProtocolError: shares that do not belong together, or give a key that is not the one handed out.
    """
    places = {party: place for place, party in enumerate(roster, start=1)}
    survivors = [party for party in revealed if party not in dropped]
    result = total.copy()
    for owner, by_party in revealed.items():
        shares = {places[party]: share for party, share in by_party.items()}
        try:
            secret = shamir.combine(shares, threshold=threshold, size=SECRET_BYTES)
        except (TooFewSurvivors, ProtocolError) as error:
            raise type(error)(
                f"{owner}'s secret cannot be put together: {error.what}", party=owner, round=domain.round
            ) from error
        if owner not in dropped:
            _add_mask(result, secret, -1)
            continue
        if _public(secret) != roster[owner].mask:
            raise ProtocolError(f"the shares of {owner}'s key give another key", party=owner, round=domain.round)
        for party in survivors:
            _add_mask(result, _pairwise(secret, roster[party], domain, owner, party), -_sign(party, owner))
    return result


def _pairwise(key: bytes, public: PublicKeys, domain: Domain, mine: str, other: str) -> bytes:
    """The seed of the mask that two parties share, the same from either side."""
    agreed = _agree(X25519PrivateKey.from_private_bytes(key), public.mask, other)
    return _hkdf(agreed, domain.info("mask", *sorted((mine, other))))


def _sign(mine: str, other: str) -> int:
    """One of two adds their mask, the other subtracts it."""
    return 1 if mine < other else -1


def _agree(key: X25519PrivateKey, public: bytes, owner: str) -> bytes:
    try:
        return key.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError as error:  # of small order: the agreed secret would be known to everybody
        raise MalformedPayload(f"{owner} sent a key that is none", party=owner) from error


def _public(key: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(key).public_key().public_bytes_raw()


def _hkdf(secret: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(secret)


def _add_mask(vector: Words, seed: bytes, sign: int) -> None:
    """vector + sign * PRG(seed), modulo 2^64, in place."""
    stream = _Stream(seed)
    for start in range(0, len(vector), _BLOCK):
        part = vector[start : start + _BLOCK]
        mask = np.frombuffer(stream.read(part.nbytes), dtype="<u8")
        if sign > 0:
            np.add(part, mask, out=part)
        else:
            np.subtract(part, mask, out=part)


class _Stream:
    """ChaCha20's key stream."""

    def __init__(self, seed: bytes) -> None:
        self._encryptor = Cipher(ChaCha20(seed, bytes(16)), mode=None).encryptor()

    def read(self, count: int) -> bytes:
        return self._encryptor.update(bytes(count))
