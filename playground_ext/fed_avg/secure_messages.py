"""What the messages of secure aggregation hold: names of parties in `meta`, and a piece for each of some parties."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from playground_ext.bus.envelope import Envelope
from playground_ext.errors import MalformedPayload, ProtocolError

__all__ = ["KINDS", "cut", "named_parties"]

KINDS = ("keys", "roster", "shares", "delivery", "masked", "survivors", "reveal")


def cut(envelope: Envelope, parties: Sequence[str], size: int) -> dict[str, bytes]:
    """A payload of equal pieces, one for each party.

    Raises:
        MalformedPayload: it is longer or shorter.
    """
    data = bytes(envelope.payload)
    if len(data) != size * len(parties):
        raise MalformedPayload(
            f"{envelope.sender}'s {envelope.kind!r} has {len(data):,} bytes; {size * len(parties):,} were expected",
            party=envelope.sender,
            round=envelope.round,
        )
    return {party: data[size * place : size * (place + 1)] for place, party in enumerate(parties)}


def named_parties(envelope: Envelope, among: Iterable[str], *, threshold: int) -> list[str]:
    """Whom the aggregator names. It gets nothing from those who doubt it.

    Raises:
        ProtocolError: others than those in `among`, one twice, or fewer than the threshold.
    """
    parties = envelope.meta.get("parties")
    known = set(among)
    if not isinstance(parties, list) or not all(isinstance(party, str) and party in known for party in parties):
        wrong = "names other parties than those of this round"
    elif len(set(parties)) != len(parties):
        wrong = "names a party twice"
    elif len(parties) < threshold:
        wrong = f"goes on with {len(parties)} parties, fewer than the threshold {threshold}"
    else:
        return parties
    raise ProtocolError(
        f"{envelope.sender} {wrong} in its {envelope.kind!r}", party=envelope.sender, round=envelope.round
    )
