"""The log stream of a run: batches of lines out, everybody's batches back.

A server that is away costs nothing but the others' view: batches wait here and are shipped again when it is back, and
readers drop what they have seen, by party and number.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import chain, islice, takewhile
from typing import Any

import redis.exceptions

from playground_ext.bus.connection import Connection
from playground_ext.errors import PlaygroundError, ProtocolError
from playground_ext.logs.merged import MergedLog
from playground_ext.logs.record import Batch

__all__ = ["KEPT_BYTES", "LogReader", "Shipper"]

READ_INTERVAL = 0.1  # seconds between two reads of a busy stream; a pane is redrawn five times a second
STREAM_BYTES = 64 << 20  # about what the log stream of a run may hold; the parties' files hold everything
KEPT_BYTES = 8 << 20  # what a party keeps for a server that is away, and half of it for one that loses its data
PIPELINE = 32  # batches a round trip
TIMEOUT = 5.0  # seconds of silence after which the server counts as away
LONGEST_BACKOFF = 2.0  # seconds between two attempts to reach it
UNREACHABLE = (redis.exceptions.RedisError, OSError, PlaygroundError)


class Shipper:
    """One party's batches on their way to the stream; for the writer's thread."""

    def __init__(self, name: str) -> None:
        self.problem = ""  # why the server is away
        self.away_since: float | None = None  # monotonic
        self._name = name
        self._url: str | None = None
        self._key = ""
        self._connection: Connection | None = None
        self._waiting = _Bounded(KEPT_BYTES)
        self._shipped = _Bounded(KEPT_BYTES // 2)  # for a server that comes back without its data
        self._last_id = ""  # of the last batch shipped
        self._total_bytes = 0  # shipped
        self._total = 0
        self._retry_at = 0.0
        self._backoff = 0.0

    @property
    def published(self) -> bool:
        return self._url is not None

    @property
    def retry_in(self) -> float | None:
        """Seconds until `ship` would try again; None when the server is not away."""
        return None if self.away_since is None else max(0.01, self._retry_at - time.monotonic())

    def target(self, url: str, key: str) -> None:
        """Ship to this stream from now on: what waits, and what comes. What an earlier run has got stays there."""
        self.close()
        self._shipped.clear()
        self._url, self._key = url, key
        self.away_since, self._backoff, self._retry_at = None, 0.0, 0.0

    def add(self, batch: Batch) -> list[Batch]:
        """Let a batch wait; return those that had to go for it."""
        return self._waiting.add(batch)

    def ship(self, *, mark: dict[Any, Any] | None = None, now: bool = False) -> str | None:
        """Send what waits and then an entry without lines (`mark`); return the id of the last one.

        None if there was nothing to send, or the server does not answer; until it is time to try again it is not asked,
        unless `now`.
        """
        if self._url is None or (time.monotonic() < self._retry_at and not now):
            return None
        if not self._waiting.batches and mark is None and self.away_since is None:
            return None
        entry_id: str | None = None
        try:
            connection = self._connection = self._connection or self._connect(self._url)
            while self._waiting.batches:
                entry_id = self._ship_some(connection)
            if mark is not None:
                entry_id = _text(connection.client.xadd(self._key, mark))
            elif entry_id is None:
                connection.client.ping()  # it was away: is it back?
        except UNREACHABLE as error:
            self._lost(error)
            return None
        self.away_since, self._backoff, self._retry_at = None, 0.0, 0.0
        return entry_id

    def after(self, seq: int) -> list[Batch]:
        """The batches that end after this number, shipped or not, as far as they are kept."""
        newest_first: Iterator[Batch] = chain(reversed(self._waiting.batches), reversed(self._shipped.batches))
        return list(takewhile(lambda batch: batch.last > seq, newest_first))[::-1]

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _ship_some(self, connection: Connection) -> str:
        pipeline = connection.client.pipeline(transaction=False)
        for batch in islice(self._waiting.batches, PIPELINE):
            # A party whose batches are large trims to fewer: a cap in bytes, as near as MAXLEN comes to one.
            mean = (self._total_bytes + len(batch.data)) / (self._total + 1)
            fields: dict[Any, Any] = batch.fields()
            pipeline.xadd(self._key, fields, maxlen=max(100, int(STREAM_BYTES / mean)), approximate=True)
        entry_id = ""
        for reply in pipeline.execute(raise_on_error=False):
            if isinstance(reply, Exception):
                raise reply
            entry_id = self._last_id = _text(reply)
            batch = self._waiting.popleft()
            self._shipped.add(batch)
            self._total += 1
            self._total_bytes += len(batch.data)
        return entry_id

    def _connect(self, url: str) -> Connection:
        connection = Connection(url, name=f"{self._name}-log-writer", timeout=TIMEOUT)
        try:
            if self._shipped.batches and not connection.client.xrange(self._key, self._last_id, self._last_id):
                self._waiting.addleft(self._shipped)  # the data is lost, even if others have written again
        except BaseException:
            connection.close()
            raise
        return connection

    def _lost(self, error: Exception) -> None:
        self.close()
        now = time.monotonic()
        self.problem = error.what if isinstance(error, PlaygroundError) else f"{type(error).__name__}: {error}"
        if self.away_since is None:
            self.away_since = now
        self._backoff = min(LONGEST_BACKOFF, max(0.1, 2 * self._backoff))
        self._retry_at = now + self._backoff


class _Bounded:
    """Batches up to a number of bytes; the oldest go first."""

    def __init__(self, limit: int) -> None:
        self.batches: deque[Batch] = deque()
        self._limit = limit
        self._bytes = 0

    def add(self, batch: Batch) -> list[Batch]:
        self.batches.append(batch)
        self._bytes += len(batch.data)
        gone = []
        while self._bytes > self._limit and len(self.batches) > 1:
            gone.append(self.popleft())
        return gone

    def addleft(self, earlier: _Bounded) -> None:
        """Put the batches of `earlier` before these, whatever the limit."""
        self.batches.extendleft(reversed(earlier.batches))
        self._bytes += earlier._bytes
        earlier.clear()

    def popleft(self) -> Batch:
        batch = self.batches.popleft()
        self._bytes -= len(batch.data)
        return batch

    def clear(self) -> None:
        self.batches.clear()
        self._bytes = 0


class LogReader:
    """Everybody's batches, from the start of the run, to the merged log, in a thread of its own."""

    def __init__(self, url: str, key: str, nodes: Sequence[str], merged: MergedLog, *, name: str) -> None:
        self._url = url
        self._key = key
        self._nodes = frozenset(nodes)
        self._merged = merged
        self._name = name
        self._cursor = "0-0"
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"playground-log-reader {name}", daemon=True)
        self._thread.start()

    def stopping(self) -> None:
        """Read no more. The thread may be blocked for up to 1 s: an entry that comes after this ends it at once."""
        self._stopping.set()
        self._merged.nudge()

    def join(self, timeout: float) -> None:
        self._thread.join(timeout)

    def _run(self) -> None:
        backoff = 0.0
        while not self._stopping.wait(backoff):
            connection: Connection | None = None
            try:
                connection = Connection(self._url, name=f"{self._name}-log-reader", timeout=TIMEOUT)
                while not self._stopping.is_set():
                    self._read(connection)
                    backoff = 0.0
            except UNREACHABLE:
                backoff = min(LONGEST_BACKOFF, max(0.1, 2 * backoff))
            finally:
                if connection is not None:
                    connection.close()

    def _read(self, connection: Connection) -> None:
        reply: Any = connection.client.xread({self._key: self._cursor}, count=4 * PIPELINE, block=1000)
        for _, entries in reply or ():
            for entry_id, fields in entries:
                self._cursor = _text(entry_id)
                self._take(fields)
            self._merged.reached(self._cursor)
            self._merged.pause(READ_INTERVAL, self._stopping)

    def _take(self, fields: dict[bytes, bytes]) -> None:
        try:
            batch = Batch.of(fields)
        except ProtocolError:
            return  # whoever writes nonsense into the shared log is not shown
        if batch is not None and batch.party in self._nodes:
            self._merged.accept(batch)


def _text(entry_id: Any) -> str:
    return entry_id.decode() if isinstance(entry_id, bytes) else str(entry_id)
