"""What one party says to everybody, on its control stream, also to a server that was away for a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any, cast

import redis

from playground_ext.bus.connection import Connection
from playground_ext.bus.envelope import encode_control, parse_id
from playground_ext.bus.keys import RunKeys
from playground_ext.bus.outgoing import replaced, server_full
from playground_ext.bus.streams import last_id
from playground_ext.errors import ServerError, ServerFull, ServerUnreachable

__all__ = ["Voice"]

CONTROL_KEPT = 2000  # entries of a control stream
PATIENCE = 60.0  # seconds that a party waits for a server that went away before it gives up
FAREWELL = 10.0  # the same for the word that it has failed
_PAUSE = 0.1  # seconds between two tries


class Voice:
    """May be used by any thread. Everything but progress is remembered, and said again to a server without its data."""

    def __init__(self, url: str, keys: RunKeys, me: str, *, incarnation: int) -> None:
        self._connection = Connection(url, name=f"{keys.task}:{me}:control")
        self._key, self._me, self._incarnation = keys.control(me), me, incarnation
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._away = False  # the server is, or it was full, and may not know what was said since
        self._seq = 0
        self._said: list[tuple[str, dict[bytes, bytes]]] = []
        self.spoke = 0.0  # monotonic time

    def post(self, kind: str, body: Mapping[str, Any]) -> None:
        """Say something.

        Raises:
            PartyReplaced: another notebook has joined as this party.
            ServerUnreachable, ServerFull: for longer than PATIENCE; progress is left out instead.
        """
        fields = encode_control(kind, body)
        patience = {"progress": 0.0, "ack": 0.0, "round": 0.0, "fail": FAREWELL}.get(kind, PATIENCE)
        with self._lock:
            self._seq += 1
            entry_id = f"{self._incarnation}-{self._seq}"
            if patience:
                self._said.append((entry_id, fields))
            if not self._away:
                self._away = not self._try(lambda: self._add(entry_id, fields, trim=True))
            if self._away:
                self._come_back(patience)
            self.spoke = time.monotonic()

    def repeat(self) -> None:
        """The server was away: say again what it may not know. Raises like `post`."""
        with self._lock:
            self._away = True
            self._come_back(0.0)

    def close(self) -> None:
        self._stopped.set()
        self._connection.close()

    def _come_back(self, patience: float) -> None:
        """Repeat everything to a server that was away. 0: one try; the next word tries again."""
        deadline = time.monotonic() + patience
        while self._away:
            self._away = not self._try(self._repeat_all, give_up=bool(patience) and time.monotonic() > deadline)
            if not patience:
                return
            if self._away:
                self._stopped.wait(_PAUSE)

    def _repeat_all(self) -> None:
        self._connection.reconnect()
        for entry_id, fields in self._said:
            self._add(entry_id, fields, trim=False)

    def _try(self, action: Any, *, give_up: bool = False) -> bool:
        """Whether it worked; raises what prevented it if it is time to give up."""
        try:
            action()
        except (redis.ConnectionError, redis.TimeoutError, ServerUnreachable, ServerFull):
            if give_up:
                raise
            return False
        return True

    def _add(self, entry_id: str, fields: dict[bytes, bytes], *, trim: bool) -> None:
        try:
            self._connection.client.xadd(
                self._key, cast(Any, fields), id=entry_id, maxlen=CONTROL_KEPT if trim else None, approximate=True
            )
        except redis.ResponseError as error:
            if str(error).startswith("OOM") or "maxmemory" in str(error):
                raise server_full(self._me, None) from error
            if "equal or smaller" not in str(error):
                raise ServerError(f"the server refused a control message: {error}", party=self._me) from error
            if parse_id(last_id(self._connection, self._key), self._me)[0] > self._incarnation:
                raise replaced(self._me) from error
