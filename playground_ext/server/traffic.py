"""Bytes of each party in each round, every byte once.

Three sources, of which the first that knows a round counts: the party's own report, what it says at the end of each
round, and what crosses the boundaries. Messages carry the number of a round, but some are sent for no round (number 0:
alignment, intersection), or tell of the end under the number of the next one. What a party measures as a round may
include such messages; then they belong to that round alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Literal

from playground_ext.server.messages import Envelope
from playground_ext.server.rounds import OUTSIDE, PartyReport, RoundEnd
from playground_ext.server.wire import Traffic

__all__ = ["Ledger"]

_Way = Literal["sent", "received"]
_WAYS: tuple[_Way, _Way] = ("sent", "received")


class Ledger:
    """What crossed the boundaries, by the numbers that the messages carry."""

    def __init__(self) -> None:
        self._crossed: dict[_Way, dict[str, dict[int, int]]] = {"sent": {}, "received": {}}

    def add(self, envelope: Envelope) -> None:
        """A message that was not counted before."""
        for way, party in (("sent", envelope.sender), ("received", envelope.receiver)):
            rounds = self._crossed[way].setdefault(party, {})  # type: ignore[index]
            rounds[envelope.round] = rounds.get(envelope.round, 0) + envelope.size

    def rows(
        self,
        told: Mapping[str, Mapping[int, RoundEnd]],
        reports: Mapping[str, PartyReport],
        ended: Collection[str],
    ) -> list[Traffic]:
        """By round and party. `told`: what parties said of their rounds. `ended`: those that take part no more."""
        rows: dict[tuple[int, str], dict[_Way, int]] = {}
        for party in {*self._crossed["sent"], *self._crossed["received"], *told, *reports}:
            report = reports.get(party)
            rounds = report.rounds if report is not None else list(told.get(party, {}).values())
            for way in _WAYS:
                total = None if report is None else getattr(report, way)
                crossed = self._crossed[way].get(party, {})
                for round, size in _by_round(_measured(rounds, way), crossed, total, ended=party in ended).items():
                    rows.setdefault((round, party), dict.fromkeys(_WAYS, 0))[way] = size
        return [Traffic(party, round, **row) for (round, party), row in sorted(rows.items())]


def _measured(rounds: Iterable[RoundEnd], way: _Way) -> dict[int, int]:
    return {one.round: getattr(one, way) for one in rounds}


def _by_round(measured: dict[int, int], crossed: dict[int, int], total: int | None, *, ended: bool) -> dict[int, int]:
    """Bytes of one party in one direction."""
    if total is not None:
        rest = {OUTSIDE: total - sum(measured.values())}
    else:
        rest = {round: size for round, size in crossed.items() if round not in measured}
        if ended:
            rest = {OUTSIDE: sum(rest.values())}
        # rounds that measured more than what carries their number: so much of what carries none is theirs
        theirs = sum(max(0, size - crossed.get(round, 0)) for round, size in measured.items())
        rest[OUTSIDE] = rest.get(OUTSIDE, 0) - theirs
    return {**measured, **{round: size for round, size in rest.items() if size > 0}}
