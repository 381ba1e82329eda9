"""The server of one run: somebody else's, or a private one that is started again, at the same address, when it dies."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from queue import SimpleQueue

from playground_ext import settings
from playground_ext.bus.connection import Connection, mask_password
from playground_ext.bus.server import EmbeddedServer
from playground_ext.errors import ServerError

__all__ = ["own_server", "server_url"]

RESTARTS = 5  # deaths within WINDOW after which it is given up
WINDOW = 60.0  # seconds
_LOOK = 3600.0  # seconds of one wait for its end; there is no longer one


@contextlib.contextmanager
def server_url(events: SimpleQueue[tuple[str, object]]) -> Iterator[tuple[str, str]]:
    """PLAYGROUND_REDIS_URL if it is set and answers, else a private server of this run; the URL and what to call it.

    `events` hears of a private server that died and was started again.

    Raises:
        ServerUnreachable: nobody answers at PLAYGROUND_REDIS_URL.
        ServerError: the private server does not start.
    """
    given = settings.read().redis_url
    if given is not None:
        Connection(given, name="playground-run", timeout=5.0).close()
        yield given, mask_password(given)
        return
    with own_server(lambda text: events.put(("note", text))) as server:
        yield server.url, "embedded"


@contextlib.contextmanager
def own_server(say: Callable[[str], None]) -> Iterator[EmbeddedServer]:
    """A running server. `say` gets a line whenever it had to be started again: it comes back without its data, and the
    parties send again what was in flight.

    Raises:
        ServerError: it does not start.
    """
    with EmbeddedServer() as server:
        keeper = _Keeper(server, say)
        keeper.start()
        try:
            yield server
        finally:
            keeper.leave()


class _Keeper(threading.Thread):
    """Waits for the server's end."""

    def __init__(self, server: EmbeddedServer, say: Callable[[str], None]) -> None:
        super().__init__(name="playground server keeper", daemon=True)
        self._server, self._say = server, say
        self._leaving = False
        self._lock = threading.Lock()  # held while it is started: nobody must stop it then
        self._deaths: deque[float] = deque(maxlen=RESTARTS)

    def leave(self) -> None:
        """From now on its end is intended."""
        with self._lock:
            self._leaving = True

    def run(self) -> None:
        while True:
            while not self._server.wait(_LOOK):
                pass
            with self._lock:
                if self._leaving or not self._start_again():
                    return

    def _start_again(self) -> bool:
        now = time.monotonic()
        if len(self._deaths) == RESTARTS and now - self._deaths[0] < WINDOW:
            self._say(f"The server died {RESTARTS + 1} times within {WINDOW:g} s and is given up")
            return False
        self._deaths.append(now)
        try:
            self._server.restart()
        except ServerError as error:
            self._say(f"The server died and cannot be started again: {error.what}")
            return False
        self._say("The server died; it was started again at the same address, and the parties send again what it lost")
        return True
