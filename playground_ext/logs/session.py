"""One party's part in the merged log, from the start of its task to the end."""

from __future__ import annotations

import atexit
import logging
import os
import time
import weakref
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from playground_ext.bus.keys import RunKeys
from playground_ext.errors import ConfigError
from playground_ext.logs.capture import Capture
from playground_ext.logs.console import LogConsole
from playground_ext.logs.merged import MergedLog
from playground_ext.logs.pane import LogPane, kernel_shell
from playground_ext.logs.stream import LogReader
from playground_ext.logs.writer import LogWriter

__all__ = ["LogSession"]

CELL_CATCH_UP = 0.25  # seconds that the end of a cell waits for lines that are on their way
STOP_CATCH_UP = 2.0  # seconds that `stop` waits for them
ANSWER = 3.0  # seconds that the writer's thread may take to answer

_live: weakref.WeakSet[LogSession] = weakref.WeakSet()
_on_hold: list[LogConsole] = []  # while this process forks
_fork_handler: list[None] = []  # not empty once the handler is registered


class LogSession:
    """Captures and publishes what this party says, and shows what all say: in a pane of the notebook, else on stderr.

    Nothing here raises because of the server or the disk: what goes wrong there is said in the log itself.

    Raises:
        ConfigError: a level that does not exist.
    """

    def __init__(self, party: str, file: Path, *, level: str = "INFO") -> None:
        if level not in logging.getLevelNamesMapping():
            raise ConfigError(
                f"{level!r} is not a log level",
                party=party,
                next_step="set PLAYGROUND_LOG_LEVEL to DEBUG, INFO, WARNING or ERROR",
            )
        self.party = party
        self.file = file
        self._level = level
        self._running = False
        self._round: int | None = None
        self._last = 0  # number of the last line, once drained or stopped
        self._reader: LogReader | None = None
        self._view: LogPane | LogConsole

    def start(self) -> None:
        """Begin to capture; own lines are shown, and kept until `publish`."""
        if self._running:
            return
        self._running = True
        self._capture = Capture(level=self._level)
        self._capture.round = self._round
        shell = kernel_shell()
        self._view = (
            LogPane(shell, self._catch_up_cell) if shell is not None else LogConsole(self.party, self._capture.stderr())
        )
        if isinstance(self._view, LogPane):
            self._view.parties = (self.party,)
        self._merged = MergedLog(self._view)
        self._writer = LogWriter(self.party, self.file, self._merged)
        self._writer.start()
        self._capture.start(self._writer.put)
        _live.add(self)
        atexit.register(self.stop)
        if not _fork_handler:
            os.register_at_fork(before=_hold_all, after_in_parent=_let_go_all, after_in_child=_forget_all)
            _fork_handler.append(None)

    def publish(self, url: str, keys: RunKeys, nodes: Sequence[str]) -> None:
        """Ship what was kept and what comes, and show everybody's lines; again for another run of the task."""
        if not self._running:
            return
        self._unread()
        if isinstance(self._view, LogPane):
            self._view.parties, self._view.task = tuple(nodes), keys.task
        self._writer.publish(url, keys.log)
        self._reader = LogReader(url, keys.log, nodes, self._merged, name=self.party)

    @property
    def round(self) -> int | None:
        """Stamped on every line from now on."""
        return self._round

    @round.setter
    def round(self, value: int | None) -> None:
        self._round = value
        if self._running:
            self._capture.round = value

    def status(self, text: str | None) -> None:
        """Show one live line below the log, replaced in place; None removes it. It is neither published nor kept."""
        if self._running:
            self._view.status(text)

    def error(self, text: str) -> str | None:
        """Publish an error before returning; its id in the stream (the server's order), None if it was not shipped."""
        if not self._running:
            return None
        self._capture.finish_lines()
        return self._writer.error((time.time(), "ERROR", self._round, "error", text), ANSWER)

    def drain(self, timeout: float = 2.0) -> int:
        """Wait until all said so far is in the file and on the server; return the number of this party's last line."""
        if self._running:
            self._capture.finish_lines()
            self._writer.flush(timeout)
            self._last = self._writer.seq
        return self._last

    def wait_for(self, last: Mapping[str, int], timeout: float = 10.0) -> list[str]:
        """Wait until these parties' lines are shown up to these numbers (from `drain`); return the parties missing."""
        return self._merged.wait_for(last, timeout) if self._running else []

    def stop(self) -> None:
        """Show everything that was said until now, and give the streams, the logger and the notebook back."""
        if not self._running:
            return
        self._running = False
        atexit.unregister(self.stop)
        _live.discard(self)
        with ExitStack() as last:  # each of these happens, even if Ctrl-C ends the one before
            last.callback(self._view.stop)
            last.callback(self._writer.stop, ANSWER)
            last.callback(self._unread)
            self._capture.stop()
            if self._reader is not None:
                self._catch_up(STOP_CATCH_UP)
        self._last = self._writer.seq

    def _unread(self) -> None:
        """End the reader, which a mark of ours wakes; without a server it waits for nobody."""
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.stopping()
            self._writer.mark(ANSWER)
            reader.join(ANSWER)

    def _catch_up(self, timeout: float) -> None:
        """Bring in what all parties have shipped until now: put a mark into the stream, and wait until it is read."""
        deadline = time.monotonic() + timeout
        mark = self._writer.mark(timeout)
        if mark is not None:
            self._merged.wait_reached(mark, deadline - time.monotonic())

    def _catch_up_cell(self) -> None:
        self._capture.finish_lines()
        if self._reader is not None:
            self._catch_up(CELL_CATCH_UP)
        else:
            self._writer.flush(CELL_CATCH_UP)

    def _forget(self) -> None:
        """In a forked child: threads, connections and queue are the parent's; the original streams work as before."""
        self._running = False
        self._reader = None
        self._writer.forget()
        self._capture.forget()
        self._view.forget()
        atexit.unregister(self.stop)


def _hold_all() -> None:
    for session in list(_live):
        if isinstance(session._view, LogConsole):
            _on_hold.append(session._view)  # to be let go also if its session stops meanwhile
            session._view.hold()


def _let_go_all() -> None:
    while _on_hold:
        _on_hold.pop().let_go()


def _forget_all() -> None:
    for session in list(_live):
        session._forget()
    _live.clear()
    _on_hold.clear()
