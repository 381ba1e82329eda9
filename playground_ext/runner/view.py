"""What `playground run` shows while it runs: a live table with the merged log above it, or plain lines."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, TextIO, cast

from playground_ext.logs.record import LogRecord
from playground_ext.runner.progress import Board, PartyRow

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Output", "PlainView", "TerminalView", "View", "format_record", "open_view"]

REFRESH = 4  # times a second
LINES_AT_ONCE = 100  # log lines of one batch that a terminal shows; nobody reads more, and logs.jsonl has them


class Output:
    """A text stream that may break (a closed pipe, a terminal that is gone, a full disk): then the rest is dropped.

    How a run ends must not depend on whether somebody still reads what it says.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.encoding = getattr(stream, "encoding", None) or "utf-8"

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except (OSError, ValueError):
            self._discard()
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError):
            self._discard()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    @property
    def size(self) -> os.terminal_size | None:
        """Of the terminal; None where it is none."""
        try:
            size = os.get_terminal_size(self._stream.fileno())
        except (OSError, ValueError):
            return None
        return size if size.columns and size.lines else None

    def _discard(self) -> None:
        """What is still buffered goes nowhere, or the interpreter would fail again when it ends."""
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


class View(Protocol):
    """Shows a run; any thread may call."""

    def start(self) -> None: ...
    def log(self, records: list[LogRecord]) -> None: ...
    def note(self, text: str) -> None: ...
    def stop(self) -> None: ...


class PlainView:
    """One line per log line, and one for everything the runner itself has to say."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._lock = threading.Lock()

    def start(self) -> None:
        pass

    def log(self, records: list[LogRecord]) -> None:
        self._write("".join(format_record(record) + "\n" for record in records))

    def note(self, text: str) -> None:
        self._write(text + "\n")

    def stop(self) -> None:
        pass

    def _write(self, text: str) -> None:
        with self._lock:
            self._output.write(text)
            self._output.flush()


class TerminalView:
    """A table that rich keeps up to date at the bottom, the log scrolling above it."""

    def __init__(self, output: Output, board: Board, title: str) -> None:
        from rich.console import Console
        from rich.live import Live

        self._board = board
        self._title = title
        self._console = Console(file=cast(TextIO, output), highlight=False)
        self._live = Live(
            get_renderable=self._table,
            console=self._console,
            refresh_per_second=REFRESH,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def start(self) -> None:
        self._live.start()

    def log(self, records: list[LogRecord]) -> None:
        from rich.text import Text

        shown = records[-LINES_AT_ONCE:]
        text = Text()
        if len(shown) < len(records):
            text.append(f"… {len(records) - len(shown):,} more lines, see logs.jsonl\n", "dim")
        for record in shown:
            style = {"WARNING": "yellow", "ERROR": "bold red", "CRITICAL": "bold red"}.get(record.level, "")
            text.append(format_record(record) + "\n", style)
        text.right_crop(1)
        self._console.print(text, soft_wrap=True)

    def note(self, text: str) -> None:
        from rich.text import Text

        self._console.print(Text(text), soft_wrap=True)

    def stop(self) -> None:
        self._live.stop()

    def _table(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        rows = self._board.rows()
        table = Table(title=self._title, title_justify="left")
        table.add_column("party")
        table.add_column("state", min_width=16)
        table.add_column("round", justify="right")
        table.add_column(_measure(rows), justify="right")
        table.add_column("elapsed", justify="right")
        for row in rows:
            style = {"done": "green", "failed": "bold red", "stopped": "yellow"}.get(row.state.split(":")[0], "")
            table.add_row(
                row.party, Text(row.state, style), _round(row), _value(row, _measure(rows)), f"{row.elapsed:.0f} s"
            )
        return table


def open_view(output: Output, board: Board, title: str) -> View:
    """A live table where `output` is a terminal that can show one, plain lines otherwise."""
    if not output.isatty():
        return PlainView(output)
    from rich.console import Console

    dumb = Console(file=cast(TextIO, output)).is_dumb_terminal
    return PlainView(output) if dumb else TerminalView(output, board, title)


def format_record(record: LogRecord) -> str:
    """`collaborator-1 | round 2 | loss 0.31`; further lines of a text are indented."""
    where = [record.party] if record.round is None else [record.party, f"round {record.round}"]
    level = [] if record.level in ("INFO", "DEBUG") else [record.level]
    return " | ".join([*where, *level, record.text.replace("\n", "\n    ")])


def _measure(rows: Sequence[PartyRow]) -> str:
    return (
        "loss"
        if all(row.accuracy is None for row in rows) and any(row.loss is not None for row in rows)
        else "accuracy"
    )


def _round(row: PartyRow) -> str:
    return "" if row.round is None else f"{row.round}" + ("" if row.rounds is None else f" of {row.rounds}")


def _value(row: PartyRow, measure: str) -> str:
    value: Any = getattr(row, measure)
    return "" if value is None else f"{value:.2%}" if measure == "accuracy" else f"{value:.4f}"
