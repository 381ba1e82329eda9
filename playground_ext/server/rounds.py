"""Where a round's time and bytes went, at each party, in the numbers that the party itself measured.

Told at the end of each round on the control stream, and once more in the report that a party writes at its end, so that
what pages show does not change when a task is over.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from playground_ext.runner.history import PartyRecord
from playground_ext.server.wire import Phase

__all__ = ["OUTSIDE", "PartyReport", "RoundEnd", "read_reports", "round_end"]

OUTSIDE = 0  # the number of what belongs to no round: before the first, after the last


class RoundEnd(msgspec.Struct, frozen=True):
    """What a party says when its round is over."""

    round: int
    seconds: float
    waited: float
    sent: int
    received: int
    transferred: float = 0.0  # reports of earlier versions do not say it
    at: float | None = None  # seconds since 1970; a report does not say it

    def phases(self, party: str, end: float, *, late: bool = False) -> Iterator[Phase]:
        """Its waiting, transferring and computing, one after the other up to `end`: the parts alternate, and only their
        sums are known.
        """
        seconds = max(0.0, self.seconds)
        waited = min(max(0.0, self.waited), seconds)
        moved = min(max(0.0, self.transferred), seconds - waited)
        start = end - seconds
        yield Phase(party, self.round, "wait", start, waited, late)
        yield Phase(party, self.round, "transfer", start + waited, moved, late)
        yield Phase(party, self.round, "compute", start + waited + moved, seconds - waited - moved, late)


@dataclass
class PartyReport:
    """What a party wrote at its end."""

    rounds: list[RoundEnd] = field(default_factory=list)
    written: float = 0.0  # seconds since 1970
    sent: int = 0  # bytes of the whole task
    received: int = 0

    def phases(self, party: str) -> Iterator[Phase]:
        """Of all rounds, as if they had followed one another and the last one had ended with the report."""
        start = self.written - sum(one.seconds for one in self.rounds)
        for one in self.rounds:
            start += one.seconds
            yield from one.phases(party, start, late=True)


def round_end(body: Mapping[str, Any]) -> RoundEnd | None:
    """Of a party's `round` message or of an entry in its report; None if it is neither."""
    try:
        return msgspec.convert(body, RoundEnd)
    except msgspec.ValidationError:
        return None


def read_reports(parties: Iterable[PartyRecord]) -> dict[str, PartyReport]:
    """By party: of those that came to their end."""
    found = {}
    for party in parties:
        said = party.report
        entries = said.get("round_reports")
        if not isinstance(entries, list):
            continue
        rounds = [one for entry in entries if isinstance(entry, dict) and (one := round_end(entry)) is not None]
        try:
            written = (party.results / "report.json").stat().st_mtime
        except OSError:  # it is being removed
            continue
        found[party.name] = PartyReport(rounds, written, _total(said.get("sent")), _total(said.get("received")))
    return found


def _total(by_party: object) -> int:
    """Bytes to or from all others."""
    if not isinstance(by_party, dict):
        return 0
    return sum(size for size in by_party.values() if isinstance(size, int))
