"""Where a round's time went, at each party.

The round that is going on is watched: a state that begins with "waiting" is waiting, any other is work, and each lasts
until the next. When a round is over, the party's own measure takes the place of what was watched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec

from playground_ext.server.rounds import PartyReport, RoundEnd
from playground_ext.server.wire import Phase

__all__ = ["Stopwatch"]

_Kind = Literal["compute", "wait", "transfer"]


@dataclass
class _Running:
    phase: _Kind
    round: int
    since: float
    late: bool
    heard: float  # when the party last said so


class Stopwatch:
    """Phases by what the parties say."""

    def __init__(self) -> None:
        self._running: dict[str, _Running] = {}
        self._done: dict[str, list[Phase]] = {}  # by party: of rounds that it has not measured
        self.told: dict[str, dict[int, RoundEnd]] = {}  # by party and round
        self._over: dict[str, int] = {}  # by party: the round that ended last

    def say(self, party: str, state: str, round: int | None, at: float, *, late: bool) -> bool:
        """A party is in this state now (`late`: was, at an unknown moment); whether that ended a phase."""
        phase: _Kind = "wait" if state.startswith("waiting") else "compute"
        now = self._running.get(party)
        if round is not None:
            round = self._going_on(party, round)
        if now is not None and (now.phase, now.round) == (phase, round or now.round):
            now.heard = at
            return False
        ended = self._close(party, at)
        if round is not None or now is not None:
            self._running[party] = _Running(phase, round or (now.round if now else 0), at, late, at)
        return ended

    def round_over(self, party: str, end: RoundEnd, at: float) -> None:
        """A party has measured a round: that takes the place of what was watched of it."""
        self.told.setdefault(party, {})[end.round] = msgspec.structs.replace(end, at=at)
        self._over[party] = end.round
        self._done[party] = [phase for phase in self._done.get(party, ()) if phase.round != end.round]
        now = self._running.get(party)
        if now is not None:
            self._running[party] = _Running(now.phase, end.round + 1, at, late=False, heard=at)

    def stop(self, party: str, at: float | None) -> bool:
        """It has left (None: at an unknown moment after its last word); whether that ended a phase."""
        self._over.pop(party, None)  # if it comes back, it may begin earlier
        return self._close(party, at)

    def phases(self, at: float, reports: Mapping[str, PartyReport], rounds: int | None = None) -> list[Phase]:
        """All that is known by now, by party and start. `rounds`: of the task; what follows the last one belongs to
        none and is left out.
        """
        found: list[Phase] = []
        for party, told in self.told.items():
            for end in told.values():
                found += end.phases(party, end.at or at)
        for party, report in reports.items():
            found += [phase for phase in report.phases(party) if phase.round not in self.told.get(party, ())]
        measured = {(phase.party, phase.round) for phase in found if phase.late}
        watched = [phase for done in self._done.values() for phase in done]
        for party, now in self._running.items():
            if not now.late:
                watched.append(Phase(party, now.round, now.phase, now.since, max(0.0, at - now.since)))
        found += [
            phase
            for phase in watched
            if (phase.party, phase.round) not in measured and (rounds is None or phase.round <= rounds)
        ]
        return sorted(found, key=lambda phase: (phase.party, phase.start))

    def _going_on(self, party: str, round: int) -> int:
        """The round that this belongs to: a party that waits for the next one still says the last one's number."""
        over = self._over.get(party)
        if over is None or round > over:
            return round
        if round < over:  # it went back to a checkpoint
            del self._over[party]
            return round
        return round + 1

    def _close(self, party: str, at: float | None) -> bool:
        now = self._running.pop(party, None)
        if now is None or now.late:
            return False
        at = now.heard if at is None else at
        done = Phase(party, now.round, now.phase, now.since, max(0.0, at - now.since))
        self._done.setdefault(party, []).append(done)
        return True
