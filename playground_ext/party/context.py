"""`mock_context`: who this notebook plays, in which task, with whom."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from playground_ext import settings
from playground_ext.bus.keys import check_name
from playground_ext.errors import ConfigError
from playground_ext.party.early_failure import expect, joined
from playground_ext.party.identity import Party

__all__ = ["Context", "current", "from_environment", "mock_context", "server_url"]


class Context:
    """What `mock_context` returns; enter it with `with`.

    From its construction on, a cell of this notebook that fails is reported to the parties that wait for this one.
    """

    def __init__(self, id: str | None, nodes: Sequence[str] | None, task_id: str | None, role: str | None) -> None:
        self.id = check_name("party id", id) if id is not None else None
        self.nodes = tuple(check_name("party id", node) for node in nodes) if nodes is not None else None
        self.task_id = check_name("task id", task_id) if task_id is not None else None
        self.role = role
        if self.id is not None and self.nodes is not None and self.task_id is not None:
            expect(Party(self.id, self.task_id, self.nodes))  # says what is wrong now, not in a later cell

    def party(self, *, id: str | None = None, task_id: str | None = None) -> Party:
        """The identity for a run; `id` and `task_id` may complete, but not contradict, what the context says.

        Raises:
            ConfigError: something is missing or contradictory.
        """
        me, task = _agree("id", self.id, id), _agree("task_id", self.task_id, task_id)
        if me is None or task is None or self.nodes is None:
            given = (("id", me), ("nodes", self.nodes), ("task_id", task))
            missing = [name for name, value in given if value is None]
            raise ConfigError(
                f"mock_context lacks {', '.join(missing)}",
                next_step="write `with mock_context(id=…, nodes=[…], task_id=…): scheduler.run()`",
            )
        return Party(me, task, self.nodes)

    def __enter__(self) -> Self:
        _contexts.append(self)
        joined()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _contexts.remove(self)


_contexts: list[Context] = []


def mock_context(
    id: str | None = None, nodes: Sequence[str] | None = None, task_id: str | None = None, role: str | None = None
) -> Context:
    """Play one party of a task in this notebook or script.

    `id`: this party. `nodes`: all parties, the initiator first. `task_id`: the task. Both are the same in every
    notebook. `role`: only where the algorithm cannot tell it from the position in `nodes`.

    Raises:
        ConfigError: a name that cannot be one, an id that is not in `nodes`, or an id twice.
    """
    return Context(id, nodes, task_id, role)


def current() -> Context | None:
    """The innermost context that is entered."""
    return _contexts[-1] if _contexts else None


def from_environment(task_id: str | None = None) -> Context:
    """The context that PLAYGROUND_PARTY, _NODES, _TASK and _ROLE describe, for `launch_task`.

    Raises:
        ConfigError: naming all that is missing.
    """
    known = settings.read()
    task = task_id or known.task
    missing = [
        name
        for name, value in (("PLAYGROUND_PARTY", known.party), ("PLAYGROUND_NODES", known.nodes), ("task_id", task))
        if not value
    ]
    if missing:
        raise ConfigError(
            f"launch_task outside mock_context needs {', '.join(missing)}",
            next_step="set PLAYGROUND_PARTY=collaborator-1, PLAYGROUND_NODES=aggregator,collaborator-1 and "
            "PLAYGROUND_REDIS_URL, or use `with mock_context(id=…, nodes=[…], task_id=…): scheduler.run()`",
        )
    return Context(known.party, known.nodes, task, known.role)


def server_url() -> str:
    """PLAYGROUND_REDIS_URL, else the embedded server that this user's notebooks of this workspace share."""
    from playground_ext.bus.supervisor import shared_server

    return settings.read().redis_url or shared_server()


def _agree(name: str, here: str | None, given: str | None) -> str | None:
    if here is not None and given is not None and here != given:
        raise ConfigError(f"mock_context says {name}={here!r}, the call says {given!r}", next_step="make them equal")
    return here if here is not None else given
