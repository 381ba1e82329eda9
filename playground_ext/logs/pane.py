"""The merged log in a notebook: one display per cell, redrawn in place.

Printing from a thread would cut the user's own lines and end up in whatever cell the kernel thinks is current (after a
Tab completion: none at all). So the pane sends its own display messages, with the header of the request whose cell it
belongs to. The last redraw happens in `post_run_cell`, before the kernel says that the cell is done, because nbclient
and papermill save nothing that comes later. Lines that come between two cells wait for the next one when a program runs
the notebook; for a person they appear in the last cell.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from playground_ext.logs.record import Batch
from playground_ext.logs.render import Lines, view

__all__ = ["LogPane", "kernel_shell"]

PERIOD = 0.2  # seconds between two redraws
GRACE = 0.7  # seconds that lines after a cell wait for the next one ("run all") before they go into the last one


def kernel_shell() -> Any:
    """The IPython shell of the kernel that this code runs in; None outside Jupyter."""
    try:
        from IPython import get_ipython
    except ImportError:
        return None
    shell = get_ipython()  # type: ignore[no-untyped-call, unused-ignore]
    return shell if getattr(shell, "kernel", None) is not None else None


class LogPane:
    """Shows the merged log in the cell that runs; belongs to the thread that runs cells (main, or a subshell's).

    `catch_up` is called when a cell has ended, before its last redraw: bring in what was said so far.
    """

    def __init__(self, shell: Any, catch_up: Callable[[], None]) -> None:
        self.parties: Sequence[str] = ()
        self.task: str | None = None
        self._shell = shell
        self._kernel = shell.kernel
        self._catch_up = catch_up
        current = threading.current_thread()
        self._cell_thread = current if type(current).__name__ == "SubshellThread" else threading.main_thread()
        self._changed = threading.Condition()
        self._pending = Lines()  # not drawn yet: for the cell that runs, or the next one
        self._status: str | None = None
        self._dirty = False
        self._stopped = False
        self._drawn_at = 0.0
        self._ended_at: float | None = None  # when the cell ended; None while it runs
        self._cell = _Cell(self._parent())
        shell.events.register("pre_run_cell", self._before_cell)
        shell.events.register("post_run_cell", self._after_cell)
        self._thread = threading.Thread(target=self._run, name="playground-log-pane", daemon=True)
        self._thread.start()

    def accept(self, batch: Batch) -> None:
        with self._changed:
            self._pending.add(batch)
            self._touch()

    def status(self, text: str | None) -> None:
        with self._changed:
            if text != self._status:
                self._status = text
                self._touch()

    def stop(self) -> None:
        """Show everything in its final form; the pane takes nothing more."""
        with self._changed:
            if self._stopped:
                return
            self._stopped = True
            self._status = None
            self._changed.notify_all()
        for event, hook in (("pre_run_cell", self._before_cell), ("post_run_cell", self._after_cell)):
            self._shell.events.unregister(event, hook)
        self._thread.join(2.0)
        with self._changed:
            self._draw(final=True)

    def forget(self) -> None:
        """In a forked child: the notebook belongs to the parent."""
        self._changed = threading.Condition()  # the old one may be held by a thread that does not exist here
        self._stopped = True
        for event, hook in (("pre_run_cell", self._before_cell), ("post_run_cell", self._after_cell)):
            self._shell.events.unregister(event, hook)

    # Cells -----------------------------------------------------------------------------------------------------

    def _before_cell(self, _info: object = None) -> None:
        if threading.current_thread() is not self._cell_thread:
            return  # a subshell runs something beside our cell
        with self._changed:
            self._cell = _Cell(self._parent())
            self._ended_at = None
            if self._dirty or self._status is not None:
                self._dirty = True
                self._changed.notify_all()

    def _after_cell(self, _result: object = None) -> None:
        if threading.current_thread() is not self._cell_thread:
            return
        self._catch_up()
        with self._changed:
            self._draw(final=True)
            self._ended_at = time.monotonic()

    def _parent(self) -> dict[str, Any]:
        """The request that runs the current cell. ipykernel 7 keeps it in a context variable of the cell's thread."""
        parent: dict[str, Any] = self._kernel.get_parent("shell")
        return parent

    # Drawing ---------------------------------------------------------------------------------------------------

    def _touch(self) -> None:
        if not self._dirty:
            self._dirty = True
            self._changed.notify_all()

    def _run(self) -> None:
        with self._changed:
            while not self._stopped:
                wait = self._wait()
                if wait > 0:
                    self._changed.wait(wait)
                else:
                    self._draw(final=self._ended_at is not None)

    def _wait(self) -> float:
        """Seconds until the next redraw."""
        if not self._dirty:
            return 60.0
        due = self._drawn_at + PERIOD
        if self._ended_at is not None:
            if self._cell.by_program:
                return 60.0  # the next cell wakes us
            due = max(due, self._ended_at + GRACE)
        return due - time.monotonic()

    def _draw(self, *, final: bool) -> None:
        cell = self._cell
        if not self._dirty and not (final and cell.folded):
            return
        self._dirty = False
        self._drawn_at = time.monotonic()
        if self._pending.total:
            cell.lines.extend(self._pending)
            self._pending = Lines()
        if not cell.lines.total and self._status is None and not cell.drawn:
            return
        cell.folded = not final
        bundle = view(cell.lines, self.parties, final=final, status=self._status, task=self.task)
        kind = "update_display_data" if cell.drawn else "display_data"
        cell.drawn = True
        content = {
            "data": bundle,
            "metadata": {"playground": {"pane": self.task}},
            "transient": {"display_id": cell.display_id},
        }
        kernel = self._kernel
        kernel.session.send(kernel.iopub_socket, kind, content, parent=cell.parent, ident=self._shell.display_pub.topic)


class _Cell:
    def __init__(self, parent: dict[str, Any]) -> None:
        self.parent = parent
        self.by_program = not (parent.get("content") or {}).get("allow_stdin", False)
        self.display_id = f"playground-log-{uuid.uuid4().hex[:12]}"
        self.lines = Lines()
        self.drawn = False
        self.folded = False  # the live view is shown: the rest is still to come
