"""The websocket: one per page, multiplexed. Pages pull from the stories at their own pace, so none can fill memory."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
from jupyter_core.utils import ensure_async
from jupyter_server.auth.decorator import ws_authenticated
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from tornado import web
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from playground_ext.server.hub import Hub
from playground_ext.server.story import SEQUENCES, Story
from playground_ext.server.wire import encode

__all__ = ["LiveHandler"]

PACE = 0.06  # seconds between two rounds of frames
ALIVE = 15.0  # seconds
TABLES = 0.5  # seconds between two frames of the same table (timeline, traffic), which are sent whole
LONG_TABLE = 5000  # rows; longer ones are sent less often, in proportion
SLOW = 20.0  # seconds that a page may take to read a frame
BACKLOG = 5000  # log lines that a page gets which has none
MOST_SUBSCRIPTIONS = 64
TRY_AGAIN = 1013  # websocket close code: come back later


class _Wish(msgspec.Struct, forbid_unknown_fields=True):
    """What a page says."""

    subscribe: Literal["tasks", "task"] | None = None
    unsubscribe: Literal["tasks", "task"] | None = None
    task: str | None = None
    channels: list[Literal["parties", "logs", "metrics", "messages", "timeline", "traffic"]] = []
    after: dict[str, int] = {}
    run: str | None = None


@dataclass
class _Subscription:
    """What a page has got of one task."""

    story: Story
    channels: set[str]
    epoch: str
    sent: dict[str, int] = field(default_factory=dict)  # sequence -> last number
    versions: dict[str, int] = field(default_factory=dict)  # of what is sent whole
    sent_at: dict[str, float] = field(default_factory=dict)
    paces: dict[str, float] = field(default_factory=dict)  # seconds between two frames of a table
    told_gone: bool = False
    began: bool = False


class LiveHandler(WebSocketMixin, WebSocketHandler, JupyterHandler):
    """One page."""

    auth_resource = "events"

    def initialize(self) -> None:
        self._hub: Hub = self.settings["playground_hub"]
        self._news = asyncio.Event()
        self._closed = asyncio.Event()
        self._subscriptions: dict[str, _Subscription] = {}
        self._lists = False
        self._list_version = -1
        self._problem: object = None
        self._was_up: bool | None = None
        self._alive_at = 0.0
        self._pump: asyncio.Task[None] | None = None
        self._complaints: list[bytes] = []

    @ws_authenticated
    async def get(self, *args: Any, **kwargs: Any) -> None:
        """Open the websocket, for whoever may read events."""
        allowed = self.authorizer.is_authorized(self, self.current_user, "subscribe", self.auth_resource)
        if not await ensure_async(allowed):
            raise web.HTTPError(403)
        await super().get(*args, **kwargs)

    def open(self, *args: str, **kwargs: str) -> None:
        super().open(*args, **kwargs)
        self._hub.join(self)
        self._problem = self._hub.finder.problem
        self._pump = asyncio.create_task(self._run())
        self._pump.add_done_callback(self._ended)

    def on_message(self, message: str | bytes) -> None:
        try:
            wish = msgspec.json.decode(message, type=_Wish)
            self._grant(wish)
        except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
            self._complain(None, f"this message cannot be read: {error}", "see the contract of the websocket")
        self.wake()

    def on_close(self) -> None:
        self._closed.set()
        self._news.set()
        for task in self._subscriptions:
            self._hub.release(task)
        self._subscriptions.clear()
        self._hub.leave(self)
        super().on_close()

    def wake(self) -> None:
        """There is something new."""
        self._news.set()

    def _ended(self, pump: asyncio.Task[None]) -> None:
        """A mistake of ours is said in Jupyter's log, and the page connects again."""
        if not pump.cancelled() and (error := pump.exception()) is not None:
            self.log.error("the live connection of a page broke", exc_info=error)
            self.close(TRY_AGAIN, "something went wrong: see Jupyter's log")

    # -- what the page wants -----------------------------------------------------------------------------------------

    def _grant(self, wish: _Wish) -> None:
        if wish.subscribe == "tasks":
            self._lists, self._list_version = True, -1
            self._hub.list_for(self)
        elif wish.unsubscribe == "tasks":
            self._lists = False
            self._hub.unlist(self)
        elif wish.task is None:
            raise ValueError("it names no task")
        elif wish.unsubscribe == "task":
            if self._subscriptions.pop(wish.task, None) is not None:
                self._hub.release(wish.task)
        elif wish.subscribe == "task":
            self._subscribe(wish.task, wish)

    def _subscribe(self, task: str, wish: _Wish) -> None:
        if not _is_name(task):
            raise ValueError(f"{task!r} is no task")
        if task not in self._subscriptions and len(self._subscriptions) >= MOST_SUBSCRIPTIONS:
            raise ValueError(f"more than {MOST_SUBSCRIPTIONS} tasks at once")
        known = self._subscriptions.get(task)
        story = known.story if known is not None else self._hub.hold(task)
        after = {name: max(0, number) for name, number in wish.after.items() if name in SEQUENCES}
        more = {"latencies"} if "messages" in wish.channels else set()
        wanted = _Subscription(story, {*wish.channels, *more}, wish.run or story.epoch)
        if wish.run is None or wish.run == story.epoch:
            wanted.sent = after
        self._subscriptions[task] = wanted

    def _complain(self, task: str | None, message: str, next_step: str | None) -> None:
        frame = {"channel": "error", "task": task, "message": message, "next_step": next_step}
        self._complaints.append(encode(frame))

    # -- what it gets ------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        """Send until the page has left."""
        with contextlib.suppress(WebSocketClosedError):
            while not self._closed.is_set():
                await self._flush()
                await _wait(self._closed, PACE)
                pause = max(0.0, self._alive_at + ALIVE - time.monotonic())
                await _wait(self._news, min(pause, TABLES) if self._subscriptions else pause)
                self._news.clear()

    async def _flush(self) -> None:
        complaints, self._complaints = self._complaints, []
        for frame in complaints:
            await self._send(frame)
        await self._say_alive()
        hub = self._hub
        if self._lists and hub.tasks is not None and self._list_version != hub.list_version:
            self._list_version = hub.list_version
            await self._send(encode({"channel": "tasks", "data": hub.tasks}))
        for task, subscription in list(self._subscriptions.items()):
            if self._subscriptions.get(task) is subscription:
                await self._flush_task(subscription)

    async def _say_alive(self) -> None:
        finder, now = self._hub.finder, time.monotonic()
        if finder.problem is not None and finder.problem is not self._problem:
            problem = finder.problem
            frame = {"channel": "error", "task": None, "message": problem.what, "next_step": problem.next_step}
            await self._send(encode(frame))
        self._problem = finder.problem
        if now - self._alive_at >= ALIVE or self._was_up != finder.up:
            self._alive_at, self._was_up = now, finder.up
            await self._send(encode({"channel": "alive", "server": finder.up}))

    async def _flush_task(self, subscription: _Subscription) -> None:
        story, now = subscription.story, time.monotonic()
        if not story.caught_up.is_set():
            return  # its beginning is being read: not in pieces, so that the newest lines are known
        with story.lock:
            if subscription.epoch != story.epoch:
                subscription.epoch = story.epoch
                subscription.sent, subscription.versions, subscription.began = {}, {}, False
            frames = self._whole(subscription, now)
            if not subscription.began:
                self._begin(subscription)
        if story.gone and not subscription.told_gone:
            frames.append(
                encode(
                    {
                        "channel": "error",
                        "task": story.task,
                        "message": f"there is no task {story.task!r} (any more)",
                        "next_step": "it will be shown as soon as it is started",
                    }
                )
            )
        subscription.told_gone = story.gone
        for frame in frames:
            await self._send(frame)
        for channel in SEQUENCES:
            while channel in subscription.channels:
                batch = story.batch_frame(channel, subscription.sent.get(channel, 0), subscription.epoch)
                if batch is None:
                    break
                subscription.sent[channel] = batch[1]
                await self._send(batch[0])

    def _begin(self, subscription: _Subscription) -> None:
        """Where to begin: after what the page has, else with the newest lines."""
        subscription.began = True
        for channel in SEQUENCES:
            items = subscription.story.items[channel]
            if subscription.sent.get(channel, 0) > items.last:
                subscription.sent[channel] = 0
            if channel == "logs" and not subscription.sent.get(channel):
                subscription.sent[channel] = max(0, items.last - BACKLOG)

    def _whole(self, subscription: _Subscription, now: float) -> list[bytes]:
        """Frames of what is sent whole, if it is another one than before."""
        story, frames = subscription.story, []
        for channel, version in story.versions.items():
            pace = 0.1 if channel == "parties" else subscription.paces.get(channel, TABLES)
            if (
                channel not in subscription.channels
                or subscription.versions.get(channel) == version
                or now - subscription.sent_at.get(channel, 0.0) < pace
            ):
                continue
            subscription.versions[channel], subscription.sent_at[channel] = version, now
            if channel == "parties":
                if story.state is not None:
                    frames.append(story.frame(channel, story.state))
            else:
                rows = story.timeline() if channel == "timeline" else story.traffic()
                subscription.paces[channel] = TABLES * max(1.0, len(rows) / LONG_TABLE)
                frames.append(story.frame(channel, rows))
        return frames

    async def _send(self, frame: bytes) -> None:
        """Return when the page's socket has taken it; a page that does not read is let go."""
        sent = asyncio.ensure_future(self.write_message(frame))
        done, _ = await asyncio.wait({sent}, timeout=SLOW)
        if not done:
            sent.cancel()
            self.log.warning("a page did not read for %g s and is disconnected", SLOW)
            connection = self.ws_connection
            if connection is not None and connection.stream is not None:
                connection.stream.close()  # it would not read a farewell either; it connects again when it can
            raise WebSocketClosedError
        await sent


async def _wait(event: asyncio.Event, timeout: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), max(0.001, timeout))


def _is_name(task: str) -> bool:
    return 0 < len(task) <= 100 and all(c.isascii() and (c.isalnum() or c in "_-") for c in task)
