"""`task_view`: shows a task, and goes on showing it while it runs."""

from __future__ import annotations

import threading
from typing import Any

from playground_ext.bus.connection import Connection
from playground_ext.bus.streams import last_id
from playground_ext.overview import drawing
from playground_ext.overview.snapshot import Finished, Snapshot, record_of, take
from playground_ext.overview.widget import make_widget, update_widget
from playground_ext.party.failure import is_interactive
from playground_ext.runner.progress import Board, Follower
from playground_ext.runner.reading import server_of

__all__ = ["TaskView", "task_view"]

REFRESH = 0.5  # seconds between two looks at a task that runs
FAREWELL = 10.0  # seconds that others get to end when a program runs the notebook: after the cell nothing is updated


def task_view(task: str | Finished, *, widget: bool | None = None) -> TaskView:
    """Show a task of this machine: what `scheduler.run()` returned, or the name of a task, also of one that runs.

    In a notebook: a table of the parties and their curves, kept up to date until the task ends, which stay in the saved
    notebook; with anywidget installed they can be filtered by party and metric, as long as the kernel runs.
    `widget`: with the filter or without; by default only if a person runs the notebook. Elsewhere: its text.

    Raises:
        ConfigError: nothing of that name was run here.
    """
    return TaskView(task, widget=is_interactive() if widget is None else widget)


class TaskView:
    """What `task_view` returns; a notebook shows it when it is the last thing in a cell."""

    def __init__(self, task: str | Finished, *, widget: bool) -> None:
        self._task = task
        self._record = record_of(task)
        self._wants_widget = widget
        self._widget: Any | None = None
        self._board: Board | None = None
        self._handle: Any = None
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._shown: Snapshot | None = None

    @property
    def snapshot(self) -> Snapshot:
        """The task as it is now, with parties that came late."""
        return take(record_of(self._task), self._board)

    def __str__(self) -> str:
        return drawing.text(self.snapshot)

    __repr__ = __str__

    def wait(self, timeout: float | None = None) -> bool:
        """Until the task has ended and its last state is shown; False after `timeout` seconds."""
        if self._thread is None:
            return True
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def stop(self) -> None:
        """Stop following; what is shown stays."""
        self._stopping.set()
        self.wait(REFRESH + 10)

    def _ipython_display_(self) -> None:
        """Jupyter's hook."""
        from IPython.display import display

        snapshot = self._shown = self.snapshot
        if self._wants_widget and self._widget is None:
            self._widget = make_widget(snapshot)
        self._handle = display(self._bundle(snapshot), raw=True, display_id=True)  # type: ignore[no-untyped-call]
        if self._record.active and self._thread is None:
            self._thread = threading.Thread(target=self._follow, name="task view", daemon=True)
            self._thread.start()
            if not is_interactive():
                self.wait(FAREWELL)

    def _follow(self) -> None:
        url = server_of(self._record)
        follower: _CurrentRun | None = None
        if url is not None:
            names = [(party.name, "") for party in self._record.parties]
            self._board = Board(names)
            follower = _CurrentRun(url, self._record.task, [name for name, _ in names], self._board, lambda _: None)
            follower.start()
        while self._record.active and not self._stopping.wait(REFRESH):
            self._show()
        if follower is not None:
            follower.stop()
        self._show()

    def _show(self) -> None:
        snapshot = self.snapshot
        if snapshot == self._shown:
            return
        self._shown = snapshot
        if self._widget is not None:
            update_widget(self._widget, snapshot)
        self._handle.update(self._bundle(snapshot), raw=True)

    def _bundle(self, snapshot: Snapshot) -> dict[str, str]:
        """All that a saved notebook gets to hold: no widget, which nobody could show when its kernel is gone."""
        place = None if self._widget is None else self._widget.place
        return {"text/plain": drawing.text(snapshot), "text/html": drawing.html(snapshot, place=place)}


class _CurrentRun(Follower):
    """Reads the run that is open already, from its beginning."""

    def _begin(self, connection: Connection) -> None:
        self._cursors[self._own.runs] = last_id(connection, self._own.runs)
        self.ready.set()
