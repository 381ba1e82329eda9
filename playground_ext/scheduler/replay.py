"""One round of one party again, from its recorded messages alone: no server, nobody else alive.

The scheduler runs as always; its session reads what the party received from the recording, and compares what the party
sends with what it sent then.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

import torch

from playground_ext.bus.envelope import Buffer, Envelope, checksum, total_bytes
from playground_ext.bus.keys import TaskKeys
from playground_ext.bus.tensors import decode
from playground_ext.errors import ConfigError, PlaygroundError
from playground_ext.party.checkpoint import Checkpoints
from playground_ext.party.identity import Party
from playground_ext.party.policy import FailurePolicy
from playground_ext.party.recording import Message, read_round, recorded_rounds
from playground_ext.party.run_record import RunRecord
from playground_ext.party.storage import RunFolder
from playground_ext.scheduler.metrics import Metrics
from playground_ext.scheduler.session import Session

__all__ = ["Comparison", "ReplayResult", "ReplaySession", "RoundReplayed", "is_of"]

logger = logging.getLogger("playground")

_LARGE = frozenset({"results", "checkpoints", "outbox", "recordings"})  # of a run folder; the rest is notes


def is_of(recording: str, party: Party) -> bool:
    """Whether PLAYGROUND_REPLAY names a run of this party in this task: a notebook may take part in several."""
    folder = Path(recording.rpartition(":")[0]).parent
    return (folder.parent.name, folder.name) == (party.task, party.id)


class RoundReplayed(PlaygroundError):
    """The recorded round is over. Never reaches the user."""


@dataclass(frozen=True)
class Comparison:
    """One message, as this party sent it then and as it computed it now."""

    kind: str
    step: str
    size: int  # bytes, then
    equal: bool  # bit for bit
    difference: float | None  # largest absolute difference of a tensor's element; None if that makes no sense

    def __str__(self) -> str:
        name = f"{self.kind} {self.step}".strip()
        if self.equal:
            return f"{name}: equal, bit for bit ({self.size:,} bytes)"
        by = "its bytes differ" if self.difference is None else f"the largest difference is {self.difference:.3g}"
        return f"{name}: NOT equal, {by} ({self.size:,} bytes)"


@dataclass
class ReplayResult:
    """What a replayed round computed, beside what it was then. `metrics` are those of the replay."""

    task_id: str
    party: str
    round: int
    comparisons: list[Comparison] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)  # messages that the party sent in the round then, and not now
    added: list[str] = field(default_factory=list)  # the other way round
    metrics: dict[str, float] = field(default_factory=dict)
    latest: ClassVar[ReplayResult | None] = None  # of this process

    @property
    def equal(self) -> bool:
        """What was sent then was computed again, bit for bit; also if nothing was, because the party rested."""
        return not (self.left_out or self.added) and all(comparison.equal for comparison in self.comparisons)

    def __repr__(self) -> str:
        verdict = "equal" if self.equal else "NOT equal"
        if not (self.comparisons or self.left_out or self.added):
            verdict += ", nothing was sent in it"
        lines = [f"{self.party}, round {self.round} of {self.task_id}, run again: {verdict}"]
        different: list[object] = [f"{name}: sent then, NOT now" for name in self.left_out]
        different += [f"{name}: sent now, NOT then" for name in self.added]
        different += [comparison for comparison in self.comparisons if not comparison.equal]
        shown = different or self.comparisons
        lines += [f"  {line}" for line in shown[:20]]
        if len(shown) > 20:
            lines.append(f"  … and {len(shown) - 20} more")
        return "\n".join(lines)


class ReplaySession(Session):
    """Stands in for `Session` while a round is run again.

    `recorded` is the run's folder, and only read. `folder` is a temporary one with what the party had decided in the
    round it was in: whatever is written in a replay goes there.
    """

    replays = True

    def __init__(self, party: Party, *, role: str, where: str) -> None:
        root, _, number = where.rpartition(":")
        self.recorded = RunFolder(Path(root))
        record = RunRecord.load(self.recorded.root)
        if record is None or not number.isdecimal():
            raise ConfigError(
                f"PLAYGROUND_REPLAY={where!r} is not <a party's run folder>:<round>",
                next_step="let `playground replay TASK --party P --round R` make the notebook",
            )
        self.round = int(number)
        self.meta = dict(record.meta)
        self.check_ins = record.check_ins or {}
        self.party = Party(party.id, party.task, tuple(self.meta["nodes"]), leader=self.meta["initiator"])
        self.role = role
        self.check_in_timeout = float(self.meta.get("check_in_timeout", 0.0))
        self.keys = TaskKeys(party.task).of(record.run)
        self.policy = FailurePolicy.of(self.meta)
        self.checkpoints = Checkpoints(self.recorded.checkpoints)
        self.result = ReplayResult(party.task, party.id, self.round)
        self.run_ended = False
        self.restored = None
        self._cleanup = contextlib.ExitStack()

    def __enter__(self) -> Self:
        messages = read_round(self.recorded.recordings, self.round)
        starts = self.checkpoints.rounds()
        if not messages or self.round - 1 not in starts:
            last = max(starts, default=0) + (0 if self.recorded.report.exists() else 1)  # one may have been cut short
            recorded = recorded_rounds(self.recorded.recordings)
            kept = [number for number in recorded if number - 1 in starts and 0 < number <= last]
            raise ConfigError(
                f"round {self.round} of {self.party.id} was not kept; {_listed(kept)}",
                party=self.party.id,
                task=self.party.task,
                next_step="choose one of these, or run the task with keep_rounds='all' (PLAYGROUND_KEEP_ROUNDS=all)",
            )
        after = read_round(self.recorded.recordings, self.round + 1)
        scratch = Path(self._cleanup.enter_context(tempfile.TemporaryDirectory(prefix="playground-replay-")))
        self.folder = RunFolder(scratch)
        shutil.copytree(
            self.recorded.root, scratch, dirs_exist_ok=True, ignore=lambda folder, names: _LARGE.intersection(names)
        )
        self.metrics = Metrics(self.party.id, self.folder.results, lambda points: None)
        self._cleanup.callback(self.metrics.close)
        self.restored = self.checkpoints.load(self.round - 1)
        self.mailbox = _RecordedMailbox(messages, after, self.round, self.result)  # type: ignore[assignment]
        self.watch = _NobodyElse(self.party.peers, self.policy)  # type: ignore[assignment]
        logger.info("running round %d of %s again, from %d recorded messages", self.round, self.party.id, len(messages))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        ReplayResult.latest = self.result
        self._cleanup.close()

    def check_in(self, body: Mapping[str, Any], validate: Callable[[Mapping[str, Mapping[str, Any]]], None]) -> None:
        if self.party.is_initiator:
            validate({**self.check_ins, self.party.id: body})

    def say(self, state: str, round: int | None = None) -> None:
        self.watch.say(state, round=round)

    @contextmanager
    def user_code(self, state: str, round: int | None = None) -> Iterator[None]:
        yield

    def checkpoint(
        self, round: int, state: Mapping[str, Any], *, before_the_end: bool = False
    ) -> list[tuple[str, str, int]]:
        """Nothing is written: the recorded run stays as it was."""
        return []

    def go_back(self, state: Mapping[str, Any]) -> None:
        """There is nothing to send again."""

    def wait_for_everybody(self) -> None:
        """There is nobody."""

    @property
    def attempt(self) -> int:
        """The attempt that was recorded."""
        return self.mailbox.attempt  # type: ignore[attr-defined, no-any-return]


class _RecordedMailbox:
    """A mailbox whose other end is a recording."""

    def __init__(self, messages: Sequence[Message], after: Sequence[Message], round: int, result: ReplayResult) -> None:
        self._inbox = [message for message in messages if not message.head.sent]
        self._sent = [message for message in (*messages, *after) if message.head.sent]
        self._round, self._result = round, result
        result.left_out = [_label(*_name(message)) for message in messages if message.head.sent]
        self.attempt = max((message.head.attempt for message in messages), default=0)
        self.waited = self.transferred = 0.0
        self.sent_bytes: dict[str, int] = {}
        self.received_bytes: dict[str, int] = {}

    def send(
        self,
        receiver: str | Sequence[str],
        kind: str,
        payload: Buffer | Sequence[Buffer] = b"",
        *,
        round: int = 0,
        attempt: int = 0,
        step: str = "",
        meta: Mapping[str, Any] | None = None,
        timeout: float = 0.0,
    ) -> int:
        pieces: Sequence[Buffer] = [payload] if isinstance(payload, bytes | bytearray | memoryview) else payload
        to = (receiver,) if isinstance(receiver, str) else tuple(receiver)
        then = next((m for m in self._sent if (m.head.peers, *_name(m)) == (to, kind, round, step)), None)
        label = _label(kind, round, step)
        if then is None:
            self._result.added += [label] if round <= self._round else []  # what begins the next round may not be kept
        else:
            self._result.comparisons.append(_compare(then, b"".join(pieces)))
            if label in self._result.left_out:
                self._result.left_out.remove(label)
        if round > self._round:
            raise RoundReplayed(f"round {self._round} is over")
        return total_bytes(pieces)

    def receive(self, sender: str, kind: str, *, round: int | None = None, **options: Any) -> Envelope:
        return self.gather([sender], kind, round=round, **options)[sender]

    def gather(
        self,
        senders: Sequence[str],
        kind: str,
        *,
        round: int | None = None,
        step: str | None = None,
        quorum: int | None = None,
        **_: Any,
    ) -> dict[str, Envelope]:
        if round is not None and round > self._round:
            raise RoundReplayed(f"round {self._round} is over")
        found = {}
        for sender in senders:
            fitting = (
                message
                for message in self._inbox
                if (message.head.peers, message.head.kind) == ((sender,), kind) and step in (None, message.head.step)
            )
            message = next(fitting, None)
            if message is not None:
                self._inbox.remove(message)
                found[sender] = _envelope(message)
        if len(found) < (len(senders) if quorum is None else quorum):
            raise RoundReplayed(f"the recording of round {self._round} ends here")
        return found

    def withdraw(self, kind: str, before_round: int) -> None:
        """Nobody holds anything."""

    def abandon(self, attempt: int) -> None:
        """There are no older attempts."""

    def keep_alive(self) -> None:
        """There is no server."""


class _NobodyElse:
    """A watch that sees nobody."""

    def __init__(self, peers: Collection[str], policy: FailurePolicy) -> None:
        self.statuses: dict[str, Any] = {}
        self.policy = policy
        self.progress_round: int | None = None

    def say(self, state: str, *, round: int | None = None, **_: Any) -> None:
        self.progress_round = round

    def post(self, kind: str, body: Mapping[str, Any]) -> None:
        """Nobody listens."""

    def together(self, incarnations: Mapping[str, int] | None) -> None:
        """Nobody can be lost."""

    def is_lost(self, party: str) -> bool:
        return False


def _name(message: Message) -> tuple[str, int, str]:
    return message.head.kind, message.head.round, message.head.step


def _label(kind: str, round: int, step: str) -> str:
    return f"{kind} {step}".strip() + f" of round {round}"


def _envelope(message: Message) -> Envelope:
    head = message.head
    return Envelope(
        task="",
        run="",
        sender=head.peers[0],
        receiver="",
        incarnation=1,
        seq=0,
        kind=head.kind,
        round=head.round,
        attempt=head.attempt,
        step=head.step,
        meta=head.meta,
        payload=bytearray(message.payload),
    )


def _compare(then: Message, now: bytes) -> Comparison:
    head = then.head
    difference = None
    equal = checksum([now]) == head.xxh3
    if not equal and head.size:
        with contextlib.suppress(PlaygroundError):
            difference = _largest_difference(decode(bytearray(then.payload)), decode(bytearray(now)))
    return Comparison(head.kind, head.step, head.size, equal, difference)


def _largest_difference(then: Mapping[str, torch.Tensor], now: Mapping[str, torch.Tensor]) -> float | None:
    if {name: tensor.shape for name, tensor in then.items()} != {name: tensor.shape for name, tensor in now.items()}:
        return None
    differences = [(then[name].double() - now[name].double()).abs().max() for name in then if then[name].numel()]
    return float(max(differences, default=torch.zeros(())))


def _listed(rounds: Sequence[int]) -> str:
    return f"these are: {', '.join(map(str, rounds))}" if rounds else "none is"
