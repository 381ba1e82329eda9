"""What pages ask about tasks, and do with them."""

from __future__ import annotations

import asyncio

import redis

from playground_ext import settings
from playground_ext.bus.connection import Connection
from playground_ext.bus.keys import TASKS, TaskKeys
from playground_ext.bus.payload_files import PayloadFiles
from playground_ext.errors import PlaygroundError
from playground_ext.runner.cleaning import Choice, remove
from playground_ext.runner.history import Record
from playground_ext.runner.replay import prepare
from playground_ext.server.files import record_named
from playground_ext.server.hub import Hub
from playground_ext.server.listing import list_tasks
from playground_ext.server.refusals import BadField, Conflict, NotFound
from playground_ext.server.story import SEQUENCES
from playground_ext.server.wire import Task, TaskSummary, encode

__all__ = ["act", "all_tasks", "delete", "items", "older_lines", "one_task", "replay"]


async def all_tasks(hub: Hub) -> list[TaskSummary]:
    """The list of tasks now."""
    return await asyncio.to_thread(list_tasks, hub.root, hub.background, hub.live, hub.running)


async def one_task(hub: Hub, name: str) -> Task:
    """Its state now.

    Raises:
        NotFound: neither server nor disk know it.
    """
    async with hub.read(name) as story:
        if story.state is not None and not story.gone:
            return story.state
    pending = await asyncio.to_thread(hub.background.pending, name)
    if pending is None:
        raise _unknown(name)
    return pending


async def older_lines(hub: Hub, name: str, *, before: int | None, limit: int) -> bytes:
    """The newest `limit` lines before number `before` (None: of all), and the number of the first of them.

    Raises:
        NotFound: no such task.
    """
    async with hub.read(name) as story:
        if story.gone:
            raise _unknown(name)
        lines = story.items["logs"]
        found, first = await asyncio.to_thread(lines.before, lines.last + 1 if before is None else before, limit)
        run = encode(story.epoch)
    return b'{"records":[' + b",".join(found) + b'],"first":%d,"run":%s}' % (first, run)


async def items(hub: Hub, name: str, channel: str) -> bytes:
    """All points, messages, phases, or bytes of rounds.

    Raises:
        NotFound: no such task.
    """
    async with hub.read(name) as story:
        if story.gone:
            raise _unknown(name)
        if channel in SEQUENCES:
            return await asyncio.to_thread(story.everything, channel)
        return encode(story.timeline() if channel == "timeline" else story.traffic())


async def act(hub: Hub, name: str, action: str) -> str:
    """stop, rerun or resume; the name of the task that this is about from now on.

    Raises:
        NotFound: no such task.
        Conflict: it cannot be done now, and why.
        ServerError: there is no server, and none can be started.
    """
    record = await asyncio.to_thread(record_named, name)
    if action == "stop":
        await asyncio.to_thread(hub.background.stop, record, name)
        return name
    if record is None:
        raise _unknown(name)
    if record.active:
        raise Conflict(f"{name} is running", next_step="stop it first")
    if record.template is None:
        raise Conflict(
            f"{name} is run by hand, in open notebooks", next_step="open its notebooks and run all parties there"
        )
    if action == "rerun":
        return await asyncio.to_thread(hub.background.rerun, record)
    await asyncio.to_thread(hub.background.resume, record)
    return name


async def delete(hub: Hub, name: str) -> None:
    """Remove what a task left: run folder, parties' folders, and what the server keeps.

    Raises:
        NotFound: no such task.
        Conflict: it runs.
    """
    async with hub.read(name) as story:
        state, words = story.state, story.words
        anybody = not story.gone and words.anybody
        known = state is not None and not story.gone
    record = await asyncio.to_thread(record_named, name)
    if anybody or (hub.background.running(name) if record is None else record.active):
        raise Conflict(f"{name} is running", next_step="stop it first")
    await asyncio.to_thread(_remove, hub, name, record, known)
    hub.forget(name)


async def replay(hub: Hub, name: str, party: str, round: int) -> dict[str, str]:
    """Prepare a notebook in which the party's round runs again.

    Raises:
        NotFound: no such task.
        BadField: a party or round that it did not have.
        ConfigError: the round was not kept.
        Conflict: Jupyter does not serve the notebook's folder.
    """
    record = await asyncio.to_thread(record_named, name)
    if record is None:
        raise _unknown(name)
    if party not in [one.name for one in record.parties]:
        raise BadField("party", f"{name} has no party {party!r}")
    if round < 1:
        raise BadField("round", f"round {round} does not exist", next_step="rounds are counted from 1")
    path = hub.root.name(await asyncio.to_thread(prepare, record.name, party, round))
    if path is None:
        raise Conflict("the notebook was written outside the folder that Jupyter serves")
    return {"path": path}


def _remove(hub: Hub, name: str, record: Record | None, known: bool) -> None:
    if record is not None:
        folder, said = record.folder, settings.read()
        if folder.is_symlink() or folder.resolve().parent not in (said.runs.resolve(), said.home.resolve()):
            raise Conflict(f"{name} is a link to another place", next_step=f"remove {folder} yourself")
        refused: list[str] = []
        remove(Choice([(record, 0)], [], []), refused.append)
        if refused:
            raise Conflict(refused[0], next_step="stop it first")
    forgotten = hub.background.forget(name)
    erased = _erase(hub, record.task if record is not None else name)
    if record is None and not (forgotten or erased or known):
        raise _unknown(name)


def _erase(hub: Hub, task: str) -> bool:
    """Remove the task from the server, if there is one; whether it was there."""
    url = hub.finder.find()
    if url is None:
        return False
    try:
        with Connection(url, name="playground-lab-delete", timeout=5.0) as connection:
            client = connection.client
            known = bool(client.zrem(TASKS, task))
            prefix = TaskKeys(task).run.removesuffix("run")
            for key in client.scan_iter(match=f"{prefix}*", count=1000):
                client.unlink(key)
                known = True
        if payloads := PayloadFiles.beside(url, task):
            payloads.remove()
    except (PlaygroundError, redis.RedisError):
        return False  # a server that is away keeps nothing
    return known


def _unknown(name: str) -> NotFound:
    return NotFound(f"there is no task {name!r}", next_step="it may have been deleted: look at the list of tasks")
