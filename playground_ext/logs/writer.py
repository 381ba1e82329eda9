"""A party's own lines: numbered, encoded once, appended to its `logs.jsonl`, and handed to the stream."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Literal

import msgspec

from playground_ext.logs.merged import MergedLog
from playground_ext.logs.record import ERRORS, MAX_BATCH_LINES, MAX_TEXT, Batch, Entry, LogRecord, encode_batch
from playground_ext.logs.stream import KEPT_BYTES, Shipper

__all__ = ["LogWriter"]

BATCH_INTERVAL = 0.05  # seconds that lines are collected before they leave
BATCH_TEXT = 256 << 10  # characters after which a batch is closed
TAKEN_LINES = 20_000  # lines taken from the queue before they are written
PATIENCE = 1.0  # seconds without the server before its absence is mentioned


@dataclass(frozen=True)
class _Command:
    """Something to do after all lines that were said before it; answered with the id of the last entry shipped."""

    kind: Literal["flush", "mark", "error", "publish", "stop"]
    entry: Entry | None = None
    target: tuple[str, str] | None = None  # URL, key of the stream
    done: Future[str | None] = field(default_factory=Future)


class LogWriter:
    """Everything this party says, from any thread, to its file and to the stream, in a thread of its own.

    Without a server its lines go straight to the merged log of this party; otherwise they come back through the stream.
    """

    def __init__(self, party: str, file: Path, merged: MergedLog) -> None:
        self.party = party
        self.session = time.time_ns()
        self.seq = 0  # of the last line
        self._merged = merged
        self._file = _File(file)
        self._shipper = Shipper(party)
        self._queue: SimpleQueue[Entry | _Command] = SimpleQueue()  # reentrant: signal handlers and __del__ may log
        self.put = self._queue.put
        self._hurry = threading.Event()
        self._thread: threading.Thread | None = None
        self._shown = 0  # seq up to which lines were shown without the stream
        self._absent = False  # the server, for so long that it was mentioned

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name=f"playground-log-writer {self.party}", daemon=True)
        self._thread.start()

    def publish(self, url: str, key: str) -> None:
        """Ship to this stream, at once what was said until now."""
        self._ask(_Command("publish", target=(url, key)), 0.0)

    def flush(self, timeout: float) -> None:
        """Wait until every line said so far is in the file, and shipped if the server answers."""
        self._ask(_Command("flush"), timeout)

    def mark(self, timeout: float) -> str | None:
        """Flush, then add an entry without lines; return its stream id, None if the server does not answer."""
        return self._ask(_Command("mark"), timeout)

    def error(self, entry: Entry, timeout: float) -> str | None:
        """Ship this line after all others; return its stream id, None if the server does not answer."""
        return self._ask(_Command("error", entry=entry), timeout)

    def stop(self, timeout: float) -> None:
        """Flush, hand the merged log what the stream has not brought back, and end the thread."""
        self._ask(_Command("stop"), timeout)
        if self._thread is not None:
            self._thread.join(timeout)
            self._thread = None

    def forget(self) -> None:
        """In a forked child: the thread is not here, and connection, file and lines are the parent's."""
        self._thread = None
        self._queue = SimpleQueue()
        self._file.forget()

    def _ask(self, command: _Command, timeout: float) -> str | None:
        if self._thread is None:
            return None
        self._queue.put(command)
        self._hurry.set()
        if timeout <= 0:
            return None
        try:
            return command.done.result(timeout)
        except TimeoutError:
            return None

    # The writer's thread ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        command: _Command | None = None
        while command is None or command.kind != "stop":
            entries, command = self._collect()
            self._add(entries)
            entry_id = self._shipper.ship() if command is None else self._obey(command)
            stopping = command is not None and command.kind == "stop"
            self._mention_absence(patience=0.0 if stopping else PATIENCE)
            self._show(everything=stopping)
            if stopping:
                self._shipper.close()
                self._file.close()
            if command is not None:
                command.done.set_result(entry_id)

    def _collect(self) -> tuple[list[Entry], _Command | None]:
        """The lines of the next `BATCH_INTERVAL`, or up to a command."""
        entries: list[Entry] = []
        try:
            item = self._queue.get(timeout=self._shipper.retry_in or 60.0)
            if isinstance(item, tuple):
                self._hurry.wait(BATCH_INTERVAL)
            self._hurry.clear()
            while isinstance(item, tuple):
                entries.append(item)
                if len(entries) >= TAKEN_LINES:
                    return entries, None
                item = self._queue.get_nowait()
        except Empty:
            return entries, None
        if not self._queue.empty():
            self._hurry.set()
        return entries, item

    def _obey(self, command: _Command) -> str | None:
        if command.target is not None:
            self._shipper.target(*command.target)
        if command.entry is not None:
            self._add([command.entry])
        mark: dict[Any, Any] = {"p": self.party, "s": self.session, "l": self.seq}
        return self._shipper.ship(mark=mark if command.kind == "mark" else None, now=command.kind != "flush")

    def _add(self, entries: Sequence[Entry]) -> None:
        """Number the lines, write them, and let them wait as batches."""
        start = 0
        while start < len(entries):
            size, longest, errors, records = 0, 0, 0, []
            for moment, level, round_, source, text in islice(entries, start, start + MAX_BATCH_LINES):
                self.seq += 1
                records.append(LogRecord(moment, self.party, level, round_, self.seq, source, text))
                length = len(text)
                size += length
                if length > longest:
                    longest = length
                if level in ERRORS:
                    errors += 1
                if size > BATCH_TEXT:
                    break
            start += len(records)
            data = encode_batch(records)
            self._file.append(data)
            if longest > MAX_TEXT:
                data = encode_batch([_shortened(record) for record in records])
            for gone in self._shipper.add(Batch(self.party, self.session, records[0].seq, self.seq, errors, data)):
                self._merged.accept(gone)
        if self._file.problem is not None:
            problem, self._file.problem = self._file.problem, None
            self._say("ERROR", f"cannot write this party's log {self._file.path}: {problem}")

    def _show(self, *, everything: bool = False) -> None:
        if everything or not self._shipper.published or self._absent:
            for batch in self._shipper.after(self._shown):
                self._merged.accept(batch)
            self._shown = self.seq

    def _mention_absence(self, patience: float) -> None:
        since = self._shipper.away_since
        if since is None:
            if self._absent:
                self._absent = False
                self._say("INFO", "the server takes log lines again")
                self._shipper.ship()
        elif not self._absent and time.monotonic() - since >= patience:
            self._absent = True
            self._say(
                "WARNING",
                f"the server does not take log lines now ({self._shipper.problem}); they are in {self._file.path}, "
                "and the other parties see them when it does",
            )

    def _say(self, level: str, text: str) -> None:
        self._add([(time.time(), level, None, "log", text)])


class _File:
    """The party's complete log. Lines that could not be written (disk full) are tried again with the next ones."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problem: OSError | None = None  # the first one, until somebody takes it
        self._failed = False
        self._descriptor: int | None = None
        self._waiting = bytearray()

    def append(self, data: bytes) -> None:
        self._waiting += data
        try:
            if self._descriptor is None:
                self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                self._descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            while self._waiting:
                del self._waiting[: os.write(self._descriptor, self._waiting)]
        except OSError as error:
            if not self._failed:
                self._failed, self.problem = True, error
            if len(self._waiting) > KEPT_BYTES:  # the first line stays, it may be half written
                first = self._waiting.find(b"\n")
                cut = self._waiting.find(b"\n", len(self._waiting) - KEPT_BYTES)
                del self._waiting[first:cut]

    def forget(self) -> None:
        self._waiting.clear()
        self.close()

    def close(self) -> None:
        if self._waiting:
            self.append(b"")
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _shortened(record: LogRecord) -> LogRecord:
    if (more := len(record.text) - MAX_TEXT) <= 0:
        return record
    return msgspec.structs.replace(
        record, text=f"{record.text[:MAX_TEXT]} … ({more} more characters in the party's file)"
    )
