"""Log lines as text and as HTML that reads everywhere: untrusted, light or dark, in editors and on code hosts."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Iterable, Sequence
from html import escape

from playground_ext.logs.record import ERRORS, Batch, LogRecord

__all__ = ["LIVE_LINES", "SAVED_BYTES", "SAVED_LINES", "Lines", "clean", "columns", "view"]

LIVE_LINES = 30
SAVED_LINES = 5000  # a cell
SAVED_BYTES = 1_000_000  # a cell, HTML and text together; errors are kept beyond it
KEPT_ERRORS = 200  # a cell, beyond the saved lines
ERROR_BYTES = 20_000  # characters of one error that are shown
LINE_BYTES = 2_000  # characters of one other line that are shown

# Colours only help the eye, the party's name is there too. Luminance about 0.18: legible on white and on black alike.
# The hues are those of Lab's views (lab/style/base.css).
_COLOURS = (
    "#0078d2",
    "#d83f42",
    "#008a00",
    "#a552ca",
    "#927300",
    "#aa5e72",
    "#008198",
    "#6f62e4",
    "#ba5900",
    "#767779",
    "#547e48",
    "#c84398",
)
_PRE = '<pre style="margin:0;padding-left:.6em;border-left:3px solid #888;white-space:pre-wrap;font-size:85%">'
_UNSAFE = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])"  # terminal commands
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]"  # control characters, backward text
)


class Lines:
    """The last lines of a cell, still encoded until somebody draws them, and all its errors."""

    def __init__(self) -> None:
        self.total = 0
        self._batches: deque[Batch] = deque()
        self._count = 0  # lines in the batches
        self._errors: deque[tuple[Batch, LogRecord]] = deque(maxlen=KEPT_ERRORS)  # of batches that fell out

    def add(self, batch: Batch) -> None:
        self._batches.append(batch)
        self._count += batch.count
        self.total += batch.count
        while self._count - self._batches[0].count >= SAVED_LINES:
            old = self._batches.popleft()
            self._count -= old.count
            self._errors.extend((old, record) for record in old.error_records())

    def extend(self, other: Lines) -> None:
        """Take over the lines of `other`, which come later."""
        self.total += other.total - other._count
        self._errors.extend(other._errors)
        for batch in other._batches:
            self.add(batch)

    def tail(self, lines: int) -> list[LogRecord]:
        found: list[list[LogRecord]] = []
        for batch in reversed(self._batches):
            found.append(batch.tail(lines))
            lines -= len(found[-1])
            if lines <= 0:
                break
        return [record for records in reversed(found) for record in records]

    def saved(self) -> tuple[list[LogRecord], list[LogRecord]]:
        """Errors that came before the last lines, and the last lines."""
        records = self.tail(SAVED_LINES)
        errors = [record for _, record in self._errors]
        decoded = [record for batch in self._batches for record in batch.error_records()]
        errors.extend(decoded[: len(decoded) - sum(record.level in ERRORS for record in records)])
        return errors[-KEPT_ERRORS:], records


def view(
    lines: Lines, parties: Sequence[str], *, final: bool, status: str | None = None, task: str | None = None
) -> dict[str, str]:
    """The MIME bundle of a cell's log: its last lines while it runs, everything that is saved when it is `final`."""
    rows = _Rows(parties)
    errors: list[LogRecord] = []
    if final:
        errors, records = lines.saved()
    else:
        records = lines.tail(LIVE_LINES)
    html: list[str] = []
    plain: list[str] = []
    size = 0
    for index, record in enumerate(reversed(records)):
        row = rows.text(record)
        markup = rows.html(record, coloured=index < LIVE_LINES)
        size += len(row.encode()) + len(markup.encode()) + 2
        if size > SAVED_BYTES:
            errors.extend(other for other in records[: len(records) - index] if other.level in ERRORS)
            break
        plain.append(row)
        html.append(markup)
    plain.reverse()
    html.reverse()
    errors = errors[-KEPT_ERRORS:]
    hidden = lines.total - len(plain) - len(errors)
    where = f": playground logs {task}" if task and final else ""
    note = f"{hidden} earlier line{'s' if hidden != 1 else ''} not shown{where}" if hidden > 0 else ""
    return {
        "text/plain": "\n".join(_plain_view(note, [rows.text(error) for error in errors], plain, status)),
        "text/html": _html_view(note, [rows.html(error) for error in errors], html, status),
    }


def _plain_view(note: str, errors: list[str], lines: list[str], status: str | None) -> Iterable[str]:
    if note:
        yield f"({note})"
    yield from errors
    yield from lines
    if status is not None:
        yield f"> {clean(status)}"


def _html_view(note: str, errors: list[str], lines: list[str], status: str | None) -> str:
    """Earlier lines fold away; errors that came earlier do not."""
    parts = [f"<div><i>{escape(note)}</i></div>"] if note else []
    if errors:
        parts.append(_pre(errors))
    folded, open_ = lines[:-LIVE_LINES], lines[-LIVE_LINES:]
    if folded:
        parts.append(f"<details><summary>{len(folded)} earlier lines</summary>{_pre(folded)}</details>")
    if open_:
        parts.append(_pre(open_))
    if status is not None:
        parts.append(_pre([f"<i>{escape(clean(status))}</i>"]))
    return "".join(parts)


def _pre(rows: list[str]) -> str:
    return f"{_PRE}{chr(10).join(rows)}</pre>"


class _Rows:
    """Rows with the same columns: time, party, round, level if it matters, text."""

    def __init__(self, parties: Sequence[str]) -> None:
        self._width = max(map(len, parties), default=0)
        self._colours = {party: _COLOURS[index % len(_COLOURS)] for index, party in enumerate(parties)}
        self._times: dict[int, str] = {}

    def text(self, record: LogRecord) -> str:
        moment, round_, level, text = self._cells(record)
        return f"{moment}  {record.party:<{self._width}}  {round_}{level}{text}"

    def html(self, record: LogRecord, *, coloured: bool = True) -> str:
        moment, round_, level, text = self._cells(record)
        padding = " " * (self._width - len(record.party))
        style = f' style="color:{self._colours.get(record.party, _COLOURS[-1])}"' if coloured else ""
        level = f"<b>{escape(level.rstrip())}</b> " if level else ""
        return f"{moment}  <b{style}>{escape(record.party)}</b>{padding}  {round_}{level}{escape(text, quote=False)}"

    def _cells(self, record: LogRecord) -> tuple[str, str, str, str]:
        second = int(record.time)
        if (moment := self._times.get(second)) is None:
            moment = self._times[second] = _clock(second)
        round_ = f"round {record.round:<3} " if record.round is not None else ""
        level, text = columns(record)
        return moment, round_, f"{level} " if level else "", text.replace("\n", "\n    ")


def columns(record: LogRecord) -> tuple[str, str]:
    """The level if it is worth a word, and the text without anything that commands a terminal."""
    level = clean(record.level) if record.level not in ("INFO", "DEBUG") else ""
    limit = ERROR_BYTES if record.level in ERRORS else LINE_BYTES
    text = clean(record.text)
    if len(text) > limit:
        text = f"{text[:limit]} … ({len(text) - limit} more characters)"
    return level, text


def clean(text: str) -> str:
    return _UNSAFE.sub("", text)


def _clock(second: int) -> str:
    try:
        return time.strftime("%H:%M:%S", time.localtime(second))
    except (OverflowError, ValueError, OSError):  # a party whose clock says nonsense
        return "--:--:--"
