"""Federations as users start them, in a folder of their own, and what they leave: notebooks, processes, sockets."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import pexpect
import pytest
from paths import CHECKOUT, MODULES
from warm_kernels import WarmKernels, working_in

from playground_ext.bus.shared import stop_shared_server

__all__ = [
    "CHECKOUT",
    "DRAWS",
    "HEADROOM",
    "TEMPLATE",
    "Job",
    "Notebook",
    "Sandbox",
    "bring_own_data",
    "edit",
    "logged",
    "pane_lines",
    "wait_until",
]

TEMPLATE = CHECKOUT / "templates" / "fed_avg"
DRAWS = {"MPLBACKEND": ""}  # to have a notebook's figures drawn, too: they take half of its processor time
HEADROOM = 1.5  # on a loaded machine the deadlines are stretched by this

_PANE_LINE = re.compile(r"\d\d:\d\d:\d\d  (\S+) +(?:round (\d+) +)?(?:WARNING |ERROR )?(.*)")


class Job:
    """A process and what it printed, on both streams."""

    def __init__(self, argv: Sequence[str], cwd: Path, env: Mapping[str, str], said: Path) -> None:
        self._said = said
        with said.open("wb") as file:
            self.process = subprocess.Popen(argv, cwd=cwd, env=env, stdout=file, stderr=subprocess.STDOUT)

    def wait(self, timeout: float = 120) -> int:
        """The exit code."""
        return self.process.wait(timeout)

    @property
    def output(self) -> str:
        return self._said.read_text("utf-8", "replace")


@dataclass
class Sandbox:
    """A user's folder and environment; everything that is started from here is ended and looked for afterwards."""

    folder: Path
    private: Path  # short, because sockets' paths are
    cache: Path
    warm: WarmKernels | None = None  # who forks its kernels; they are ordinary processes without
    _jobs: list[Job] = field(default_factory=list)
    _terminals: list[pexpect.spawn[str]] = field(default_factory=list)
    _workspaces: set[Path] = field(default_factory=set)

    def __post_init__(self) -> None:
        if self.warm is not None:
            self.warm.lend(self.runtime, self.environment)

    @property
    def runtime(self) -> Path:
        return self.private / "r"

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PLAYGROUND_", "JUPYTER_"))}
        return kept | {
            "PLAYGROUND_RUNTIME": str(self.runtime),
            "PLAYGROUND_HOME": str(self.folder / "home"),
            "PLAYGROUND_CACHE": str(self.cache),
            "PLAYGROUND_WARM": "0" if self.warm is None else "1",
            "JUPYTER_PATH": "" if self.warm is None else str(self.warm.jupyter_path),
            "JUPYTER_RUNTIME_DIR": str(self.private / "j"),
            "JUPYTER_CONFIG_DIR": str(self.private / "config"),
            "IPYTHONDIR": str(self.private / "ipython"),
            "MPLBACKEND": "template",  # draws nothing, see DRAWS
            "TMPDIR": str(self.private / "tmp"),
            "TORCHINDUCTOR_CACHE_DIR": str(self.cache / "torch"),  # one per user and machine, else below TMPDIR
            "PYTHONPATH": MODULES,
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "120",
        }

    def start(self, *argv: str | Path, cwd: Path | None = None, **env: str) -> Job:
        said = self.folder / f"said-{len(self._jobs)}.txt"
        job = Job([str(word) for word in argv], cwd or self.folder, self.environment | env, said)
        self._jobs.append(job)
        return job

    def playground(self, *arguments: str | Path, **env: str) -> Job:
        return self.start(sys.executable, "-m", "playground_ext.runner", *arguments, **env)

    def on_a_terminal(self, *arguments: str | Path) -> pexpect.spawn[str]:
        """`playground` where somebody sits before it; `logfile_read` keeps all that it wrote."""
        terminal = pexpect.spawn(
            sys.executable,
            ["-m", "playground_ext.runner", *map(str, arguments)],
            cwd=str(self.folder),
            env=self.environment | {"TERM": "xterm-256color"},
            encoding="utf-8",
            dimensions=(40, 120),
            timeout=120,
        )
        self._terminals.append(terminal)
        return terminal

    def shares_a_server_in(self, workspace: Path) -> None:
        """Notebooks and scripts in that folder start a server that outlives them: stop it in the end."""
        self._workspaces.add(workspace)

    def stop_shared_servers(self) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PLAYGROUND_RUNTIME", str(self.runtime))
            for workspace in self._workspaces:
                patch.setenv("PLAYGROUND_WORKSPACE", str(workspace))
                stop_shared_server()
        wait_until(lambda: not any("playground_ext.bus." in line for line in self.processes()), 10, "it did not stop")

    def processes(self) -> list[str]:
        """Command lines of all that was started from here, by whomever, and still runs; also a server's."""
        found = working_in(self.folder, self.private)
        for process in Path("/proc").glob("[0-9]*"):
            try:
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if command in found:
                    continue
                if str(self.private) in command or str(self.private).encode() in (process / "environ").read_bytes():
                    found.append(command)
            except OSError:
                continue
        return found

    def kernels(self) -> list[str]:
        return [line for line in self.processes() if re.search(r"ipykernel|playground_ext\.kernel", line)]

    def left_behind(self) -> list[str]:
        """Processes, listening sockets, and files in the folders for temporary ones."""
        sockets = [line.split()[-1] for line in Path("/proc/net/unix").read_text().splitlines()]
        if self.warm is not None:
            self.warm.take_back(self.runtime)
        files = [path for name in ("r", "j", "tmp") for path in sorted((self.private / name).glob("*"))]
        return [
            *self.processes(),
            *(path for path in sockets if path.startswith(str(self.private))),
            *(str(path) for path in files if path.name != "lock" and path.suffix != ".lock"),
        ]

    def close(self) -> None:
        for terminal in self._terminals:
            terminal.close(force=True)
        for job in self._jobs:
            if job.process.poll() is None:
                job.process.kill()
            job.process.wait(10)
        self.stop_shared_servers()


class Notebook:
    """What a saved notebook shows."""

    def __init__(self, path: Path) -> None:
        self.node: Any = nbformat.read(path, as_version=4)

    @property
    def code_cells(self) -> list[Any]:
        return [cell for cell in self.node.cells if cell.cell_type == "code"]

    @property
    def outputs(self) -> list[Any]:
        return [output for cell in self.code_cells for output in cell.outputs]

    def place(self, cell_id: str, text: str) -> str:
        """Where a line of code stands, as errors say it: `cell [5], line 3`."""
        (cell,) = [cell for cell in self.code_cells if cell.id == cell_id]
        number = next(number for number, line in enumerate(cell.source.splitlines(), start=1) if text in line)
        return f"cell [{cell.execution_count}], line {number}"

    @property
    def pane(self) -> str:
        """The merged log, of all cells."""
        return "\n".join(filter(None, map(_pane, self.code_cells)))

    @property
    def lines(self) -> Counter[tuple[str, int | None, str]]:
        """The merged log as (party, round, text)."""
        return pane_lines(self.pane)

    def lines_of(self, cell: Any) -> Counter[tuple[str, int | None, str]]:
        return pane_lines(_pane(cell))

    @property
    def printed(self) -> str:
        return "".join(output.text for output in self.outputs if output.output_type == "stream")

    @property
    def errors(self) -> str:
        """Tracebacks, without colours."""
        found = [output for output in self.outputs if output.output_type == "error"]
        text = "\n".join(line for output in found for line in [output.ename, output.evalue, *output.traceback])
        return re.sub(r"\x1b\[[0-9;]*m", "", text)


def _pane(cell: Any) -> str:
    panes = [output for output in cell.outputs if "playground" in output.get("metadata", {})]
    return "\n".join(output["data"]["text/plain"] for output in panes)


def pane_lines(pane: str) -> Counter[tuple[str, int | None, str]]:
    lines: list[tuple[str, int | None, str]] = []
    for row in pane.splitlines():
        found = _PANE_LINE.fullmatch(row)
        if found:
            party, round, text = found.groups()
            lines.append((party, None if round is None else int(round), text))
        elif row.startswith("    "):  # goes on
            party, round_, text = lines[-1]
            lines[-1] = (party, round_, f"{text}\n{row[4:]}")
        else:
            raise AssertionError(f"no line of a pane: {row!r}")
    return Counter(lines)


def logged(path: Path) -> Counter[tuple[str, int | None, str]]:
    """What a logs.jsonl holds, as (party, round, text)."""
    records = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return Counter((record["party"], record["round"], record["text"]) for record in records)


def edit(notebook: Path, cell_id: str, old: str, new: str) -> None:
    """Change a cell of a copy of the template, as its owner would."""
    node = nbformat.read(notebook, as_version=4)
    (cell,) = [cell for cell in node.cells if cell.id == cell_id]
    assert old in cell.source
    cell.source = cell.source.replace(old, new)
    nbformat.write(node, notebook)


def bring_own_data(folder: Path) -> None:
    """In a copy of the template: other data under "My data", and an end after the run. Without torchvision it starts
    in half the time.
    """
    replaced = {
        "aggregator": "test_images = torch.randn(500, 1, 28, 28)\ntest_labels = torch.randint(10, (500,))",
        "collaborator": "my_images = torch.randn(samples, 1, 28, 28)\nmy_labels = torch.randint(10, (samples,))",
    }
    for role, source in replaced.items():
        path = folder / f"{role}.ipynb"
        node = nbformat.read(path, as_version=4)
        ids = [cell.id for cell in node.cells]
        node.cells = [cell for cell in node.cells[: ids.index("run") + 1] if cell.id != "labels"]
        (data,) = [cell for cell in node.cells if cell.id == "data"]
        data.source = source
        nbformat.write(node, path)


def wait_until(condition: Callable[[], object], timeout: float, what: str) -> float:
    """Seconds until it was so."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() < began + timeout, what
        time.sleep(0.02)
    return time.monotonic() - began
