"""The merged log in plain Python: one line per record on stderr."""

from __future__ import annotations

import logging
import re
import shutil
import threading
import time
from typing import TextIO

from playground_ext.logs.record import Batch, LogRecord
from playground_ext.logs.render import clean, columns

__all__ = ["LogConsole", "console_lines"]

PATIENCE = 1.0  # seconds that a fork waits for a terminal that takes no more
STATUS_INTERVAL = 30.0  # seconds after which a status that only counts down is printed again
_COUNTDOWN = re.compile(r"\s*\([^()]*\)\s*$")


def console_lines(record: LogRecord) -> list[str]:
    """`collaborator-1 | round 2 | loss 0.31`, one string for each line of the text."""
    level, text = columns(record)
    parts = [record.party]
    if record.round is not None:
        parts.append(f"round {record.round}")
    if level:
        parts.append(level)
    head = " | ".join(parts)
    return [f"{head} | {line}" for line in text.split("\n")]


class LogConsole:
    """Prints what the terminal does not show already: own prints and warnings, and the traceback to come, are there."""

    def __init__(self, party: str, stream: TextIO | None) -> None:
        self._party = party
        self._stream = None if stream is None or stream.closed else stream
        self._terminal = self._stream is not None and self._stream.isatty()
        self._lock = threading.Lock()
        self._held = False
        self._status: str | None = None
        self._width = 0  # of the status line on the terminal
        self._printed_at = 0.0
        self._stopped = False

    def accept(self, batch: Batch) -> None:
        if self._stopped:
            return
        records = batch.records()
        if batch.party == self._party:
            doubled = bool(logging.getLogger().handlers)  # the user's own handlers print what is logged
            records = [record for record in records if record.source == "log" and not doubled]
        if records:
            self._print([line for record in records for line in console_lines(record)])

    def status(self, text: str | None) -> None:
        before, self._status = self._status, None if text is None else clean(text)
        if self._terminal:
            self._print([])
        elif self._status is not None:
            now = time.monotonic()
            material = before is None or _COUNTDOWN.sub("", before) != _COUNTDOWN.sub("", self._status)
            if material or now - self._printed_at >= STATUS_INTERVAL:
                self._printed_at = now
                self._print([f"{self._party} | {self._status}"])

    def stop(self) -> None:
        self.status(None)
        self._stopped = True

    def hold(self) -> None:
        """Before a fork: nobody may be in the middle of a line, or the child waits for ever for the stream's lock."""
        if self._lock.acquire(timeout=PATIENCE):
            self._held = True

    def let_go(self) -> None:
        """After it, in the parent."""
        if self._held:
            self._held = False
            self._lock.release()

    def forget(self) -> None:
        """In a forked child: the terminal's log is the parent's."""
        self._lock, self._held = threading.Lock(), False
        self._stopped = True

    def _print(self, lines: list[str]) -> None:
        if self._stream is None:
            return
        text = "".join(f"{line}\n" for line in lines)
        with self._lock:
            if self._terminal:
                text = f"\r{' ' * self._width}\r{text}" if self._width else text
                width = shutil.get_terminal_size().columns - 1
                status = (self._status or "")[:width]
                self._width = len(status)
                text += status
            try:
                self._stream.write(text)
                self._stream.flush()
            except UnicodeEncodeError as error:
                self._stream.write(text.encode(error.encoding, "backslashreplace").decode(error.encoding))
            except (OSError, ValueError):  # the terminal is gone, the stream closed
                self._stream = None
