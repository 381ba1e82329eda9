"""What has been read of one task: filled by the thread that follows it, read by any."""

from __future__ import annotations

import math
import secrets
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from playground_ext.bus.envelope import Control
from playground_ext.logs.record import Batch, LogRecord
from playground_ext.runner.progress import MetricPoint
from playground_ext.server.messages import Envelope
from playground_ext.server.numbered import Numbered
from playground_ext.server.state import RunWords
from playground_ext.server.timeline import Ledger, Stopwatch
from playground_ext.server.wire import LogItem, Message, Phase, Point, Task, Traffic, encode

__all__ = ["SEQUENCES", "Story"]

SEQUENCES = ("logs", "metrics", "messages")  # channels of numbered items
FRAME_ITEMS = 2000  # in one frame


class Story:
    """One run of one task. `epoch` names the run and this numbering of its items; another run begins another epoch."""

    def __init__(self, task: str) -> None:
        self.task = task
        self.lock = threading.RLock()
        self.caught_up = threading.Event()  # what was there when the reading began has been read
        self.gone = False  # neither server nor disk know the task
        self.begin(None)

    def begin(self, run: str | None, *, keep: RunWords | None = None) -> None:
        """Forget everything: another run begins."""
        with self.lock:
            for old in getattr(self, "items", {}).values():
                old.close()
            self.epoch = f"{run or 'files'}.{secrets.token_hex(4)}"
            self.words = keep or RunWords()
            self.words.run = run
            self.items = {name: Numbered() for name in SEQUENCES}
            self.state: Task | None = None
            self.versions = {"parties": 0, "timeline": 0, "traffic": 0}
            self._shown: dict[tuple[str, int], int] = {}  # (party, log session): last line
            self._watch = Stopwatch()
            self._ledger = Ledger()
            self._reported: tuple[list[Phase], list[Traffic]] = ([], [])
            self._frames: dict[tuple[str, int], tuple[bytes, int]] = {}

    # -- filling: one thread -----------------------------------------------------------------------------------------

    def batch(self, batch: Batch) -> None:
        """Lines from the log stream, unless they came before: a server without its data gets lines again."""
        with self.lock:
            key = batch.party, batch.session
            if batch.last <= self._shown.get(key, 0) or (self.words.meta and batch.party not in self.words.parties):
                return
            self._shown[key] = batch.last
        self.lines(batch.records())

    def lines(self, records: Iterable[LogRecord]) -> None:
        log = self.items["logs"]
        log.add(
            [
                encode(LogItem(log.last + number, r.time, r.party, r.level, r.round, r.source, r.text))
                for number, r in enumerate(records, start=1)
            ]
        )

    def points(self, points: Iterable[MetricPoint]) -> None:
        log = self.items["metrics"]
        log.add(
            [
                encode(
                    Point(log.last + n, p.time, p.party, p.round, p.name, p.value if math.isfinite(p.value) else None)
                )
                for n, p in enumerate(points, start=1)
            ]
        )

    def envelope(self, envelope: Envelope, *, late: bool) -> None:
        with self.lock:
            if not self._ledger.add(envelope):
                return
            self.versions["traffic"] += 1
        log = self.items["messages"]
        e = envelope
        message = Message(
            seq=log.last + 1,
            time=time.time(),
            sender=e.sender,
            receiver=e.receiver,
            kind=e.kind,
            round=e.round,
            step=e.step,
            size=e.size,
            tensors=e.tensors,
            late=late,
        )
        log.add([encode(message)])

    def control(self, message: Control, *, late: bool) -> None:
        with self.lock:
            now = time.time()
            self.words.control(message, heard=None if late else now)
            if message.kind == "progress":
                round = message.body.get("round")
                state = str(message.body.get("state", ""))
                at = message.body.get("at")  # of the party's clock, if it says so
                at = float(at) if isinstance(at, int | float) else None
                changed = self._watch.say(
                    message.sender,
                    state,
                    round if isinstance(round, int) else None,
                    at or now,
                    late=late and at is None,
                )
            else:
                changed = message.kind in ("end", "fail") and self._watch.stop(message.sender, now)
            self.versions["timeline"] += changed

    def report(self, phases: list[Phase], traffic: list[Traffic]) -> None:
        """Take what the parties' own reports say."""
        with self.lock:
            if (phases, traffic) != self._reported:
                self._reported = (phases, traffic)
                self.versions["timeline"] += 1
                self.versions["traffic"] += 1

    def show(self, task: Task) -> bool:
        """Take the state of the whole task; whether it is another one than before."""
        with self.lock:
            if task == self.state:
                return False
            self.state = task
            self.versions["parties"] += 1
            return True

    # -- reading: any thread -----------------------------------------------------------------------------------------

    @property
    def mark(self) -> tuple[Any, ...]:
        """Another one when there is something new to read."""
        return (self.epoch, *self.versions.values(), *(items.last for items in self.items.values()), self.gone)

    def timeline(self) -> list[Phase]:
        """What was watched, and the reports' rounds where nobody watched."""
        with self.lock:
            watched = self._watch.phases(time.time())
            known = {(phase.party, phase.round) for phase in watched}
            found = watched + [phase for phase in self._reported[0] if (phase.party, phase.round) not in known]
        return sorted(found, key=lambda phase: (phase.party, phase.start))

    def traffic(self) -> list[Traffic]:
        """The reports' numbers; where there are none yet, the envelopes'."""
        with self.lock:
            rows = {(row.party, row.round): row for row in (*self._ledger.rows(), *self._reported[1])}
        return sorted(rows.values(), key=lambda row: (row.round, row.party))

    def frame(self, channel: str, data: Any) -> bytes:
        """A frame that holds a whole list or object."""
        return _frame(channel, self.task, self.epoch, encode(data))

    def batch_frame(self, channel: str, after: int, epoch: str) -> tuple[bytes, int] | None:
        """A frame with the items that follow `after`, and the last one's number; the same bytes for all pages.

        None if there are none, or if another epoch has begun.
        """
        with self.lock:
            items = self.items[channel]
            if items.last <= after or epoch != self.epoch:
                return None
            known = self._frames.get((channel, after))
            if known is not None and (known[1] == items.last or known[1] - after >= FRAME_ITEMS):
                return known
            found, last = items.after(after, FRAME_ITEMS)
            if not found:
                return None
            made = _frame(channel, self.task, self.epoch, b"[" + b",".join(found) + b"]"), last
            if len(self._frames) >= 8:
                self._frames.clear()
            self._frames[channel, after] = made
            return made

    def everything(self, channel: str) -> bytes:
        """All items that are in memory, as a JSON list."""
        with self.lock:
            found, _ = self.items[channel].after(0, 1 << 60)
        return b"[" + b",".join(found) + b"]"

    def close(self) -> None:
        with self.lock:
            for items in self.items.values():
                items.close()


def _frame(channel: str, task: str, run: str, data: bytes) -> bytes:
    head: Mapping[str, str] = {"channel": channel, "task": task, "run": run}
    return msgspec.json.encode(head)[:-1] + b',"data":' + data + b"}"
