"""A notebook that a program runs, and that fails before it joins its task: those who wait for it are told.

Under `playground run` the runner does that; under plain papermill nobody else could. The hook is there from the import
of this package on (in a party kernel from the start). It knows who the notebook is from its `mock_context` or, before
that, from a template's parameters or the environment, and says nothing where these do not tell.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from playground_ext import settings
from playground_ext.errors import PlaygroundError
from playground_ext.party.failure import describe, is_interactive, shell
from playground_ext.party.identity import Party

__all__ = ["expect", "guess", "joined", "watch_cells"]

_expected: list[Party] = []  # who this notebook has said it will be
_hooks: list[Any] = []  # the post_run_cell hook that is registered, if any
_joined: list[None] = []  # not empty once a context was entered: from then on its session tells


def watch_cells() -> None:
    """In a kernel: report the first cell that fails, until `joined`. Elsewhere, and called again: nothing."""
    ipython = shell()
    if ipython is not None and not _hooks and not _joined:
        _hooks.append(_report)
        ipython.events.register("post_run_cell", _report)


def expect(party: Party) -> None:
    """From now on this is known, not guessed; also for a notebook that has joined before."""
    _expected[:] = [party]
    _joined.clear()
    watch_cells()


def joined() -> None:
    """The party takes part, so that its session tells what becomes of it."""
    _joined[:] = [None]
    _stop()


def guess(names: Mapping[str, Any]) -> Party | None:
    """Who a notebook with these variables is, by the parameters that templates have, else by the environment.

    None where that is not certain. A template's leader says its name in `party_id`, a party of the role that repeats
    says its number.
    """
    known = settings.read()
    task = _name(names.get("task_id")) or known.task
    party = _name(names.get("party_id")) or _numbered(names) or known.party
    nodes = _names(names.get("nodes")) or known.nodes
    if task is None or party is None:
        return None
    try:
        return Party(party, task, nodes if party in nodes else (party,))
    except PlaygroundError:  # names that no party of a task can have
        return None


def _report(result: Any) -> None:
    error = result.error_in_exec or result.error_before_exec
    ipython = shell()
    if error is None or ipython is None or is_interactive() or _may_fail(ipython):
        return  # a person sees the error and mends the cell
    if settings.read().on_party_failure == "wait":
        return  # the notebook will be run again, and those who wait for it go on waiting
    party = _expected[0] if _expected else guess(ipython.user_ns)
    _stop()
    if party is None:
        return
    from playground_ext.party.context import server_url
    from playground_ext.party.lobby import tell_waiting

    with contextlib.suppress(PlaygroundError):  # no server: then nobody waits there
        tell_waiting(server_url(), party, describe(error))


def _may_fail(ipython: Any) -> bool:
    """The notebook goes on after an error in this cell: it is tagged `raises-exception`."""
    request: Mapping[str, Any] = ipython.kernel.get_parent("shell").get("content", {})
    return request.get("stop_on_error") is False


def _stop() -> None:
    ipython = shell()
    while _hooks:
        hook = _hooks.pop()
        if ipython is not None:
            with contextlib.suppress(ValueError):
                ipython.events.unregister("post_run_cell", hook)


def _name(value: object) -> str | None:
    """papermill makes a number of `-p task_id 42`."""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) and value != "" else None


def _numbered(names: Mapping[str, Any]) -> str | None:
    index, count = names.get("party_index"), names.get("collaborators")
    fits = type(index) is int and type(count) is int and 1 <= index <= count
    return f"collaborator-{index}" if fits else None


def _names(value: object) -> tuple[str, ...]:
    if isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(name, str) for name in value):
        return tuple(value)
    return ()
