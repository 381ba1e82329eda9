"""The thread that follows one task: control, log, metrics and data streams of its newest run, from their beginning."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from itertools import permutations
from typing import Any, cast

import msgspec
import redis

from playground_ext.bus.connection import Connection
from playground_ext.bus.envelope import decode_control
from playground_ext.bus.keys import RunKeys, TaskKeys
from playground_ext.bus.streams import Entry, read
from playground_ext.errors import PlaygroundError, ProtocolError
from playground_ext.logs.record import Batch
from playground_ext.runner.history import Record
from playground_ext.runner.progress import MetricPoint
from playground_ext.server import files
from playground_ext.server.describing import describe
from playground_ext.server.finding import Finder
from playground_ext.server.messages import read_envelope
from playground_ext.server.paths import Root
from playground_ext.server.rounds import read_reports
from playground_ext.server.state import RunWords
from playground_ext.server.story import Story
from playground_ext.server.wire import Task

__all__ = ["Feed"]

BLOCK = 0.5  # seconds that a read waits for something new
PACE = 0.04  # seconds between two reads of busy streams, so that a read takes many entries
TELL = 0.1  # seconds between two descriptions of the task
LOOK = 1.0  # seconds between two looks at leases, files, and for a server
COUNT = 200  # entries of a stream that a read takes
STARS = 12  # parties up to which every pair's stream is read; of more, only the initiator's
_AWAY = (PlaygroundError, redis.RedisError, OSError)


class Feed:
    """Follows a task while it is wanted.

    `on_change` is called, by the feed's thread, when the story has grown; `pending` tells of runs that neither server
    nor disk know yet.
    """

    def __init__(
        self,
        task: str,
        finder: Finder,
        root: Root,
        *,
        pending: Callable[[str], Task | None],
        on_change: Callable[[], None],
    ) -> None:
        self.story = Story(task)
        self._finder, self._root, self._pending, self._on_change = finder, root, pending, on_change
        self._keys: RunKeys | None = None
        self._cursors: dict[str, str] = {}
        self._pairs: dict[str, tuple[str, str]] = {}  # q stream -> (receiver, sender)
        self._record: Record | None = None
        self._looked = float("-inf")
        self._described = float("-inf")
        self._shown: Any = None  # the story's mark when somebody was told last
        self._unread = False  # a run was found whose streams have not been read yet
        self._ready = False  # what was there when the reading began has been read
        self._dirty = True  # a party said something about itself that is not told yet
        self._told = float("-inf")
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Follow, or go on following where it was left."""
        if self._thread is None or not self._thread.is_alive():
            self._begin(None)
        elif self._stopping.is_set():
            self._begin(self._thread)  # it is just ending

    def _begin(self, before: threading.Thread | None) -> None:
        self.story.caught_up.clear()
        stopping = self._stopping = threading.Event()

        def follow() -> None:
            if before is not None:
                before.join(5 * LOOK)
            self._follow(stopping)

        self._thread = threading.Thread(target=follow, name="playground-feed", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Follow no more; what was read stays. The thread ends within a second."""
        self._stopping.set()

    def join(self, timeout: float) -> None:
        if self._thread is not None:
            self._thread.join(timeout)

    # -- the thread --------------------------------------------------------------------------------------------------

    def _follow(self, stopping: threading.Event) -> None:
        while not stopping.is_set():
            self._look()
            url, own = self._server()
            if url is None:
                self._from_files()
                self._tell()
                stopping.wait(LOOK)
                continue
            try:
                with contextlib.closing(Connection(url, name="playground-lab", timeout=5.0)) as connection:
                    if not own:
                        self._finder.here()
                    while not stopping.is_set() and not self._moved(url, own):
                        busy = self._step(connection)
                        self._tell()
                        if busy:
                            stopping.wait(PACE)
            except _AWAY as error:
                if not own:
                    self._finder.away(error)
                if self._keys is None:
                    self._from_files()
                self._tell()
                stopping.wait(LOOK)

    def _server(self) -> tuple[str | None, bool]:
        """Where the task's parties meet, and whether that is the run's own server."""
        own = self._record.summary.get("url") if self._record is not None else None
        if isinstance(own, str):
            return (own if self._record is not None and self._record.active else None), True
        return self._finder.find(), False

    def _moved(self, url: str, own: bool) -> bool:
        """Whether the parties meet elsewhere: a run with a server of its own has begun, or has ended."""
        said = self._record.summary.get("url") if self._record is not None else None
        return said != url if own else isinstance(said, str)

    def _look(self) -> None:
        """Look at what lies on the disk, at most once a second."""
        if time.monotonic() - self._looked > LOOK:
            self._looked = time.monotonic()
            self._record = files.record_named(self.story.task)

    def _step(self, connection: Connection) -> bool:
        """Read what is new; whether there was anything."""
        self._look()
        task = TaskKeys(self._record.task if self._record is not None else self.story.task)
        if task.runs not in self._cursors:
            self._cursors = {task.runs: "0-0"}
        first = not self.story.caught_up.is_set()
        block = None if first else TELL if self._dirty else BLOCK
        entries = list(read(connection, self._cursors, block=block, count=COUNT))
        if self._take(task, entries, late=first) or time.monotonic() - self._described > 2 * LOOK:
            self._describe(connection, task)
        if first and not entries and not self._unread:
            if self._keys is None and not self.story.words.anybody:
                self._from_files()  # the server knows nothing of this task: what was written tells it
            self._ready = True
        self._unread = False
        return bool(entries)

    def _take(self, task: TaskKeys, entries: list[Entry], *, late: bool) -> bool:
        """Sort entries into the story; whether the run's description may have changed."""
        keys = self._keys
        again = False
        points: list[MetricPoint] = []
        for entry in entries:
            self._cursors[entry.key] = entry.id
            with contextlib.suppress(ProtocolError):  # nobody's nonsense must end what others see
                if entry.key == task.runs or keys is None:
                    again = True
                elif entry.key == keys.log:
                    if (batch := Batch.of(entry.fields)) is not None:
                        self.story.batch(batch)
                elif entry.key == keys.metrics:
                    points += _points(entry.fields)
                elif entry.key in self._pairs:
                    receiver, sender = self._pairs[entry.key]
                    envelope = read_envelope(receiver, sender, entry.id, entry.fields)
                    self.story.envelope(envelope, late=late)
                else:
                    message = decode_control(entry.key.rsplit(":", 1)[1], entry.id, entry.fields)
                    self.story.control(message, late=late)
                    self._dirty = True
                    again = again or message.kind not in ("progress", "ack")
        self.story.points(points)
        return again

    def _describe(self, connection: Connection, task: TaskKeys) -> None:
        """Ask which run is the newest and how it stands; begin anew if it is another one."""
        self._described = time.monotonic()
        current = cast("bytes | None", connection.client.get(task.run))
        run = current.decode() if current is not None and self._is_ours(current.decode()) else None
        lobby = cast("dict[bytes, bytes]", connection.client.hgetall(task.lobby))
        if run is not None and (self._keys is None or self._keys.run != run):
            self._keys = task.of(run)
            self.story.begin(run)
            self._cursors = {task.runs: self._cursors.get(task.runs, "0-0")}
            self._pairs = {}
            self._unread = True
        self._dirty = True
        words = self.story.words
        with self.story.lock:
            if self._keys is not None:
                meta = cast("dict[bytes, bytes]", connection.client.hgetall(self._keys.meta))
                if meta:  # a server that lost its data gets it again from the initiator
                    words.describe(meta)
                self._listen_to(words)
            words.wait(lobby if run is None or words.status not in ("running",) else {})

    def _is_ours(self, run: str) -> bool:
        """Not if this is an older run's folder, of a task that was run again since."""
        record = self._record
        if record is None or record.template is None or record.active:
            return True
        return record.summary.get("run") == run

    def _listen_to(self, words: RunWords) -> None:
        keys = self._keys
        if keys is None:
            return
        nodes = words.nodes
        streams = [keys.log, keys.metrics, *(keys.control(node) for node in nodes)]
        for receiver, sender in permutations(nodes, 2):
            if len(nodes) <= STARS or words.meta.get("initiator") in (receiver, sender):
                self._pairs[keys.data(receiver, sender)] = (receiver, sender)
        for key in [*streams, *self._pairs]:
            self._cursors.setdefault(key, "0-0")

    def _from_files(self) -> None:
        """Read everything once, when nobody writes any more."""
        story, record = self.story, self._record
        if record is not None and story.words.run is None and not record.active and story.items["logs"].last == 0:
            story.lines(files.lines(record))
            story.points(files.points(record))
        self._ready = True

    def _tell(self) -> None:
        """Describe the task as it stands, and say so if anything is new."""
        story, record = self.story, self._record
        since = time.monotonic() - self._told
        if since > LOOK or self._ready or (self._dirty and since > TELL):
            self._dirty, self._told = False, time.monotonic()
            known = record is not None or bool(story.words.nodes)
            started = None if known else self._pending(story.task)
            story.gone = not known and started is None
            if started is not None:
                story.show(started)
            elif known:
                story.show(describe(story.task, record, story.words, self._root))
                if record is not None and not record.active:
                    story.report(read_reports(record.latest().parties))
        if self._ready:
            self._ready = False
            story.caught_up.set()
        mark = (*story.mark, story.caught_up.is_set())
        if mark != self._shown:
            self._shown = mark
            self._on_change()


def _points(fields: dict[bytes, bytes]) -> Iterator[MetricPoint]:
    try:
        yield from msgspec.json.decode(fields.get(b"m", b""), type=list[MetricPoint])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ProtocolError(f"metric points cannot be read: {error!r}") from error
