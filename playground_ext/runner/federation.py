"""All parties of one federation at once, from one process: a thread and a kernel for each notebook."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, SimpleQueue
from types import FrameType

from playground_ext import settings
from playground_ext.bus.connection import Connection, mask_password
from playground_ext.bus.private_folder import PrivateFolder
from playground_ext.bus.server import EmbeddedServer
from playground_ext.errors import ServerError
from playground_ext.party.identity import Party
from playground_ext.party.lobby import tell_waiting
from playground_ext.runner.kernel import PartyKernel
from playground_ext.runner.notebook import Failure, PartyRun
from playground_ext.runner.outcome import Outcome
from playground_ext.runner.parameters import Scalar
from playground_ext.runner.plan import Plan
from playground_ext.runner.progress import Board, Follower
from playground_ext.runner.view import Output, View, open_view

__all__ = ["run_federation", "server_url", "stop_signals"]

GRACE = 8.0  # seconds that the others get to show the first failure in their notebooks
UNTIL_KILL = 1.7  # seconds between interrupting a kernel and killing it
INTERRUPT_AGAIN = 0.5  # seconds; a kernel between two cells ignores the first interrupt
GIVE_UP = 10.0  # seconds after killing that a notebook's thread gets to save it


@contextlib.contextmanager
def server_url() -> Iterator[tuple[str, str]]:
    """PLAYGROUND_REDIS_URL if it is set and answers, else a private server of this run; the URL and what to call it.

    Raises:
        ServerUnreachable: nobody answers at PLAYGROUND_REDIS_URL.
        ServerError: the private server does not start.
    """
    given = settings.read().redis_url
    if given is not None:
        Connection(given, name="playground-run", timeout=5.0).close()
        yield given, mask_password(given)
        return
    with EmbeddedServer() as server:
        yield server.url, "embedded"


@contextlib.contextmanager
def stop_signals(events: SimpleQueue[tuple[str, object]]) -> Iterator[None]:
    """Turn SIGINT, SIGTERM and SIGHUP into events, so that every run ends in the same orderly way."""

    def note(number: int, frame: FrameType | None) -> None:
        events.put(("signal", number))

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_federation(
    plan: Plan,
    folder: Path,
    values: dict[str, dict[str, Scalar]],
    kernels: dict[str, str],
    *,
    url: str,
    server: str,
    output: Output,
    timeout: float | None = None,
    events: SimpleQueue[tuple[str, object]] | None = None,
    warm: bool = True,
) -> Outcome:
    """Execute the notebooks that `prepare` put into `folder`, all at the same time, until all have ended.

    When one party fails, the others get GRACE seconds to show it and are stopped then. A signal stops all at once, a
    second one kills. In every case the notebooks are saved and the kernels are gone when this returns.

    Args:
        values: per party, what papermill passes to its notebook.
        kernels: per party, its kernelspec.
        timeout: seconds for the whole run; None: no limit.
        events: the queue of `stop_signals`.
        warm: fork the kernels from a warm process where that is possible.
    """
    board = Board([(party.name, party.role) for party in plan.parties], plan.rounds)
    view = open_view(output, board, f"{plan.template.title} · task {plan.task}")
    outcome = Outcome(plan, folder, server, time.time(), board)
    sockets = PrivateFolder()
    follower = Follower(url, plan.task, plan.nodes, board, view.log)
    try:
        follower.start()
        follower.ready.wait(timeout=5.0)
        view.start()
        race = _Race(plan, url, outcome, view, events or SimpleQueue(), timeout)
        race.execute(_party_runs(plan, folder, values, kernels, url, sockets.path, board, race.events, warm))
        follower.stop()
    finally:
        view.stop()
        sockets.remove()
    outcome.seconds = time.time() - outcome.began
    return outcome


class _Race:
    """Waits for all notebooks; decides when they are interrupted and killed."""

    def __init__(
        self,
        plan: Plan,
        url: str,
        outcome: Outcome,
        view: View,
        events: SimpleQueue[tuple[str, object]],
        timeout: float | None,
    ) -> None:
        self._plan = plan
        self._url = url
        self._outcome = outcome
        self._view = view
        self.events = events
        self._runs: dict[str, PartyRun] = {}
        self._plain = False  # said why kernels are not forked
        self._timeout = timeout
        # What happens next if nothing else does: times on the monotonic clock.
        self._due: dict[str, float] = {} if timeout is None else {"timeout": time.monotonic() + timeout}

    def execute(self, runs: list[PartyRun]) -> None:
        self._runs = {run.party: run for run in runs}
        try:
            for run in runs:
                run.start()
            while len(self._outcome.party_seconds) < len(runs):  # until the end of each has been noted
                self._step()
        finally:
            for run in runs:  # empty-handed unless something went wrong here
                if not run.finished:
                    run.kernel.kill()
                if run.ident is not None:
                    run.join(GIVE_UP)

    def _step(self) -> None:
        """Take one event, or do what is due."""
        name, moment = min(self._due.items(), key=lambda item: item[1], default=("", time.monotonic() + 1.0))
        try:
            kind, what = self.events.get(timeout=max(0.0, moment - time.monotonic()))
        except Empty:
            if name:
                del self._due[name]
                self._act(name)
            return
        if kind == "ended":
            self._ended(self._runs[str(what)])
        elif kind == "plain":
            self._note_plain(str(what))
        elif kind == "signal" and isinstance(what, int):
            self._signalled(what)

    def _note_plain(self, why: str) -> None:
        """Once: what keeps one kernel from being forked keeps all."""
        if not self._plain:
            self._view.note(f"The kernels start as ordinary processes: {why}")
        self._plain = True

    def _act(self, name: str) -> None:
        alive = [run for run in self._runs.values() if not run.finished]
        if name == "timeout":
            self._outcome.timed_out = self._timeout
            parties = ", ".join(f"{row.party} ({row.state})" for row in self._outcome.board.rows() if row.ended is None)
            self._view.note(f"The run did not end within {self._timeout:g} s; stopping {parties}")
            self._stop()
        elif name == "grace":
            self._stop()
        elif name == "again":
            for run in alive:
                run.kernel.stop_again()
        elif name == "kill":
            for run in alive:
                run.kernel.kill()
            self._due["kill"] = time.monotonic() + UNTIL_KILL  # a kernel that was only being started

    def _stop(self) -> None:
        for run in self._runs.values():
            if not run.finished:
                run.kernel.stop()
        self._due.pop("grace", None)
        self._due.pop("timeout", None)
        self._due |= {"again": time.monotonic() + INTERRUPT_AGAIN, "kill": time.monotonic() + UNTIL_KILL}

    def _signalled(self, number: int) -> None:
        again = self._outcome.signal is not None
        self._outcome.signal = self._outcome.signal or number
        if again:
            self._due = {"kill": time.monotonic()}
        else:
            self._view.note("Stopping: the notebooks are being interrupted and saved. Press Ctrl-C again to kill them.")
            self._stop()

    def _ended(self, run: PartyRun) -> None:
        outcome = self._outcome
        outcome.party_seconds[run.party] = run.seconds or 0.0
        failure = run.failure
        if failure is None:
            outcome.board.end(run.party, "done")
            self._view.note(f"{run.party} is done after {run.seconds or 0:.1f} s")
            return
        outcome.failures[run.party] = failure
        stopped = run.kernel.stopping
        outcome.board.end(run.party, "stopped" if failure.consequence else f"failed: {failure.error}")
        if stopped:
            self._view.note(f"{run.party} was stopped")
        else:
            verb = "ended because of that" if failure.consequence else "failed"
            self._view.note(f"{run.party} {verb}: {failure.headline} ({failure.place})")
        others = [other for other in self._runs.values() if not other.finished]
        if others and not stopped and not failure.consequence:
            self._tell_waiting(failure)
        if others and not stopped and not {"grace", "kill"} & self._due.keys():
            self._due["grace"] = time.monotonic() + GRACE

    def _tell_waiting(self, failure: Failure) -> None:
        """Those who wait for this party in the lobby learn why it will not come; those in a run know already."""
        body = {
            "error": failure.headline,
            "traceback": failure.traceback,
            "notebook": failure.notebook.name,
            "cell": None if failure.cell is None else f"cell [{failure.cell}]",
            "line": None if failure.line is None else f"line {failure.line}",
        }
        party = Party(failure.party, self._plan.task, tuple(self._plan.nodes))
        with contextlib.suppress(ServerError):
            tell_waiting(self._url, party, body)


def _party_runs(
    plan: Plan,
    folder: Path,
    values: dict[str, dict[str, Scalar]],
    kernels: dict[str, str],
    url: str,
    sockets: Path,
    board: Board,
    events: SimpleQueue[tuple[str, object]],
    warm: bool,
) -> list[PartyRun]:
    threads = max(1, _processors() // len(plan.parties))
    runs = []
    for number, party in enumerate(plan.parties):
        notebook = folder / f"{party.name}.ipynb"
        env = {
            "PLAYGROUND_REDIS_URL": url,
            "PLAYGROUND_HOME": str(folder / "parties"),
            "PLAYGROUND_TASK": plan.task,
            "PLAYGROUND_PARTY": party.name,
            "PLAYGROUND_NODES": ",".join(plan.nodes),
            "PLAYGROUND_ROLE": party.role,
            "PLAYGROUND_NOTEBOOK": str(notebook),
        }
        defaults = {"OMP_NUM_THREADS": str(threads)}
        kernel = PartyKernel(
            str(number),
            sockets,
            kernels[party.name],
            cwd=folder,
            env=env,
            defaults=defaults,
            warm=warm,
            on_plain=lambda why: events.put(("plain", why)),
        )
        runs.append(
            PartyRun(
                party.name,
                notebook,
                kernel,
                values[party.name],
                kernel_count=len(plan.parties),
                on_cell=board.cell,
                on_end=lambda name: events.put(("ended", name)),
            )
        )
    return runs


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
