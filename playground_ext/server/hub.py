"""Which tasks are followed, for all pages of this Jupyter server together. Belongs to the event loop's thread."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator
from functools import partial
from typing import Protocol

from playground_ext.server.background import Background
from playground_ext.server.feed import Feed
from playground_ext.server.finding import Finder
from playground_ext.server.listing import Listing
from playground_ext.server.paths import Root
from playground_ext.server.story import Story
from playground_ext.server.warming import Warming
from playground_ext.server.wire import Task, TaskSummary

__all__ = ["Hub", "Watcher"]

LINGER = 5.0  # seconds for which a task is still followed when nobody listens: pages reload
PARKED = 16  # tasks whose story is kept when nobody listens, so that its numbers stay the same
CATCH_UP = 5.0  # seconds that a request waits for what was there before
END = 2.0  # seconds that threads get to end with the server


class Watcher(Protocol):
    """Whoever wants to know: a page."""

    def wake(self) -> None:
        """There is something new."""


class Hub:
    """Feeds, shared: one a task, however many pages look at it; none when nobody does."""

    def __init__(self, root: Root) -> None:
        self.root = root
        self.finder = Finder()
        self.background = Background(root)
        self.warming = Warming()
        self.tasks: list[TaskSummary] | None = None  # the newest list; None while nobody asks
        self.list_version = 0
        self._loop: asyncio.AbstractEventLoop | None = None  # none runs yet while Jupyter loads extensions
        self._feeds: OrderedDict[str, Feed] = OrderedDict()
        self._holders: Counter[str] = Counter()
        self._running: set[str] = set()  # held for the list
        self._watchers: set[Watcher] = set()
        self._listers: set[Watcher] = set()
        self._listing = Listing(
            self.finder, root, self.background, self.live, self._threaded(self._listed), self._threaded(self._follow)
        )

    # -- pages -------------------------------------------------------------------------------------------------------

    def join(self, watcher: Watcher) -> None:
        self._watchers.add(watcher)

    def leave(self, watcher: Watcher) -> None:
        self._watchers.discard(watcher)
        self.unlist(watcher)

    def list_for(self, watcher: Watcher) -> None:
        """Keep `tasks` up to date."""
        self._loop = asyncio.get_running_loop()
        self._listers.add(watcher)
        self._listing.start()

    def unlist(self, watcher: Watcher) -> None:
        self._listers.discard(watcher)
        if not self._listers:
            self._listing.stop()
            self._follow([])
            self.tasks = None

    # -- tasks -------------------------------------------------------------------------------------------------------

    def hold(self, task: str) -> Story:
        """Follow a task until `release`."""
        self._loop = asyncio.get_running_loop()
        feed = self._feeds.get(task)
        if feed is None:
            feed = self._feeds[task] = Feed(
                task,
                self.finder,
                self.root,
                pending=self.background.pending,
                on_change=self._threaded(self._changed),
            )
        self._feeds.move_to_end(task)
        self._holders[task] += 1
        feed.start()
        return feed.story

    def release(self, task: str) -> None:
        self._holders[task] -= 1
        if self._holders[task] <= 0:
            del self._holders[task]
            asyncio.get_running_loop().call_later(LINGER, self._park, task)

    @contextlib.asynccontextmanager
    async def read(self, task: str) -> AsyncIterator[Story]:
        """The story of a task, with all that was there before, for one request."""
        story = self.hold(task)
        try:
            await asyncio.to_thread(story.caught_up.wait, CATCH_UP)
            yield story
        finally:
            self.release(task)

    def live(self, task: str) -> Task | None:
        """A task's state if it is being followed now. Any thread may ask."""
        feed = self._feeds.get(task)
        held = feed is not None and self._holders.get(task, 0) > 0
        return feed.story.state if feed is not None and held else None

    @property
    def running(self) -> list[str]:
        """The tasks that are followed for the list."""
        return sorted(self._running)

    def forget(self, task: str) -> None:
        """The task was deleted: pages that still show it start from nothing."""
        feed = self._feeds.get(task)
        if feed is not None:
            feed.story.begin(None)
        self._listing.changed()
        self._wake_all()

    def look(self) -> None:
        """Something was started or removed: make a new list soon."""
        self._listing.changed()

    async def close(self) -> None:
        """Stop all threads."""
        self._listing.stop()
        feeds = list(self._feeds.values())
        for feed in feeds:
            feed.stop()
        await asyncio.to_thread(self._join, feeds)
        for feed in feeds:
            feed.story.close()
        self._feeds.clear()

    # -- from threads ------------------------------------------------------------------------------------------------

    def _threaded(self, method: object) -> partial[None]:
        return partial(self._from_thread, method)

    def _from_thread(self, method: object, *arguments: object) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: Jupyter has ended
                self._loop.call_soon_threadsafe(method, *arguments)  # type: ignore[arg-type]

    def _listed(self, tasks: list[TaskSummary]) -> None:
        self.tasks = tasks
        self.list_version += 1
        for watcher in list(self._listers):
            watcher.wake()

    def _follow(self, tasks: list[str]) -> None:
        """Hold the running tasks for the list, so that it shows rounds, and messages are seen when they are sent."""
        wanted = set(tasks) if self._listers else set()
        for task in wanted - self._running:
            self.hold(task)
        for task in self._running - wanted:
            self.release(task)
        self._running = wanted

    def _changed(self) -> None:
        self._listing.changed()
        self._wake_all()

    def _wake_all(self) -> None:
        for watcher in list(self._watchers):
            watcher.wake()

    # -- ending ------------------------------------------------------------------------------------------------------

    def _park(self, task: str) -> None:
        if self._holders.get(task, 0) > 0:
            return
        feed = self._feeds.get(task)
        if feed is not None:
            feed.stop()
        idle = [name for name in self._feeds if not self._holders.get(name, 0)]
        for name in idle[: max(0, len(idle) - PARKED)]:
            gone = self._feeds.pop(name)
            gone.stop()
            gone.story.close()

    def _join(self, feeds: list[Feed]) -> None:
        self._listing.join(END)
        for feed in feeds:
            feed.join(END)
