"""How long messages took: receivers tell, with their progress, which messages they have taken, and when."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from playground_ext.bus.envelope import parse_id
from playground_ext.errors import ProtocolError
from playground_ext.server.messages import Envelope

__all__ = ["Journeys"]

_REMEMBERED = 100_000  # messages; one that is sent again, or taken, is never older

_Id = tuple[str, str, int, int]  # receiver, sender, incarnation, number


class Journeys:
    """Messages that are under way. A message and the word that it was taken come on different streams, in any order."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str, str, int, int, str], int] = OrderedDict()  # logical key -> seq
        self._sent: OrderedDict[_Id, tuple[int, float]] = OrderedDict()  # seq, when
        self._taken: OrderedDict[_Id, float] = OrderedDict()  # before the message was read

    def send(self, envelope: Envelope, seq: int) -> tuple[bool, float | None]:
        """A message was read, which would be number `seq`. Whether it is a new one; the seconds that it took, if it has
        been taken already.
        """
        key, way = envelope.logical_key, _way(envelope)
        known = self._known.get(key)
        if known is None:
            _put(self._known, key, seq)
        if envelope.at is None:
            return known is None, None
        taken = self._taken.pop(way, None)
        if taken is None:
            _put(self._sent, way, (known or seq, envelope.at))
        elif known is None:
            return True, max(0.0, taken - envelope.at)
        return known is None, None

    def take(self, receiver: str, said: object) -> Iterator[tuple[int, float]]:
        """What a receiver says that it has taken: numbers of messages, and the seconds that each took."""
        for sender, number, at in _arrivals(said):
            try:
                way = receiver, sender, *parse_id(number, sender)
            except ProtocolError:
                continue
            sent = self._sent.pop(way, None)
            if sent is None:
                _put(self._taken, way, at)
            else:
                yield sent[0], max(0.0, at - sent[1])


def _way(envelope: Envelope) -> _Id:
    return envelope.receiver, envelope.sender, envelope.incarnation, envelope.number


def _put(table: OrderedDict[Any, Any], key: object, value: object) -> None:
    table[key] = value
    if len(table) > _REMEMBERED:
        table.popitem(last=False)


def _arrivals(said: object) -> Iterator[tuple[str, str, float]]:
    for entry in said if isinstance(said, list) else ():
        match entry:
            case [str(sender), str(number), int(at) | float(at)] if math.isfinite(at):
                yield sender, number, at
