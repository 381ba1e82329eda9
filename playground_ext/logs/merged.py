"""The merged log of all parties, as far as this party has seen it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Protocol

from playground_ext.logs.record import Batch

__all__ = ["MergedLog", "View"]


class View(Protocol):
    """Where people read the merged log: the pane of a notebook, or the console."""

    def accept(self, batch: Batch) -> None:
        """Take more lines; must return quickly."""

    def status(self, text: str | None) -> None:
        """Show one live line below the log; None removes it."""

    def stop(self) -> None:
        """Show everything that is left."""


class MergedLog:
    """Hands every batch once to the view, in the order of the stream, and knows how far each party has got."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._changed = threading.Condition()
        self._seen: dict[tuple[str, int], int] = {}  # (party, session): seq
        self._newest: dict[str, int] = {}  # party: session
        self._cursor = (0, 0)  # id of the last stream entry
        self._waiting = 0  # threads that wait: the reader should hurry

    def accept(self, batch: Batch) -> None:
        """Show a batch, unless it was shown before (shipped twice, or shown while the server was away)."""
        key = batch.party, batch.session
        with self._changed:
            if batch.last <= self._seen.get(key, 0):
                return
            self._seen[key] = batch.last
            if batch.session >= self._newest.get(batch.party, 0):
                self._newest[batch.party] = batch.session
            self._view.accept(batch)
            self._changed.notify_all()

    def reached(self, entry_id: str) -> None:
        """The reader has handed over everything up to this stream entry."""
        with self._changed:
            self._cursor = _parse(entry_id)
            self._changed.notify_all()

    def wait_reached(self, entry_id: str, timeout: float) -> bool:
        target = _parse(entry_id)
        return self._wait(lambda: self._cursor >= target, timeout)

    def wait_for(self, last: Mapping[str, int], timeout: float) -> list[str]:
        """Wait until these parties' lines have been shown up to these numbers; return the parties still missing."""
        self._wait(lambda: not self._missing(last), timeout)
        with self._changed:
            return self._missing(last)

    def pause(self, seconds: float, stopping: threading.Event) -> None:
        """For the reader: let more entries gather, unless somebody waits for them."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting > 0 or stopping.is_set(), seconds)

    def nudge(self) -> None:
        """End a `pause` whose event was set."""
        with self._changed:
            self._changed.notify_all()

    def _missing(self, last: Mapping[str, int]) -> list[str]:
        return [party for party, seq in last.items() if self._seen.get((party, self._newest.get(party, 0)), 0) < seq]

    def _wait(self, condition: Callable[[], bool], timeout: float) -> bool:
        with self._changed:
            self._waiting += 1
            self._changed.notify_all()
            try:
                return self._changed.wait_for(condition, max(0.0, timeout))
            finally:
                self._waiting -= 1


def _parse(entry_id: str) -> tuple[int, int]:
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number)
