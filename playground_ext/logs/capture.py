"""What this party says: the `logger`, `print` to stdout and stderr, warnings.

Capturing must cost next to nothing, because it happens inside the training loop: a line becomes a tuple and is put in
a queue. Nothing is lost for who reads the original streams: they get everything unchanged.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
import time
import warnings
from collections.abc import Callable
from types import FrameType
from typing import Any, TextIO, cast

from playground_ext.logs.record import Entry

__all__ = ["Capture", "logger"]

logger = logging.getLogger("playground")

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])")
_LONGEST = 1 << 20  # characters of an unfinished line after which it counts as finished
_EMIT = logging.StreamHandler.emit.__code__
_plain = logging.Formatter()


class Capture:
    """Takes over logger, streams and warnings between `start` and `stop`, and puts every line into a queue."""

    def __init__(self, *, level: str = "INFO") -> None:
        self.round: int | None = None
        self._put: Callable[[Entry], None] = _drop
        self._level = level
        self._handler = _Handler(self)
        self._streams: dict[str, _Tee] = {}
        self._logger_level: int | None = None
        self._showwarning: Any = None
        self._original_showwarning: Any = None
        self.muted = threading.local()  # `on` is set in a thread whose writes are already recorded otherwise

    def start(self, put: Callable[[Entry], None]) -> None:
        self._put = put
        for name in ("stdout", "stderr"):
            original = _unwrapped(getattr(sys, name))
            if original is not None:  # None under pythonw and some services
                self._streams[name] = tee = _Tee(original, self)
                setattr(sys, name, cast(TextIO, tee))
        self._original_showwarning = warnings.showwarning
        self._showwarning = self._warn
        warnings.showwarning = self._showwarning
        if logger.level == logging.NOTSET:
            self._logger_level = logging.NOTSET
            logger.setLevel(self._level)
        logger.addHandler(self._handler)

    def stop(self) -> None:
        """Give everything back, unless somebody else has replaced it meanwhile; unfinished lines count as finished."""
        logger.removeHandler(self._handler)
        if self._logger_level is not None:
            logger.setLevel(self._logger_level)
            self._logger_level = None
        if self._showwarning is not None and warnings.showwarning is self._showwarning:
            warnings.showwarning = self._original_showwarning
        self._showwarning = None
        for name, tee in self._streams.items():
            tee.finish()
            if getattr(sys, name) is tee:
                setattr(sys, name, _unwrapped(tee.original))
        self._streams.clear()

    def finish_lines(self) -> None:
        """Record what was printed without a line end so far: a cell is over."""
        for tee in self._streams.values():
            tee.finish(keep=True)

    def forget(self) -> None:
        """In a forked child: record nothing any more."""
        self._put = _drop
        self.stop()

    def stderr(self) -> TextIO | None:
        """The stream that people see, below the capture."""
        tee = self._streams.get("stderr")
        stream: TextIO | None = _unwrapped(tee.original if tee is not None else sys.stderr)
        return stream

    def line(self, level: str, source: str, text: str) -> None:
        self._put((time.time(), level, self.round, source, text))

    def _warn(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if file is None:
            self.line("WARNING", "warning", f"{category.__name__}: {message} ({filename}:{lineno})")
        before = getattr(self.muted, "on", False)
        self.muted.on = True
        try:
            self._original_showwarning(message, category, filename, lineno, file, line)
        finally:
            self.muted.on = before


def _drop(entry: Entry) -> None:
    pass


class _Handler(logging.Handler):
    """No lock and no formatter: the queue is thread-safe, and the text is all that travels."""

    def __init__(self, capture: Capture) -> None:
        super().__init__()
        self._capture = capture

    def handle(self, record: logging.LogRecord) -> bool:
        if self.filters and not self.filter(record):
            return False
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        capture = self._capture
        try:
            text = record.getMessage()
            if record.exc_info or record.stack_info:
                text = _with_traceback(record, text)
            capture._put((record.created, record.levelname, capture.round, "log", text))
        except Exception:
            self.handleError(record)


def _with_traceback(record: logging.LogRecord, text: str) -> str:
    parts = [text]
    if record.exc_info and record.exc_info[0] is not None:
        parts.append(_plain.formatException(record.exc_info))
    if record.stack_info:
        parts.append(record.stack_info)
    return "\n".join(parts)


class _Tee:
    """A text stream that passes everything on and records finished lines, those of each thread apart."""

    def __init__(self, original: TextIO, capture: Capture) -> None:
        self.original = original
        self._capture: Capture | None = capture
        self._unfinished: dict[int, str] = {}  # by thread

    @property
    def is_finished(self) -> bool:
        return self._capture is None

    def write(self, text: str) -> int:
        written = self.original.write(text)
        capture = self._capture
        if capture is not None and text and not getattr(capture.muted, "on", False) and not _logged(sys._getframe(1)):
            self._record(capture, text)
        return written

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        self.original.flush()

    def finish(self, *, keep: bool = False) -> None:
        capture = self._capture
        if not keep:
            self._capture = None
        while capture is not None and self._unfinished:
            try:
                _, text = self._unfinished.popitem()
            except KeyError:
                break
            if shown := _last_state(text):
                capture.line("INFO", "print", shown)

    def _record(self, capture: Capture, text: str) -> None:
        thread = threading.get_ident()
        before = self._unfinished.pop(thread, "")
        if before:
            text = before + text
        if "\n" in text:
            *lines, text = text.split("\n")
            for line in lines:
                if shown := _last_state(line):
                    capture.line("INFO", "print", shown)
        if "\r" in text:  # a progress bar: only its last state counts
            head, _, tail = text.rpartition("\r")
            text = "\r" + tail if tail else "\r" + _last_state(head) + "\r"
        if len(text) > _LONGEST:
            capture.line("INFO", "print", _last_state(text))
            text = ""
        if text:
            self._unfinished[thread] = text

    def __getattr__(self, name: str) -> Any:
        return getattr(self.original, name)

    def __iter__(self) -> Any:
        return iter(self.original)


def _logged(caller: FrameType) -> bool:
    """A handler that the user made meanwhile (`logging.basicConfig`) prints what our own handler has recorded."""
    return caller.f_code is _EMIT and str(caller.f_locals["record"].name).split(".")[0] == logger.name


def _unwrapped(stream: Any) -> Any:
    """Without captures that are over, which somebody held on to."""
    while isinstance(stream, _Tee) and stream.is_finished:
        stream = stream.original
    return stream


def _last_state(line: str) -> str:
    """What a terminal would show of a line that a progress bar has overwritten again and again."""
    if "\r" in line:
        states = [state for state in line.split("\r") if state]
        line = states[-1] if states else ""
    if "\x1b" in line:
        line = _ESCAPES.sub("", line)
    return line.rstrip()
