"""One party's notebook: executed by papermill in a thread of its own, and what came of it."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playground_ext.errors import PlaygroundError
from playground_ext.runner.imports import import_quickly
from playground_ext.runner.kernel import KernelDied, PartyKernel, close_event_loop
from playground_ext.runner.parameters import Scalar

__all__ = ["CONSEQUENCES", "Failure", "PartyRun", "find_place", "plain"]

START_TIMEOUT = 60  # seconds that a kernel gets to answer, and as much again for every eight kernels
CONSEQUENCES = frozenset({"PartyFailed", "PartyDied", "RunReplaced"})  # a party that raises these is not the first

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_CELL_LINE = re.compile(r"Cell In\s?\[(\d+)\], line (\d+)")
_TEMPORARY_LINE = re.compile(r"ipykernel_\d+[/\\]\d+\.py[:\"],? ?(?:line )?(\d+)")


@dataclass(frozen=True)
class Failure:
    """Why a party's notebook did not reach its end."""

    party: str
    error: str  # the exception's class, or KernelDied
    message: str
    traceback: str
    notebook: Path
    at: float  # seconds since the epoch
    cell: int | None = None  # as the notebook shows it: [5]
    line: int | None = None  # within the cell
    consequence: bool = False  # of another party's failure, or of the runner stopping it

    @property
    def place(self) -> str:
        """`collaborator-1.ipynb, cell [5], line 3`."""
        cell = "" if self.cell is None else f", cell [{self.cell}]"
        return f"{self.notebook.name}{cell}" + ("" if self.line is None else f", line {self.line}")

    @property
    def headline(self) -> str:
        """`ValueError: broken data`: class and first line of the message."""
        return f"{self.error}: {self.message.strip().partition(chr(10))[0]}".rstrip(": ")


class PartyRun(threading.Thread):
    """Starts the kernel at once, imports papermill while it boots, executes the notebook, keeps the outcome."""

    def __init__(
        self,
        party: str,
        notebook: Path,
        kernel: PartyKernel,
        values: dict[str, Scalar],
        *,
        kernel_count: int,
        on_cell: Callable[[str, int, int], None],
        on_end: Callable[[str], None],
    ) -> None:
        super().__init__(name=f"playground {party}", daemon=True)
        self.party = party
        self.notebook = notebook
        self.kernel = kernel
        self.failure: Failure | None = None
        self.began = time.time()
        self.seconds: float | None = None
        self.finished = False
        self._values = values
        self._start_timeout = START_TIMEOUT * (1 + kernel_count // 8)
        self._on_cell = on_cell
        self._on_end = on_end

    def run(self) -> None:
        try:
            self._execute()
        finally:
            self.seconds = time.time() - self.began
            self.finished = True
            try:
                close_event_loop()
            finally:
                self._on_end(self.party)

    def _execute(self) -> None:
        file: Any = None
        try:
            self.kernel.start()
            import_quickly("papermill.execute")
            from papermill.exceptions import PapermillExecutionError
            from papermill.execute import execute_notebook

            from playground_ext.runner.engine import NotebookFile, register

            file = NotebookFile(self.notebook)
            try:
                execute_notebook(
                    str(self.notebook).replace("{", "{{").replace("}", "}}"),  # papermill formats paths
                    None,
                    self._values,
                    engine_name=register(),
                    kernel_name=self.kernel.manager.kernel_name,
                    progress_bar=False,
                    start_timeout=self._start_timeout,
                    kernel=self.kernel,
                    file=file,
                    on_cell=lambda index, count: self._on_cell(self.party, index, count),
                )
            except PapermillExecutionError as error:
                self.failure = self._of_cell(error)
            finally:
                file.save()
        except KernelDied as died:
            self.failure = self._of("KernelDied", str(died), died.log)
        except PlaygroundError as error:
            self.failure = self._of(type(error).__name__, error.what, str(error))
        except Exception as error:
            if not self.kernel.stopping:
                self.failure = self._of(type(error).__name__, str(error), str(error))
        if self.kernel.stopping and self.failure is None:
            self.failure = self._of("Stopped", "the runner stopped it", "")

    def _of_cell(self, error: Any) -> Failure:
        text = plain("\n".join(error.traceback) if not isinstance(error.traceback, str) else error.traceback)
        cell, line = find_place(text, error.exec_count)
        return self._of(error.ename, plain(error.evalue), text, cell=cell, line=line)

    def _of(
        self, error: str, message: str, traceback: str, *, cell: int | None = None, line: int | None = None
    ) -> Failure:
        return Failure(
            party=self.party,
            error=error,
            message=message,
            traceback=traceback,
            notebook=self.notebook,
            at=time.time(),
            cell=cell if cell is not None else self._running_cell(),
            line=line,
            consequence=error in CONSEQUENCES or self.kernel.stopping,
        )

    def _running_cell(self) -> int | None:
        """The number that the running cell got or would have got."""
        return self.kernel.code_cell


def plain(text: str) -> str:
    """`text` without colours and control characters, for terminals and XML alike."""
    return _CONTROL.sub("", _ANSI.sub("", text))


def find_place(traceback: str, cell: int | None) -> tuple[int | None, int | None]:
    """Cell and line of the innermost frame that was typed into a notebook; `cell` is the one that was executed."""
    found = _CELL_LINE.findall(traceback)
    if found:
        return int(found[-1][0]), int(found[-1][1])
    lines = _TEMPORARY_LINE.findall(traceback)
    return cell, int(lines[-1]) if lines else None
