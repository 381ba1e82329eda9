"""The thread that follows the list of all tasks while a page shows it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any, cast

import redis

from playground_ext.bus.connection import Connection
from playground_ext.bus.keys import TASKS, TaskKeys
from playground_ext.errors import PlaygroundError
from playground_ext.runner.history import Record, find_records
from playground_ext.server.background import Background
from playground_ext.server.describing import describe
from playground_ext.server.finding import Finder
from playground_ext.server.paths import Root
from playground_ext.server.wire import Task, TaskSummary

__all__ = ["Listing", "list_tasks"]

# New run folders, new tasks and a server that somebody started are seen by looking: once a second, and only while a
# page shows the list. Files have no notification that works on every system and on network disks. What happens within
# tasks that are running comes from their feeds, at once.
LOOK = 1.0  # seconds
SOONEST = 0.1  # seconds between two lists
SHARE = 0.1  # of the time that looking may take: with thousands of runs it happens less often
NEWEST = 50  # tasks of the server that are looked at
FOLLOWED = 16  # running tasks that are followed for the list


def list_tasks(
    root: Root, background: Background, live: Callable[[str], Task | None], known: list[str] | None = None
) -> list[TaskSummary]:
    """Every task, the newest first. `live`: the state of one that is being followed. `known`: to the server alone."""
    found: dict[str, TaskSummary] = {}
    records = find_records()
    for record in records:
        name = record.folder.name
        if name not in found:
            task = live(name) or _described(name, record, root)
            if task is not None:
                found[name] = task.summary()
    for task in background.pendings():
        found.setdefault(task.task, task.summary())
    tasks_on_disk = {record.task for record in records}
    for name in known or ():
        if name not in found and name not in tasks_on_disk and (task := live(name)) is not None:
            found[name] = task.summary()
    return sorted(found.values(), key=lambda task: (-task.created, task.task))


def _described(name: str, record: Record, root: Root) -> Task | None:
    try:
        return describe(name, record, None, root)
    except OSError:  # it is being removed
        return None


class Listing:
    """Calls `on_list` with every new list, and `on_running` with the names of the tasks to follow."""

    def __init__(
        self,
        finder: Finder,
        root: Root,
        background: Background,
        live: Callable[[str], Task | None],
        on_list: Callable[[list[TaskSummary]], None],
        on_running: Callable[[list[str]], None],
    ) -> None:
        self._finder, self._root, self._background, self._live = finder, root, background, live
        self._on_list, self._on_running = on_list, on_running
        self._wake = threading.Condition()
        self._changed = False
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, unless it has begun."""
        if self._thread is not None and self._thread.is_alive() and not self._stopping.is_set():
            return
        self._stopping = threading.Event()
        arguments = (self._stopping, self._thread)
        self._thread = threading.Thread(target=self._follow, args=arguments, name="playground-listing", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """The thread ends within a second."""
        with self._wake:
            self._stopping.set()
            self._wake.notify_all()

    def join(self, timeout: float) -> None:
        if self._thread is not None:
            self._thread.join(timeout)

    def changed(self) -> None:
        """A task that is followed has another state: make a new list soon."""
        with self._wake:
            self._changed = True
            self._wake.notify_all()

    def _follow(self, stopping: threading.Event, previous: threading.Thread | None) -> None:
        if previous is not None:
            previous.join(5 * LOOK)
        connection: Connection | None = None
        shown: list[TaskSummary] | None = None
        try:
            while not stopping.is_set():
                began = time.monotonic()
                connection = self._connected(connection)
                known, running = self._ask(connection)
                if connection is not None and known is None:
                    connection.close()
                    connection = None
                names = known or []
                with contextlib.suppress(OSError):
                    records = find_records()
                    running += [record.folder.name for record in records if record.active]
                    self._on_running(list(dict.fromkeys(running))[:FOLLOWED])
                    tasks = list_tasks(self._root, self._background, self._live, names)
                    if tasks != shown:
                        shown = tasks
                        self._on_list(tasks)
                self._rest(stopping, time.monotonic() - began)
        finally:
            if connection is not None:
                connection.close()

    def _rest(self, stopping: threading.Event, took: float) -> None:
        with self._wake:
            self._wake.wait_for(stopping.is_set, max(SOONEST, took))
            self._wake.wait_for(lambda: self._changed or stopping.is_set(), max(LOOK, took / SHARE))
            self._changed = False

    def _connected(self, connection: Connection | None) -> Connection | None:
        if connection is not None:
            return connection
        url = self._finder.find()
        if url is None:
            return None
        try:
            made = Connection(url, name="playground-lab-list", timeout=5.0)
        except PlaygroundError as error:
            self._finder.away(error)
            return None
        self._finder.here()
        return made

    def _ask(self, connection: Connection | None) -> tuple[list[str] | None, list[str]]:
        """The newest tasks that the server knows, and those of them that run or wait; None if it is away."""
        if connection is None:
            return None, []
        try:
            newest = cast("list[bytes]", connection.client.zrevrange(TASKS, 0, NEWEST - 1))
            names = [name.decode("utf-8", "replace") for name in newest]
            pipeline = connection.client.pipeline(transaction=False)
            for name in names:
                pipeline.get(TaskKeys(name).run)
            runs: list[Any] = pipeline.execute()
            pipeline = connection.client.pipeline(transaction=False)
            for name, run in zip(names, runs, strict=True):
                pipeline.hget(TaskKeys(name).of(run.decode() if run else "none").meta, "status")
            statuses: list[Any] = pipeline.execute()
        except (PlaygroundError, redis.RedisError) as error:
            self._finder.away(error)
            return None, []
        self._finder.here()
        return names, [n for n, status in zip(names, statuses, strict=True) if status in (b"open", b"running")]
