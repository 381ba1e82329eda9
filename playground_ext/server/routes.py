"""REST below `{base_url}playground/`: thin handlers; the work is done off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, TypeVar

import msgspec
from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado import web

from playground_ext.errors import ConfigError, PlaygroundError, ServerError, StorageError
from playground_ext.server import federations, tasks
from playground_ext.server.hub import Hub
from playground_ext.server.live import LiveHandler
from playground_ext.server.orders import RunOrder
from playground_ext.server.refusals import BadField, Conflict, NotFound
from playground_ext.server.wire import encode

__all__ = ["handlers"]

_MOST_LINES = 5000  # log lines that one request gets
_NAME = r"(?P<task>[A-Za-z0-9_-]{1,100})"

_Method = TypeVar("_Method", bound=Callable[..., Awaitable[None]])
_Body = TypeVar("_Body")


def _answering(method: _Method) -> _Method:
    """Authenticated and authorised; errors of ours become an answer that says what to do."""

    @wraps(method)
    async def answer(self: _Handler, *args: Any, **kwargs: Any) -> None:
        try:
            await method(self, *args, **kwargs)
        except PlaygroundError as error:
            self.refuse(error)
        except OSError as error:
            self.refuse(StorageError(f"{error.strerror or error}: {error.filename or 'a file'}"))

    return web.authenticated(authorized(answer))  # type: ignore[return-value]


class _Handler(APIHandler):
    auth_resource = "contents"

    @property
    def hub(self) -> Hub:
        found: Hub = self.settings["playground_hub"]
        return found

    def body(self, kind: type[_Body]) -> _Body:
        """The request's JSON.

        Raises:
            BadField: naming what is missing or has a wrong type.
        """
        try:
            return msgspec.json.decode(self.request.body or b"{}", type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            text = str(error)
            field = (
                text.rpartition("`$.")[2].rstrip("`") if "`$." in text else text.split("`")[1] if "`" in text else ""
            )
            raise BadField(field, f"the request cannot be read: {text}") from error

    def number(self, name: str, default: int | None, *, least: int = 0) -> int | None:
        """An argument of the URL.

        Raises:
            BadField: it is no number.
        """
        text = self.get_query_argument(name, None)
        if text is None:
            return default
        if not text.isascii() or not text.isdecimal() or int(text) < least:
            raise BadField(name, f"{name}={text} is not a number from {least} on")
        return int(text)

    def reply(self, value: Any, status: int = 200) -> None:
        self.set_status(status)
        self.finish(value if isinstance(value, bytes) else encode(value))

    def refuse(self, error: PlaygroundError) -> None:
        kinds = ((NotFound, 404), (Conflict, 409), (ConfigError, 400), (ServerError, 503))
        status = next((status for kind, status in kinds if isinstance(error, kind)), 500)
        said = {"message": error.what, "next_step": error.next_step, "party": error.party}
        if isinstance(error, BadField):
            said["field"] = error.field
        if error.details:
            said["details"] = error.details
        self.reply(said, status)


class TemplatesHandler(_Handler):
    """What the launcher's tiles and dialogs are made from."""

    @_answering
    async def get(self) -> None:
        self.hub.warming.start()  # a page shows the launcher
        self.reply(await asyncio.to_thread(federations.template_list))


class FederationsHandler(_Handler):
    """Federation folders: recognise one, write one."""

    @_answering
    async def get(self) -> None:
        path = self.get_query_argument("path", "")
        self.reply(await asyncio.to_thread(federations.read_federation, path, self.hub.root))

    @_answering
    async def post(self) -> None:
        order = self.body(federations.Order)
        self.reply(await asyncio.to_thread(federations.write_federation, order, self.hub.root), 201)


class RunsHandler(_Handler):
    """Runs in the background."""

    @_answering
    async def post(self) -> None:
        order = self.body(RunOrder)
        task = await asyncio.to_thread(self.hub.background.start, order)
        self.hub.look()
        self.reply({"task": task}, 202)


class TasksHandler(_Handler):
    """The list of tasks."""

    @_answering
    async def get(self) -> None:
        self.reply(await tasks.all_tasks(self.hub))


class TaskHandler(_Handler):
    """One task."""

    @_answering
    async def get(self, task: str) -> None:
        self.reply(await tasks.one_task(self.hub, task))

    @_answering
    async def delete(self, task: str) -> None:
        await tasks.delete(self.hub, task)
        self.set_status(204)
        self.finish()


class ActionHandler(_Handler):
    """stop, rerun, resume."""

    @_answering
    async def post(self, task: str, action: str) -> None:
        name = await tasks.act(self.hub, task, action)
        self.hub.look()
        self.reply({"task": name}, 200 if action == "stop" else 202)


class LogsHandler(_Handler):
    """Older lines."""

    @_answering
    async def get(self, task: str) -> None:
        before, limit = self.number("before", None), self.number("limit", 500, least=1)
        self.reply(await tasks.older_lines(self.hub, task, before=before, limit=min(limit or 500, _MOST_LINES)))


class ItemsHandler(_Handler):
    """Metrics, messages, timeline, traffic: all of them."""

    @_answering
    async def get(self, task: str, channel: str) -> None:
        self.reply(await tasks.items(self.hub, task, channel))


class _Replay(msgspec.Struct, forbid_unknown_fields=True):
    party: str
    round: int


class ReplayHandler(_Handler):
    """A notebook in which a party's round can be run again."""

    @_answering
    async def post(self, task: str) -> None:
        said = self.body(_Replay)
        self.reply(await tasks.replay(self.hub, task, said.party, said.round))


def handlers() -> list[tuple[str, type[Any]]]:
    """Patterns below the base URL."""
    return [
        (r"/playground/templates", TemplatesHandler),
        (r"/playground/federations", FederationsHandler),
        (r"/playground/runs", RunsHandler),
        (r"/playground/tasks", TasksHandler),
        (rf"/playground/tasks/{_NAME}", TaskHandler),
        (rf"/playground/tasks/{_NAME}/(?P<action>stop|rerun|resume)", ActionHandler),
        (rf"/playground/tasks/{_NAME}/logs", LogsHandler),
        (rf"/playground/tasks/{_NAME}/(?P<channel>metrics|messages|timeline|traffic)", ItemsHandler),
        (rf"/playground/tasks/{_NAME}/replay", ReplayHandler),
        (r"/playground/live", LiveHandler),
    ]
