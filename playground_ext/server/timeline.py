"""Where a round's time and bytes went, at each party.

While somebody watches, from what the parties say: a state that begins with "waiting" is waiting, any other is work, and
each lasts until the next. Afterwards from each party's own report: its rounds follow one another, the last one ended
when the report was written, and waiting comes first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from playground_ext.runner.history import PartyRecord
from playground_ext.server.messages import Envelope
from playground_ext.server.wire import Phase, Traffic

__all__ = ["Ledger", "Stopwatch", "reported"]

_REMEMBERED = 100_000  # envelopes that are known to have been counted; a resent one is never older

_Kind = Literal["compute", "wait", "transfer"]


@dataclass
class _Running:
    phase: _Kind
    round: int
    since: float
    late: bool


class Stopwatch:
    """Phases by what the parties say."""

    def __init__(self) -> None:
        self._running: dict[str, _Running] = {}
        self._done: list[Phase] = []

    def say(self, party: str, state: str, round: int | None, at: float, *, late: bool) -> bool:
        """A party is in this state now (`late`: was, at an unknown moment); whether that ended a phase."""
        phase: _Kind = "wait" if state.startswith("waiting") else "compute"
        now = self._running.get(party)
        if now is not None and (now.phase, now.round) == (phase, round or now.round):
            return False
        ended = self.stop(party, at)
        if round is not None or now is not None:
            self._running[party] = _Running(phase, round or (now.round if now else 0), at, late)
        return ended

    def stop(self, party: str, at: float) -> bool:
        """It has left; whether that ended a phase."""
        now = self._running.pop(party, None)
        if now is None or now.late:
            return False
        self._done.append(Phase(party, now.round, now.phase, now.since, max(0.0, at - now.since)))
        return True

    def phases(self, at: float) -> list[Phase]:
        """All that ended, and those that go on, as long as they have lasted by now."""
        going_on = [
            Phase(party, now.round, now.phase, now.since, max(0.0, at - now.since))
            for party, now in self._running.items()
            if not now.late
        ]
        return [*self._done, *going_on]


class Ledger:
    """Bytes by what crossed the boundaries, every envelope once, however often it was sent."""

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[str, str, str, int, int, str], None] = OrderedDict()
        self._sent: dict[tuple[str, int], int] = {}
        self._received: dict[tuple[str, int], int] = {}

    def add(self, envelope: Envelope) -> bool:
        """Whether it is a new one."""
        e = envelope
        key = (e.sender, e.receiver, e.kind, e.round, e.attempt, e.step)
        if key in self._seen:
            return False
        self._seen[key] = None
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        for table, party in ((self._sent, e.sender), (self._received, e.receiver)):
            table[party, e.round] = table.get((party, e.round), 0) + e.size
        return True

    def rows(self) -> list[Traffic]:
        keys = sorted({*self._sent, *self._received}, key=lambda key: (key[1], key[0]))
        return [
            Traffic(party, round, self._sent.get((party, round), 0), self._received.get((party, round), 0))
            for party, round in keys
        ]


def reported(parties: Iterable[PartyRecord]) -> tuple[list[Phase], list[Traffic]]:
    """Phases and bytes by the parties' own reports of their rounds."""
    phases: list[Phase] = []
    traffic: list[Traffic] = []
    for party in parties:
        rounds = [entry for entry in party.report.get("round_reports", ()) if isinstance(entry, dict)]
        try:
            ended = (party.results / "report.json").stat().st_mtime
            seconds = [(float(entry["seconds"]), float(entry["waited"])) for entry in rounds]
            start = ended - sum(whole for whole, _ in seconds)
            for entry, (whole, waited) in zip(rounds, seconds, strict=True):
                round = int(entry["round"])
                traffic.append(Traffic(party.name, round, int(entry["sent"]), int(entry["received"])))
                waited = min(waited, whole)
                phases.append(Phase(party.name, round, "wait", start, waited, late=True))
                phases.append(Phase(party.name, round, "compute", start + waited, whole - waited, late=True))
                start += whole
        except (OSError, KeyError, TypeError, ValueError):  # no report, or one by another version
            continue
    return phases, traffic
