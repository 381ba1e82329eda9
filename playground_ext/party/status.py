"""What one other party last said, and the errors that its silence or failure become."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from playground_ext.errors import PartyDied, PartyFailed

__all__ = ["HEARTBEAT", "PartyStatus", "died", "failed"]

HEARTBEAT = 2.0  # seconds of silence before a party speaks by itself


@dataclass
class PartyStatus:
    """What one other party last said."""

    hello: dict[str, Any] | None = None  # pid, host, lease, role: it has joined
    check_in: dict[str, Any] | None = None
    start: dict[str, Any] | None = None  # the initiator's word that the rounds begin
    state: str = "not here"
    round: int | None = None
    checkpoint: int | None = None  # the newest round that it has on its disk; None: it did not say
    heard: float | None = None  # monotonic time of the last sign of life
    incarnation: int = 0  # how often it has joined
    failure: dict[str, Any] | None = None
    ended: dict[str, Any] | None = None
    lost: PartyFailed | None = None  # it failed or died, and may come back
    lost_since: float = 0.0  # monotonic time

    @property
    def completed(self) -> bool:
        """It has done its part of the task."""
        return self.ended is not None and self.ended.get("status") == "completed"

    def last_word(self) -> str:
        if self.heard is None or self.hello is None:
            return "it never joined this run (is its notebook running?)"
        ago = time.monotonic() - self.heard
        of_round = "" if self.round is None else f" in round {self.round}"
        if self.ended is not None:
            return f"it has left the run{of_round}"
        hint = " (is its kernel running?)" if ago > 5 * HEARTBEAT else ""
        return f"it was {self.state}{of_round}, its last sign of life was {ago:.0f} s ago{hint}"


def failed(party: str, task: str, body: Mapping[str, Any]) -> PartyFailed:
    """The error that everybody else raises when `party` failed."""
    place = ", ".join(str(body[key]) for key in ("notebook", "cell", "line") if body.get(key))
    return PartyFailed(
        f"{party} failed{f' ({place})' if place else ''}: {body.get('error', 'unknown error')}",
        party=party,
        task=task,
        round=body.get("round"),
        next_step=f"mend it in {party}'s notebook, then run all parties again",
        details=str(body.get("traceback", "")),
    )


def died(party: str, task: str, status: PartyStatus) -> PartyDied:
    pid = (status.hello or {}).get("pid")
    return PartyDied(
        f"{party} is gone: its process{f' {pid}' if pid else ''} ended without a word while it was {status.state}",
        party=party,
        task=task,
        round=status.round,
        next_step=f"look at {party}'s kernel (killed? out of memory?), then run all parties again",
    )
