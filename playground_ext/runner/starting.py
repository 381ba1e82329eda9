"""The thread and the kernel that execute a party's notebook: one for each party, and one for each restart."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from queue import SimpleQueue

from playground_ext.runner.kernel import PartyKernel
from playground_ext.runner.notebook import PartyRun
from playground_ext.runner.parameters import Scalar
from playground_ext.runner.plan import Plan
from playground_ext.runner.progress import Board

__all__ = ["Starter"]


class Starter:
    """Knows what every kernel of a run needs; does not start anything itself.

    `values`: per party, what papermill passes to its notebook. `kernels`: per party, its kernelspec. `sockets`: a
    private folder. `events` hears of notebooks that end. `waits`: the parties wait for one that failed. `resumed`: they
    go on with the run that is in `folder` already.
    """

    def __init__(
        self,
        plan: Plan,
        folder: Path,
        values: Mapping[str, dict[str, Scalar]],
        kernels: Mapping[str, str],
        *,
        url: str,
        sockets: Path,
        board: Board,
        events: SimpleQueue[tuple[str, object]],
        warm: bool,
        waits: bool,
        resumed: bool,
    ) -> None:
        self._plan, self._folder, self._values, self._kernels = plan, folder, values, kernels
        self._url, self._sockets, self._board, self._events = url, sockets, board, events
        self._warm, self._waits, self._resumed = warm, waits, resumed

    def all(self) -> list[PartyRun]:
        """The first attempt of every party."""
        return [self.one(party.name) for party in self._plan.parties]

    def one(self, name: str, attempt: int = 0) -> PartyRun:
        """A party's notebook from its top, in a kernel of its own. `attempt`: 0, or how often it was started again."""
        plan = self._plan
        number = plan.nodes.index(name)
        role = plan.parties[number].role
        notebook = self._folder / f"{name}.ipynb"
        env = {
            "PLAYGROUND_REDIS_URL": self._url,
            "PLAYGROUND_HOME": str(self._folder / "parties"),
            "PLAYGROUND_TASK": plan.task,
            "PLAYGROUND_PARTY": name,
            "PLAYGROUND_NODES": ",".join(plan.nodes),
            "PLAYGROUND_ROLE": role if plan.template.declared else "",  # else it is only a file's name
            "PLAYGROUND_NOTEBOOK": str(notebook),
        }
        if self._waits:
            env["PLAYGROUND_ON_PARTY_FAILURE"] = "wait"
        if self._resumed or attempt:
            env["PLAYGROUND_RESUME"] = "1"
        kernel = PartyKernel(
            f"{number}-{attempt}" if attempt else str(number),
            self._sockets,
            self._kernels[name],
            cwd=self._folder,
            env=env,
            defaults={"OMP_NUM_THREADS": str(max(1, _processors() // len(plan.parties)))},
            warm=self._warm,
            on_plain=lambda why: self._events.put(("plain", why)),
        )
        return PartyRun(
            name,
            notebook,
            kernel,
            self._values[name],
            kernel_count=len(plan.parties),
            on_cell=self._board.cell,
            on_end=lambda party: self._events.put(("ended", party)),
        )


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
