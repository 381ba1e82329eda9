"""Runs Python scripts as parties, each in a process of its own that has torch already imported.

The processes are forked by a clean server (multiprocessing's forkserver), which spares every test three imports of
torch. Tests of kernels, of papermill and of plain `python script.py` start real processes instead.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import sys
import textwrap
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Outcome", "ScriptedParties"]

_context: Any = multiprocessing.get_context("forkserver")


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
        self._running: dict[str, Any] = {}
        _context.set_forkserver_preload(
            [
                "torch",
                "torch.utils.tensorboard",
                "torch._dynamo",
                "torchvision",
                "playground_ext.fed_avg.scheduler",
                "playground_ext.hetero_nn.host",
                "playground_ext.psi.scheduler",
                "playground_ext.compat.alphafed.contractor",
                "playground_ext.compat.alphafed.fed_avg",
                "preloaded_accountant",
                "scripted_parties",
            ]
        )

    def start(self, name: str, source: str, env: Mapping[str, str] | None = None) -> Any:
        """Run a script as `name`; returns its process."""
        script = self._folder / f"{name}.py"
        script.write_text(textwrap.dedent(source), encoding="utf-8")
        environment = {**os.environ, "OMP_NUM_THREADS": "1", **(env or {})}
        process = _context.Process(target=_run, args=(str(script), environment), name=name)
        process.start()
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

    def process(self, name: str) -> Any:
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


def _run(script: str, environment: dict[str, str]) -> None:
    """In the forked process: look like `python script.py`."""
    import torch

    os.environ.clear()
    os.environ.update(environment)
    os.chdir(os.path.dirname(script))
    for stream, descriptor in (("out", 1), ("err", 2)):
        target = os.open(f"{script}.{stream}", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(target, descriptor)
        os.close(target)
    sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
    sys.argv = [script]
    sys.path.insert(0, os.path.dirname(script))
    torch.set_num_threads(1)
    try:
        runpy.run_path(script, run_name="__main__")
    except KeyboardInterrupt:
        traceback.print_exc()
        sys.exit(130)
    except Exception:
        traceback.print_exc()
        sys.exit(1)
