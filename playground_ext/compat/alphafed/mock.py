"""`mock_context` in AlphaMed's spelling."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

from playground_ext.compat.current import leave
from playground_ext.compat.log import logger
from playground_ext.party.context import Context, current

__all__ = ["is_mock_mode", "mock_context", "mock_node_id", "mock_nodes"]


class _MockContext(Context):
    """Leaves the runs that contractors have joined inside it."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            leave(self.id, error)
        finally:
            super().__exit__(kind, error, traceback)


def mock_context(
    clean: bool = False,
    id: str | None = None,
    nodes: Sequence[str] | None = None,
    task_id: str | None = None,
    role: str | None = None,
) -> Context:
    """Play one party of a task in this notebook or script.

    `id` and `nodes` are AlphaMed's; `task_id` and `role` those of `playground_ext.mock_context`. `clean` has nothing
    to do: messages of an earlier run never arrive here.

    Raises:
        ConfigError: a name that cannot be one, an id that is not in `nodes`, or an id twice.
    """
    if clean:
        logger.info("mock_context(clean=True): nothing to clean, because every run begins with empty streams")
    return _MockContext(id, nodes, task_id, role)


def is_mock_mode() -> bool:
    """Is a context entered?"""
    return current() is not None


def mock_node_id() -> str | None:
    """This party, as the context says."""
    context = current()
    return None if context is None else context.id


def mock_nodes() -> list[str]:
    """All parties, as the context says."""
    context = current()
    return list(context.nodes or ()) if context is not None else []
