"""Which server the tasks are on: found, never started, because opening Lab is no reason for one."""

from __future__ import annotations

import threading
import time

from playground_ext import settings
from playground_ext.bus.shared import shared_server_status
from playground_ext.errors import PlaygroundError

__all__ = ["Finder"]

FRESH = 0.9  # seconds for which an answer counts: whoever has no connection asks once a second


class Finder:
    """Where the server is now, for all threads, and whether it answers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: str | None = None
        self._asked = float("-inf")
        self.up = False  # somebody is connected to it
        self.problem: PlaygroundError | None = None  # why nobody is, since there was one

    def find(self) -> str | None:
        """The URL that PLAYGROUND_REDIS_URL gives, else the workspace's shared server if it runs."""
        given = settings.read().redis_url
        if given is not None:
            return given
        with self._lock:
            if time.monotonic() - self._asked > FRESH:
                try:
                    status = shared_server_status()
                    self._found = None if status is None else status.url
                    if status is None and self.up:
                        self.away(PlaygroundError("the notebooks' server has stopped"))
                except PlaygroundError as error:
                    self._found = None
                    self.away(error)
                self._asked = time.monotonic()
            return self._found

    def here(self) -> None:
        """It answers."""
        self.up, self.problem = True, None

    def away(self, problem: PlaygroundError | Exception) -> None:
        """It does not; said once to every page, until it is here again."""
        if self.up or self.problem is None:
            self.problem = problem if isinstance(problem, PlaygroundError) else PlaygroundError(str(problem))
        self.up = False
        self._asked = float("-inf")
