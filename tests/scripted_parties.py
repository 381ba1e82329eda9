"""Runs Python scripts as parties, each in a process of its own that has torch already imported.

`script_server` forks the processes, which spares every test three imports of torch. Tests of kernels, of papermill and
of plain `python script.py` start real processes instead.
"""

from __future__ import annotations

import os
import textwrap
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from script_server import ScriptProcess, fork_script

__all__ = ["Outcome", "ScriptedParties"]


@dataclass(frozen=True)
class Outcome:
    """How a party's process ended: its exit code (negative: the signal), and what it printed."""

    code: int | None
    out: str
    err: str


class ScriptedParties:
    """Starts parties and waits for them; whatever still runs at the end of the test is killed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[str, ScriptProcess] = {}

    def start(
        self, name: str, source: str, env: Mapping[str, str] | None = None, arguments: Sequence[str] = ()
    ) -> ScriptProcess:
        """Run a script as `name`; returns its process."""
        script = self._folder / f"{name}.py"
        script.write_text(textwrap.dedent(source), encoding="utf-8")
        process = fork_script([str(script), *arguments], {**os.environ, "OMP_NUM_THREADS": "1", **(env or {})})
        self._running[name] = process
        return process

    def finish(self, timeout: float = 60.0) -> dict[str, Outcome]:
        """Wait for all; a party that is still running after `timeout` seconds has exit code None."""
        outcomes: dict[str, Outcome] = {}
        for name, process in self._running.items():
            process.join(timeout)
            outcomes[name] = Outcome(process.exitcode, self._read(name, "out"), self._read(name, "err"))
        self.kill()
        return outcomes

    def process(self, name: str) -> ScriptProcess:
        """A party's process."""
        return self._running[name]

    def join(self, timeout: float) -> list[str]:
        """Wait for all, at most `timeout` seconds together. Returns who is still running."""
        deadline = time.monotonic() + timeout
        for process in self._running.values():
            process.join(max(0.0, deadline - time.monotonic()))
        return [name for name, process in self._running.items() if process.is_alive()]

    def run(self, sources: Mapping[str, str], timeout: float = 60.0) -> dict[str, Outcome]:
        """All of them at once, to the end."""
        for name, source in sources.items():
            self.start(name, source)
        return self.finish(timeout)

    def output(self, name: str) -> str:
        """What a party that may still be running has printed on both streams."""
        return self._read(name, "out") + self._read(name, "err")

    def kill(self) -> None:
        for process in self._running.values():
            if process.is_alive():
                process.kill()
            process.join(10)
        self._running.clear()

    def _read(self, name: str, stream: str) -> str:
        path = self._folder / f"{name}.py.{stream}"
        return path.read_text(encoding="utf-8") if path.exists() else ""
