"""What came of a run, and whose failure began it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from playground_ext.runner.notebook import Failure
from playground_ext.runner.plan import Plan
from playground_ext.runner.progress import Board

__all__ = ["Earlier", "Outcome", "first_failure"]


@dataclass(frozen=True)
class Earlier:
    """What a run that is resumed did before it ended."""

    run: str  # its id
    round: int  # after which it goes on; 0: before the first
    began: float  # seconds since the epoch
    seconds: float  # that it took, as far as is known
    times: int  # how often it has been resumed, this time included


@dataclass
class Outcome:
    """What came of a run."""

    plan: Plan
    folder: Path
    server: str  # "embedded", or the URL without its password
    began: float
    board: Board
    seconds: float = 0.0
    failures: dict[str, Failure] = field(default_factory=dict)  # by party
    party_seconds: dict[str, float] = field(default_factory=dict)
    signal: int | None = None  # that interrupted it
    timed_out: float | None = None  # seconds after which it was stopped
    attempts: dict[str, list[Failure]] = field(default_factory=dict)  # by party: what it was started again after
    restarts: int = 0  # how often every party would have been started again
    lost: dict[str, int] = field(default_factory=dict)  # parties that the others went on without, and their quorum
    earlier: Earlier | None = None  # what was there before `playground resume`

    @property
    def first(self) -> Failure | None:
        """The failure that began it all; None if the task came to its end all the same."""
        if self._ended_well:
            return None
        failures = list(self.failures.values())
        if failures and all(failure.consequence for failure in failures):  # of one that is being started again
            failures += [failed[-1] for failed in self.attempts.values()]
        return first_failure(failures, self.board.fails, self.folder)

    @property
    def status(self) -> str:
        if self.signal is not None:
            return "interrupted"
        if self.timed_out is not None:
            return "timeout"
        return "ok" if self._ended_well else "failed"

    @property
    def exit_code(self) -> int:
        return 128 + self.signal if self.signal is not None else 0 if self.status == "ok" else 1

    @property
    def _ended_well(self) -> bool:
        """All notebooks did, or those that did not were lost without harm."""
        return self.failures.keys() <= self.lost.keys()


def first_failure(failures: list[Failure], fails: dict[str, dict[str, object]], folder: Path) -> Failure | None:
    """The failure that others followed from: ordered by the server's ids where a party could still publish one.

    Consequences count only if there is nothing else: a party that another one's failure, or the runner, stopped.
    """
    known = {failure.party for failure in failures}
    told = [_told(party, body, folder) for party, body in fails.items() if failures and party not in known]
    candidates = [failure for failure in failures if not failure.consequence] or told or failures

    def moment(failure: Failure) -> tuple[float, int]:
        milliseconds, _, number = str(fails.get(failure.party, {}).get("log_id") or "").partition("-")
        if milliseconds.isdecimal():
            return int(milliseconds) / 1000, int(number) if number.isdecimal() else 0
        return failure.at, 0

    return min(candidates, key=moment, default=None)


def _told(party: str, body: dict[str, object], folder: Path) -> Failure:
    """The failure of a party whose notebook went on, as the party told it to the others."""
    error, _, message = str(body.get("error", "failed")).partition(": ")
    return Failure(
        party=party,
        error=error,
        message=message,
        traceback=str(body.get("traceback", "")),
        notebook=folder / f"{party}.ipynb",
        at=float("inf"),
        cell=_number(body.get("cell")),
        line=_number(body.get("line")),
    )


def _number(value: object) -> int | None:
    """5 of `cell [5]`; None for a file's name."""
    found = re.fullmatch(r"(?:cell )?\[?(\d+)\]?|line (\d+)", str(value))
    return int(found[1] or found[2]) if found else None
