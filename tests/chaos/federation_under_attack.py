"""One federation of the chaos suite: started, struck once, brought back, and compared with an undisturbed one."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from battlefield import HANG, PARTIES, Battlefield, difference

__all__ = ["PARTIES", "Outcome", "Strike", "play"]


@dataclass(frozen=True)
class Strike:
    """At the `at`-th step of `party` (from 1): kill `target`, which is that party itself or the server."""

    party: str
    at: int
    target: str = "party"
    pause: float = 0.0  # seconds until what was killed is started again


@dataclass
class Outcome:
    """What became of a federation. `problem` is empty if everybody ended with the undisturbed result."""

    scenario: str
    strike: Strike | None
    step: str = ""  # the name of the step at which it struck
    seconds: float = 0.0
    problem: str = ""
    answers: dict[str, Any] = field(default_factory=dict)
    steps: dict[str, list[str]] = field(default_factory=dict)
    evidence: str = ""  # what the parties wrote, if there is a problem

    def summary(self) -> dict[str, Any]:
        strike = asdict(self.strike) if self.strike else None
        return {
            "scenario": self.scenario,
            "strike": strike,
            "step": self.step,
            "seconds": round(self.seconds, 2),
            "problem": self.problem,
        }


def play(
    scenario: str,
    strike: Strike | None = None,
    *,
    expected: Mapping[str, Any] | None = None,
    recovery: bool = True,
    keep: bool = False,
) -> Outcome:
    """Run a federation to its end. `recovery` off: nobody waits, and what was killed stays dead."""
    outcome = Outcome(scenario, strike)
    started = time.monotonic()
    with Battlefield(scenario, recovery=recovery, pause=strike.pause if strike else 0.0) as field_:
        for party in field_.nodes:
            hit = strike is not None and strike.party == party
            field_.start(party, **({"at": strike.at, "target": strike.target} if strike and hit else {}))
        outcome.problem = _until_the_end(field_, strike)
        outcome.answers = field_.answers()
        outcome.steps = {party: field_.steps(party) for party in field_.nodes}
        if strike is not None:
            passed = outcome.steps[strike.party]
            outcome.step = passed[strike.at - 1] if len(passed) >= strike.at else "never reached"
        wanted = expected if expected is not None else {party: {} for party in field_.nodes}
        outcome.problem = outcome.problem or difference(wanted, outcome.answers)
        if recovery:
            outcome.problem = outcome.problem or field_.what_is_left()
        if outcome.problem:
            outcome.evidence = field_.evidence()
            field_.keep = keep
    outcome.seconds = time.monotonic() - started
    return outcome


def _until_the_end(field_: Battlefield, strike: Strike | None) -> str:
    """Start again what was killed, and wait for all. Returns what went wrong."""
    deadline = time.monotonic() + HANG
    if strike is not None and strike.target == "party":
        victim = field_.process(strike.party)
        victim.join(HANG)
        if victim.exitcode != -9:
            return f"{strike.party} was not killed: its exit code is {victim.exitcode}"
        if field_.recovery:
            time.sleep(strike.pause)  # the others may notice, or may not
            field_.start(strike.party, again=True)
    hanging = field_.join(deadline - time.monotonic())
    return f"{', '.join(hanging)} did not end within {HANG:.0f} s" if hanging else ""
