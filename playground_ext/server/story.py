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
from playground_ext.server.latencies import Journeys
from playground_ext.server.messages import Envelope
from playground_ext.server.numbered import Numbered
from playground_ext.server.rounds import PartyReport, round_end
from playground_ext.server.state import RunWords
from playground_ext.server.timeline import Stopwatch
from playground_ext.server.traffic import Ledger
from playground_ext.server.wire import Latency, LogItem, Message, Phase, Point, Task, Traffic, encode

__all__ = ["SEQUENCES", "Story"]

SEQUENCES = ("logs", "metrics", "messages", "latencies")  # channels of numbered items
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
            self._journeys = Journeys()
            self._reports: dict[str, PartyReport] = {}
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
        log = self.items["messages"]
        with self.lock:
            fresh, latency = self._journeys.send(envelope, log.last + 1)
            if not fresh:
                return
            self._ledger.add(envelope)
            self.versions["traffic"] += 1
        e = envelope
        message = Message(
            seq=log.last + 1,
            time=time.time() if e.at is None else e.at,
            sender=e.sender,
            receiver=e.receiver,
            kind=e.kind,
            round=e.round,
            step=e.step,
            size=e.size,
            tensors=e.tensors,
            latency=latency,
            late=late and e.at is None,
        )
        log.add([encode(message)])

    def control(self, message: Control, *, late: bool) -> None:
        now, party = time.time(), message.sender
        at = message.body.get("at")  # of the party's clock, if it says so
        when = float(at) if isinstance(at, int | float) else None
        with self.lock:
            self.words.control(message, heard=None if late else now)
            match message.kind:
                case "progress":
                    self._take(party, message.body.get("taken"))
                    round, state = message.body.get("round"), str(message.body.get("state", ""))
                    round = round if isinstance(round, int) else None
                    changed = self._watch.say(party, state, round, when or now, late=late and when is None)
                case "round":
                    end = round_end(message.body)
                    if end is not None:
                        self._watch.round_over(party, end, when or now)
                        self.versions["traffic"] += 1
                    changed = end is not None
                case "end" | "fail":
                    changed = self._watch.stop(party, None if late and when is None else when or now)
                    self.versions["traffic"] += 1
                case _:
                    changed = False
            self.versions["timeline"] += changed

    def _take(self, receiver: str, said: object) -> None:
        """A receiver says which messages it has taken."""
        log = self.items["latencies"]
        took = [(message, seconds) for message, seconds in self._journeys.take(receiver, said)]
        log.add([encode(Latency(log.last + n, *one)) for n, one in enumerate(took, start=1)])

    def report(self, reports: dict[str, PartyReport]) -> None:
        """Take what the parties wrote at their end."""
        with self.lock:
            if reports != self._reports:
                self._reports = reports
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
        """Rounds that are over as their parties measured them, and what is watched of those that go on."""
        with self.lock:
            return self._watch.phases(time.time(), self._reports, self.words.rounds)

    def traffic(self) -> list[Traffic]:
        """Every byte once, by round and party."""
        with self.lock:
            ended = [party for party, words in self.words.parties.items() if words.ended is not None]
            return self._ledger.rows(self._watch.told, self._reports, ended)

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
        """All items that are in memory, as a JSON list; messages with what became known later."""
        with self.lock:
            found, _ = self.items[channel].after(0, 1 << 60)
            later, _ = self.items["latencies"].after(0, 1 << 60) if channel == "messages" else ([], 0)
        first = self.items[channel].last - len(found) + 1
        for latency in map(_latency.decode, later):
            index = latency.message - first
            if 0 <= index < len(found):
                known = b'"latency":%s' % encode(latency.latency)
                found[index] = found[index].replace(b'"latency":null', known)  # within texts, quotes are escaped
        return b"[" + b",".join(found) + b"]"

    def close(self) -> None:
        with self.lock:
            for items in self.items.values():
                items.close()


_latency = msgspec.json.Decoder(Latency)


def _frame(channel: str, task: str, run: str, data: bytes) -> bytes:
    head: Mapping[str, str] = {"channel": channel, "task": task, "run": run}
    return msgspec.json.encode(head)[:-1] + b',"data":' + data + b"}"
