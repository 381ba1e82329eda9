"""All parties of one federation at once, from one process: a thread and a kernel for each notebook."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from queue import Empty, SimpleQueue
from types import FrameType

from playground_ext.bus.private_folder import PrivateFolder
from playground_ext.errors import ServerError, StorageError
from playground_ext.party.identity import Party
from playground_ext.party.lobby import tell_waiting
from playground_ext.runner.notebook import Failure, PartyRun
from playground_ext.runner.outcome import Earlier, Outcome
from playground_ext.runner.parameters import Scalar
from playground_ext.runner.plan import Plan
from playground_ext.runner.progress import Board, Follower
from playground_ext.runner.recovery import Restarts, can_go_on_without, keep_attempt
from playground_ext.runner.starting import Starter
from playground_ext.runner.view import Output, View, open_view

__all__ = ["run_federation", "stop_signals"]

GRACE = 8.0  # seconds that the others get to show the first failure in their notebooks
GRACE_WAITING = 3.0  # the same where they have shown it already and wait for a party that will not come back
UNTIL_KILL = 1.7  # seconds between interrupting a kernel and killing it
INTERRUPT_AGAIN = 0.5  # seconds; a kernel between two cells ignores the first interrupt
GIVE_UP = 10.0  # seconds after killing that a notebook's thread gets to save it


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
    restarts: int = 0,
    earlier: Earlier | None = None,
) -> Outcome:
    """Execute the notebooks that `prepare` put into `folder`, all at the same time, until all have ended.

    When one party fails for good, the others get GRACE seconds to show it and are stopped then, unless the run's quorum
    lets them go on without it. A signal stops all at once, a second one kills. In every case the notebooks are saved
    and the kernels are gone when this returns.

    Args:
        values: per party, what papermill passes to its notebook.
        kernels: per party, its kernelspec.
        timeout: seconds for the whole run; None: no limit.
        events: the queue of `stop_signals`.
        warm: fork the kernels from a warm process where that is possible.
        restarts: how often a party that fails is started again, while the others wait for it.
        earlier: of a run that is resumed in its folder.
    """
    board = Board([(party.name, party.role) for party in plan.parties], plan.rounds)
    view = open_view(output, board, f"{plan.template.title} · task {plan.task}")
    outcome = Outcome(plan, folder, server, time.time(), board, restarts=restarts, earlier=earlier)
    sockets = PrivateFolder()
    follower = Follower(
        url,
        plan.task,
        plan.nodes,
        board,
        view.log,
        home=folder / "parties",
        goes_on=None if earlier is None else earlier.run,
    )
    try:
        follower.start()
        follower.ready.wait(timeout=5.0)
        view.start()
        events = events or SimpleQueue()
        starter = Starter(
            plan,
            folder,
            values,
            kernels,
            url=url,
            sockets=sockets.path,
            board=board,
            events=events,
            warm=warm,
            waits=restarts > 0,
            resumed=earlier is not None,
        )
        _Race(plan, url, outcome, view, follower, starter, events, timeout).execute()
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
        follower: Follower,
        starter: Starter,
        events: SimpleQueue[tuple[str, object]],
        timeout: float | None,
    ) -> None:
        self._plan = plan
        self._url = url
        self._outcome = outcome
        self._view = view
        self._follower = follower
        self._starter = starter
        self._restarts = Restarts(outcome.restarts)
        self._ending = False  # nobody is started again
        self._events = events
        self._runs: dict[str, PartyRun] = {}
        self._plain = False  # said why kernels are not forked
        self._spent: dict[str, float] = {}  # seconds of attempts that failed
        self._timeout = timeout
        # What happens next if nothing else does: times on the monotonic clock.
        self._due: dict[str, float] = {} if timeout is None else {"timeout": time.monotonic() + timeout}

    def execute(self) -> None:
        self._runs = {run.party: run for run in self._starter.all()}
        try:
            for run in list(self._runs.values()):
                run.start()
            while len(self._outcome.party_seconds) < len(self._runs):  # until the end of each has been noted
                self._step()
        finally:
            for run in self._runs.values():  # empty-handed unless something went wrong here
                if not run.finished:
                    run.kernel.kill()
                if run.ident is not None:
                    run.join(GIVE_UP)

    def _step(self) -> None:
        """Take one event, or do what is due."""
        name, moment = min(self._due.items(), key=lambda item: item[1], default=("", time.monotonic() + 1.0))
        try:
            kind, what = self._events.get(timeout=max(0.0, moment - time.monotonic()))
        except Empty:
            if name:
                del self._due[name]
                self._act(name)
            return
        if kind == "ended":
            self._ended(self._runs[str(what)])
        elif kind == "plain":
            self._note_plain(str(what))
        elif kind == "note":
            self._view.note(str(what))
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
        self._ending = True
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
        failure = run.failure
        if failure is not None and not self._ending and self._begin_again(run, failure):
            return
        outcome.party_seconds[run.party] = self._spent.get(run.party, 0.0) + (run.seconds or 0.0)
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
        if not stopped and not failure.consequence and self._others_go_on(run.party):
            return
        others = [other for other in self._runs.values() if not other.finished]
        if others and not stopped and not failure.consequence:
            self._tell_waiting(failure)
        if others and not stopped and not {"grace", "kill"} & self._due.keys():
            self._due["grace"] = time.monotonic() + (GRACE_WAITING if self._restarts.limit else GRACE)

    def _begin_again(self, run: PartyRun, failure: Failure) -> bool:
        """Start a party again that failed; False if this was its last attempt."""
        attempt = self._restarts.next(failure)
        if attempt is None:
            return False
        what = f"{run.party} failed: {failure.headline} ({failure.place})"
        try:
            kept = keep_attempt(run.notebook)
        except StorageError as error:
            self._view.note(f"{what}, and cannot be started again: {error.what}")
            return False
        self._view.note(
            f"{what}; starting it again, attempt {attempt} of {self._restarts.limit}, "
            f"the failed one is kept as {kept.parent.name}/{kept.name}"
        )
        self._outcome.attempts.setdefault(run.party, []).append(replace(failure, notebook=kept))
        self._outcome.board.restart(run.party, attempt, self._restarts.limit)
        self._spent[run.party] = self._spent.get(run.party, 0.0) + (run.seconds or 0.0)
        again = self._runs[run.party] = self._starter.one(run.party, attempt)
        again.start()
        return True

    def _others_go_on(self, party: str) -> bool:
        """A quorum of the run holds without this party and those that failed before; it may be over by now."""
        lost = {self._follower.party_of(name) for name in self._outcome.failures}
        quorum = can_go_on_without(lost, self._url, self._follower.keys)
        if quorum is None:
            return False
        self._outcome.lost[party] = quorum
        self._outcome.board.end(party, f"lost: {self._outcome.failures[party].error}")
        self._view.note(f"{party} is lost; the others go on without it, the quorum is {quorum}")
        return True

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
