"""Who sends what to whom: one intersection between an initiator and a collaborator, over a channel.

Both say hello (protocol, number of ids, a nonce; with RSA the collaborator's public key), then blocks go both ways at
the same time. What each party learns is said in the package's docstring, and how much memory it takes. Both are assumed
to be semi-honest.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast

import numpy as np

from playground_ext.errors import ConfigError, MalformedPayload, ProtocolError
from playground_ext.psi import ecdh, rsa
from playground_ext.psi.blocks import checked_blocks
from playground_ext.psi.buckets import Buckets
from playground_ext.psi.channel import Channel, alternate
from playground_ext.psi.hashing import NONCE_BYTES, Domain, fresh_nonce
from playground_ext.psi.ids import MAX_IDS, IdSet, Positions
from playground_ext.psi.matching import Shuffled, shuffled

__all__ = ["PROTOCOLS", "Match", "Protocol", "check_protocol", "hear_result", "initiate", "respond", "tell_result"]

Protocol = Literal["ecdh", "rsa"]
PROTOCOLS: tuple[str, ...] = ("ecdh", "rsa")
RSA_BLOCK_IDS = 1024  # about a second of signing
_PLACE = np.dtype("<u4")
_NOWHERE = np.uint32(2**32 - 1)


@dataclass(frozen=True, eq=False)
class Match:
    """What the initiator knows after one intersection: the common ids, and where each stands at the collaborator."""

    peer: str
    peer_count: int
    common: IdSet
    places: Positions = field(repr=False)  # of each common id in the collaborator's secret order


@dataclass(frozen=True)
class _Start:
    """What both hellos say."""

    domain: Domain
    theirs: int  # the other party's number of ids
    key: rsa.PublicKey | None = None


def initiate(channel: Channel, ids: IdSet, *, task: str, protocol: Protocol, folder: Path) -> Match:
    """The initiator's side. `folder`: a private one of its own, for what does not fit into memory.

    Raises:
        ProtocolError: messages that this protocol does not know, out of range, wrong in number, or repeated.
        StorageError: the disk is full or not writable.
    """
    own = shuffled(ids)
    start = _hello(channel, len(own), task=task, protocol=protocol, leads=True)
    channel.meter.expect(2 * len(own) + start.theirs)
    width = ecdh.POINT_BYTES if protocol == "ecdh" else rsa.TAG_BYTES
    with Buckets(folder, width=width, mine_count=len(own), theirs_count=start.theirs) as buckets:
        if protocol == "ecdh":
            _initiate_ecdh(channel, own, start, buckets)
        else:
            _initiate_rsa(channel, own, start, buckets)
        places = np.full(len(own), _NOWHERE, dtype=np.uint32)
        for found in buckets.matches():
            places[own.order[found.mine]] = found.theirs
    common = places != _NOWHERE
    return Match(channel.peer, start.theirs, ids.at(ids.positions[common]), places[common])


def respond(
    channel: Channel, ids: IdSet, *, task: str, protocol: Protocol, key_bits: int = rsa.MIN_BITS
) -> tuple[Shuffled, int]:
    """The collaborator's side. Returns its ids in their secret order, and the number of the initiator's.

    Raises:
        ProtocolError: as for `initiate`; also another protocol than the initiator's.
        ConfigError: `key_bits` below 2048.
    """
    own = shuffled(ids)
    signing = rsa.SigningKey.generate(key_bits) if protocol == "rsa" else None
    start = _hello(channel, len(own), task=task, protocol=protocol, leads=False, signing=signing)
    channel.meter.expect(len(own) + start.theirs)
    if signing is None:
        _respond_ecdh(channel, own, start)
    else:
        _respond_rsa(channel, own, start, signing)
    return own, start.theirs


def tell_result(channel: Channel, match: Match, common: IdSet) -> None:
    """Initiator: which of the collaborator's ids are common to all, as increasing places in the order it sent them."""
    wanted = np.zeros(len(common.given), dtype=np.bool_)
    wanted[common.positions] = True
    places = match.places[wanted[match.common.positions]].astype(_PLACE, copy=False)
    places.sort()
    channel.send("psi-result", places.data, meta={"count": len(common)})


def hear_result(channel: Channel, own: Shuffled) -> Positions:
    """Collaborator: where its common ids first stood in the list that it gave; increasing.

    Raises:
        ProtocolError: places that do not exist or come twice.
    """
    envelope = channel.receive("psi-result", patient=True)  # the other collaborators may have their turn first
    payload = memoryview(envelope.payload)
    count = envelope.meta.get("count")
    if payload.nbytes % _PLACE.itemsize or payload.nbytes // _PLACE.itemsize != count:
        raise MalformedPayload(f"{channel.peer} announced {count!r} common ids in {payload.nbytes:,} bytes")
    positions = own.ids.positions[own.original(np.frombuffer(payload, dtype=_PLACE))]
    positions.sort()
    return positions


def _hello(
    channel: Channel, mine: int, *, task: str, protocol: Protocol, leads: bool, signing: rsa.SigningKey | None = None
) -> _Start:
    nonce = fresh_nonce()
    meta = {"protocol": protocol, "count": mine, "nonce": nonce.hex()}
    if leads:
        channel.send("psi-hello", meta=meta)
    envelope = channel.receive("psi-hello", patient=not leads)
    if not leads:
        channel.send("psi-hello", signing.public.to_bytes() if signing else b"", meta=meta)
    if envelope.meta.get("protocol") != protocol:
        raise ProtocolError(
            f"{channel.peer} intersects by {envelope.meta.get('protocol')!r}, this party by {protocol!r}",
            party=channel.peer,
            next_step="use the same protocol in every notebook",
        )
    theirs, their_nonce = _count(envelope.meta.get("count"), channel.peer), _nonce(envelope.meta.get("nonce"))
    domain = Domain(task, nonce, their_nonce) if leads else Domain(task, their_nonce, nonce)
    wants_key = leads and protocol == "rsa"
    return _Start(domain, theirs, rsa.PublicKey.from_bytes(envelope.payload) if wants_key else None)


def _initiate_ecdh(channel: Channel, own: Shuffled, start: _Start, buckets: Buckets) -> None:
    secret, width = ecdh.Secret.fresh(), ecdh.POINT_BYTES

    def take_theirs() -> Iterator[None]:
        for block in ecdh.reblind_blocks(channel.blocks("psi-blinded", start.theirs), secret, count=start.theirs):
            buckets.add_theirs(block)
            channel.meter.advance(len(block) // width)
            yield

    def take_returned() -> Iterator[None]:
        blocks = channel.blocks("psi-returned", len(own))
        for block, items in checked_blocks(blocks, width, len(own), "points that came back"):
            buckets.add_mine(block)
            channel.meter.advance(items)
            yield

    sending = channel.send_blocks("psi-blinded", ecdh.blind_blocks(own, secret, start.domain), len(own), width)
    alternate(sending, take_theirs(), take_returned())


def _respond_ecdh(channel: Channel, own: Shuffled, start: _Start) -> None:
    secret, width = ecdh.Secret.fresh(), ecdh.POINT_BYTES
    returned = ecdh.reblind_blocks(channel.blocks("psi-blinded", start.theirs), secret, count=start.theirs)
    alternate(
        channel.send_blocks("psi-blinded", ecdh.blind_blocks(own, secret, start.domain), len(own), width),
        channel.send_blocks("psi-returned", returned, start.theirs, width),
    )


def _initiate_rsa(channel: Channel, own: Shuffled, start: _Start, buckets: Buckets) -> None:
    key = cast(rsa.PublicKey, start.key)
    blindings: deque[rsa.Blinding] = deque()

    def blinded() -> Iterator[bytes]:
        for block in own.blocks(RSA_BLOCK_IDS):
            message, blinding = rsa.blind(block, key, start.domain)
            blindings.append(blinding)
            yield message

    def take_signed() -> Iterator[None]:
        for block in channel.blocks("psi-returned", len(own)):
            if not blindings:
                raise ProtocolError(f"{channel.peer} returned more signatures than were asked for", party=channel.peer)
            tags = rsa.unblind(block, blindings.popleft(), key, start.domain)
            buckets.add_mine(tags)
            channel.meter.advance(len(tags) // rsa.TAG_BYTES)
            yield

    def take_tags() -> Iterator[None]:
        blocks = channel.blocks("psi-tags", start.theirs)
        for block, items in checked_blocks(blocks, rsa.TAG_BYTES, start.theirs, "the other party's tags"):
            buckets.add_theirs(block)
            channel.meter.advance(items)
            yield

    asking = channel.send_blocks("psi-blinded", blinded(), len(own), key.width)
    for _ in range(2):  # ahead, so that the signer, who has the most to do, never waits
        next(asking, None)
    alternate(asking, take_signed(), take_tags())


def _respond_rsa(channel: Channel, own: Shuffled, start: _Start, key: rsa.SigningKey) -> None:
    signed = rsa.sign_blocks(channel.blocks("psi-blinded", start.theirs), key, count=start.theirs)
    tags = rsa.tag_blocks(own, key, start.domain, block_ids=RSA_BLOCK_IDS)
    alternate(
        channel.send_blocks("psi-returned", signed, start.theirs, key.public.width),
        channel.send_blocks("psi-tags", tags, len(own), rsa.TAG_BYTES),
    )


def _count(value: object, peer: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_IDS:
        raise ProtocolError(f"{peer} says that it has {value!r} ids; 0 to {MAX_IDS:,} are supported", party=peer)
    return value


def _nonce(value: object) -> bytes:
    if not isinstance(value, str) or len(value) != 2 * NONCE_BYTES:
        raise ProtocolError(f"a PSI nonce is not {NONCE_BYTES} bytes as hexadecimal digits")
    try:
        return bytes.fromhex(value)
    except ValueError as error:
        raise ProtocolError("a PSI nonce is not hexadecimal") from error


def check_protocol(value: str) -> Protocol:
    """`value`, if it names a protocol.

    Raises:
        ConfigError: it does not.
    """
    if value not in PROTOCOLS:
        raise ConfigError(f"psi={value!r} is no protocol", next_step=f"use one of {', '.join(map(repr, PROTOCOLS))}")
    return cast(Protocol, value)
