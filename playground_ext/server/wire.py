"""What travels to the page, as JSON.

Times are seconds since 1970, sizes bytes, paths Jupyter's (relative to its root, with `/`).
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

__all__ = [
    "CHANNELS",
    "Failure",
    "Federation",
    "FederationParty",
    "Latency",
    "LogItem",
    "Message",
    "Party",
    "PartyStatus",
    "Phase",
    "Point",
    "Task",
    "TaskStatus",
    "TaskSummary",
    "Tensor",
    "Traffic",
    "encode",
]

TaskStatus = Literal["waiting", "running", "finished", "failed", "interrupted", "abandoned"]
PartyStatus = Literal["waiting", "running", "finished", "failed", "lost", "missing"]

CHANNELS = ("parties", "logs", "metrics", "messages", "timeline", "traffic")  # of a task


class Failure(msgspec.Struct, frozen=True):
    """Why a party did not come to its end."""

    party: str
    kind: str  # the exception's class
    message: str
    traceback: str  # without colours
    cell: int | None = None  # index in the notebook, from 0
    execution_count: int | None = None  # the [5] beside the cell
    line: int | None = None  # within the cell, from 1
    notebook: str | None = None


class Party(msgspec.Struct, frozen=True):
    """One party of a task now."""

    party: str
    role: str
    state: str  # in its own words
    status: PartyStatus
    round: int | None = None
    rounds: int | None = None
    last_seen: float | None = None
    alive: bool = False
    notebook: str | None = None
    error: Failure | None = None


class TaskSummary(msgspec.Struct, frozen=True):
    """One line of the list of tasks."""

    task: str
    status: TaskStatus
    created: float
    parties: int
    source: Literal["notebooks", "background"]
    title: str | None = None
    algorithm: str | None = None
    round: int | None = None
    rounds: int | None = None
    folder: str | None = None
    size_bytes: int = 0


class Task(msgspec.Struct, frozen=True):
    """All that is known about a task, apart from what it said."""

    task: str
    status: TaskStatus
    created: float
    source: Literal["notebooks", "background"]
    parties: list[Party]
    notebooks: dict[str, str]
    run: str | None = None
    failure: Failure | None = None
    title: str | None = None
    algorithm: str | None = None
    round: int | None = None
    rounds: int | None = None
    folder: str | None = None
    size_bytes: int = 0

    def summary(self) -> TaskSummary:
        return TaskSummary(
            task=self.task,
            status=self.status,
            created=self.created,
            parties=len(self.parties),
            source=self.source,
            title=self.title,
            algorithm=self.algorithm,
            round=self.round,
            rounds=self.rounds,
            folder=self.folder,
            size_bytes=self.size_bytes,
        )


class LogItem(msgspec.Struct, frozen=True, gc=False):
    """One line of one party; `seq` counts the lines of a task."""

    seq: int
    time: float
    party: str
    level: str
    round: int | None
    source: str
    text: str


class Point(msgspec.Struct, frozen=True):
    """One number that a party reported."""

    seq: int
    time: float
    party: str
    round: int | None
    name: str
    value: float | None  # None: not a number, or infinite, which JSON cannot say


class Tensor(msgspec.Struct, frozen=True):
    """What a tensor looks like; never what is in it."""

    name: str
    dtype: str
    shape: list[int]


class Message(msgspec.Struct, frozen=True):
    """One envelope. `time`: when it was first sent, by the sender's clock. `late`: that is unknown, and it was sent
    before anybody watched, so `time` is only when it was seen. `latency`: seconds until it was taken, if already known.
    """

    seq: int
    time: float
    sender: str = msgspec.field(name="from")
    receiver: str = msgspec.field(name="to")
    kind: str
    round: int
    step: str
    size: int
    tensors: list[Tensor] | None = None
    latency: float | None = None
    late: bool = False


class Latency(msgspec.Struct, frozen=True, gc=False):
    """How long a message took that was sent to the page before this was known."""

    seq: int  # of these
    message: int  # the message's
    latency: float  # seconds from being sent to being taken, by both parties' clocks; never negative


class Phase(msgspec.Struct, frozen=True):
    """What a party did with some of a round's time. Of a round that is over: three sums, one after the other within it.
    `late`: `start` is an estimate.
    """

    party: str
    round: int
    phase: Literal["compute", "wait", "transfer"]
    start: float
    seconds: float
    late: bool = False


class Traffic(msgspec.Struct, frozen=True):
    """Bytes of payload of one party in one round; round 0: outside of rounds."""

    party: str
    round: int
    sent: int
    received: int


class FederationParty(msgspec.Struct, frozen=True):
    """One notebook of a federation."""

    party: str
    role: str
    path: str
    kernel: str | None


class Federation(msgspec.Struct, frozen=True):
    """A folder with one notebook per party."""

    task: str
    template: str
    title: str
    folder: str
    parties: list[FederationParty]


_encoder = msgspec.json.Encoder()


def encode(value: Any) -> bytes:
    """JSON; what no UTF-8 can say is written as an escape."""
    try:
        return _encoder.encode(value)
    except UnicodeEncodeError:
        return _encoder.encode(_encodable(msgspec.to_builtins(value)))


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {_encodable(key): _encodable(entry) for key, entry in value.items()}
    return [_encodable(entry) for entry in value] if isinstance(value, list | tuple) else value
