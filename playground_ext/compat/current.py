"""Which run a contractor of this process speaks in: that of a scheduler that is running, else one without roles."""

from __future__ import annotations

import atexit
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from playground_ext.compat.meeting import Meeting
from playground_ext.compat.talk import Talk
from playground_ext.party.context import current, from_environment

__all__ = ["borrowed", "leave", "talk_of", "task_nodes"]

_meetings: dict[tuple[str, str], Meeting] = {}  # by task and party
_borrowed: dict[str, Talk] = {}  # by task: of schedulers that are running
_registered: list[None] = []  # not empty once `leave` is called at the end of the process


def talk_of(task_id: str) -> Talk:
    """The run in which this party speaks about the task; it is joined at the first call.

    Raises:
        ConfigError: nobody has said who this party is.
    """
    if (talk := _borrowed.get(task_id)) is not None:
        return talk
    party = (current() or from_environment(task_id)).party(task_id=task_id)
    key = party.task, party.id
    if key not in _meetings:
        if not _registered:
            atexit.register(leave)
            _registered.append(None)
        _meetings[key] = Meeting(party)
    return _meetings[key].talk


def task_nodes(task_id: str) -> list[str]:
    """All parties of the task, as far as this notebook has said. Raises like `talk_of`."""
    if (talk := _borrowed.get(task_id)) is not None:
        return list(talk.nodes)
    return list((current() or from_environment(task_id)).party(task_id=task_id).nodes)


def leave(party: str | None = None, error: BaseException | None = None) -> None:
    """Leave the runs of this party, or of all that this process plays.

    Goodbye is said in all of them first: the others may leave theirs in another order, and wait for it.
    """
    leaving = [_meetings.pop(key) for key in list(_meetings) if party in (None, key[1])]
    with ExitStack() as closing:
        for meeting in reversed(leaving):
            closing.callback(meeting.close)
        for meeting in leaving:
            meeting.say_goodbye(error)


@contextmanager
def borrowed(task_id: str, talk: Talk) -> Iterator[None]:
    """While a scheduler runs, contractors of its task speak in its run."""
    _borrowed[task_id] = talk
    try:
        yield
    finally:
        _borrowed.pop(task_id, None)
