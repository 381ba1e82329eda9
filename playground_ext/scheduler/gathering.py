"""Waiting for people: who is here and who is not, for how long still, and how to start the others."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

from playground_ext import settings
from playground_ext.errors import PartyMissing
from playground_ext.logs.session import LogSession
from playground_ext.party.identity import Party
from playground_ext.party.liveness import Watch
from playground_ext.party.lobby import Lobby
from playground_ext.party.status import failed

__all__ = ["Gathering"]

LATE = 5.0  # seconds that the others give the initiator, whose clock decides

logger = logging.getLogger("playground")


class Gathering:
    """One party's wait for the others, before a run is open and at check-in. `timeout`: seconds for each."""

    def __init__(self, party: Party, lobby: Lobby, logs: LogSession, *, timeout: float, interactive: bool) -> None:
        self._interactive = interactive
        known = settings.read()
        self._party, self._lobby, self._logs, self.timeout = party, lobby, logs, timeout
        self._workspace = known.workspace
        self._hinted = known.task is not None  # the runner starts the others

    def check_in(self, party: Party, watch: Watch) -> dict[str, Mapping[str, Any]]:
        """Wait until all have checked in (the initiator), or until it says start. Returns what the others brought.

        Raises:
            PartyMissing: naming who never came.
        """
        self._party = party
        statuses = watch.statuses
        deadline = time.monotonic() + self.timeout

        def missing() -> list[str]:
            return [name for name, status in statuses.items() if status.check_in is None]

        def done() -> bool:
            return not missing() if party.is_initiator else statuses[party.initiator].start is not None

        try:
            while not watch.wait_until(done, 0.0 if time.monotonic() > deadline else 0.5):
                left = deadline - time.monotonic()
                if left <= -LATE or (left <= 0 and party.is_initiator):
                    raise self._missing(missing(), watch)
                self._raise_early_failures()
                self._show_waiting(missing(), max(0.0, left))
        finally:
            self._logs.status(None)
        return {name: status.check_in or {} for name, status in statuses.items()}

    def show_lobby(self, left: float) -> None:
        """Who is here and who is not, before a run is open."""
        self._raise_early_failures()
        self._raise_failed_run()
        here = self._lobby.present() | {self._party.id}
        self._show_waiting([node for node in self._party.nodes if node not in here], left, self._lobby.last_run())

    def _show_waiting(self, missing: list[str], left: float, note: str = "") -> None:
        here = f"{len(self._party.nodes) - len(missing)} of {len(self._party.nodes)} here"
        clock = f"{int(left) // 60}:{int(left) % 60:02d} left{note and '; ' + note}"
        names = ", ".join(missing) if missing else f"{self._party.initiator} to open the run"
        self._logs.status(f"{here}; waiting for {names} ({clock})")
        if missing and not self._hinted:
            self._hinted = True
            logger.info(
                "waiting for %s%s. Start them: run their notebooks, papermill jobs or scripts with task_id=%r and "
                "their own party ids, %s",
                ", ".join(missing),
                note and f" ({note})",
                self._party.task,
                "with the same PLAYGROUND_REDIS_URL" if settings.read().redis_url else f"inside {self._workspace}",
            )

    def _raise_failed_run(self) -> None:
        """The run has failed while this party was starting: a person would run it again, a program will not."""
        found = None if self._interactive else self._lobby.failed_run()
        if found is not None:
            raise failed(found[0], self._party.task, found[1])

    def _raise_early_failures(self) -> None:
        for party, failure in self._lobby.failures().items():
            if party in self._party.nodes:
                raise failed(party, self._party.task, failure)

    def _missing(self, missing: list[str], watch: Watch) -> PartyMissing:
        names = missing or [self._party.initiator]
        states = "; ".join(f"{name}: {watch.last_word(name)}" for name in names)
        return PartyMissing(
            f"{', '.join(names)} did not check in within {self.timeout:.0f} s ({states})",
            party=self._party.id,
            task=self._party.task,
            next_step=f"run the notebook of {names[0]} with task_id={self._party.task!r}, then run all parties again",
        )
