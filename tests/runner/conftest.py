"""Tiny federations, and the command line as a user has it: in a process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
import pytest
from paths import MODULES
from warm_kernels import WarmKernels, working_in

PARAMETERS = 'task_id = "here"\nparty_id = ""\nparty_index = 1\ncollaborators = 1\nrounds = 2\nrate = 0.5\n'
DECLARATION = """
title = "Two roles"
description = "For tests."

[roles.aggregator]
notebook = "aggregator.ipynb"
initiator = true
kernel = "playground-aggregator"

[roles.collaborator]
notebook = "collaborator.ipynb"
count = 2
minimum = 1
maximum = 4
kernel = "playground-collaborator"

[parameters.rounds]
type = "integer"
default = 2
minimum = 1
maximum = 9
help = "how often"

[parameters.rate]
type = "number"
default = 0.5
maximum = 1
"""


def _write_notebook(path: Path, *cells: str, parameters: str | None = None, kernel: str = "python3") -> Path:
    notebook = nbformat.v4.new_notebook()
    notebook.metadata.kernelspec = {"name": kernel, "display_name": kernel, "language": "python"}
    notebook.cells = [nbformat.v4.new_code_cell(source) for source in cells]
    if parameters is not None:
        cell = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
        notebook.cells.insert(0, cell)
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    return path


@pytest.fixture
def write_notebook() -> Callable[..., Path]:
    return _write_notebook


@pytest.fixture
def two_roles(tmp_path: Path) -> Path:
    """A template folder with `template.toml`, whose notebooks only print."""
    folder = tmp_path / "two_roles"
    show = "import helper\nprint(helper.greeting, task_id, party_id, party_index, collaborators, rounds, rate)"
    _write_notebook(folder / "aggregator.ipynb", show, parameters=PARAMETERS)
    _write_notebook(folder / "collaborator.ipynb", show, parameters=PARAMETERS)
    (folder / "helper.py").write_text('greeting = "hello from"\n')
    (folder / "template.toml").write_text(DECLARATION)
    return folder


@pytest.fixture
def make_folder(tmp_path: Path) -> Callable[..., Path]:
    """A folder without `template.toml`: party names and the cells of their notebooks."""

    def make(**parties: list[str]) -> Path:
        for party, cells in parties.items():
            _write_notebook(tmp_path / "folder" / f"{party}.ipynb", *cells)
        return tmp_path / "folder"

    return make


@dataclass
class Playground:
    """Runs `playground`, and says what it left behind."""

    folder: Path  # the current folder; run folders are below its runs/
    runtime: Path
    environment: dict[str, str]
    warm: WarmKernels
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def command(self, *arguments: str | Path) -> list[str]:
        return [sys.executable, "-m", "playground_ext.runner", *map(str, arguments)]

    def start(self, *arguments: str | Path, **more: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment | more,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.started.append(process)
        return process

    def __call__(self, *arguments: str | Path, **more: str) -> tuple[int, str]:
        """Exit code, and what it printed."""
        process = self.start(*arguments, **more)
        output, _ = process.communicate(timeout=120)
        return process.returncode, output

    @property
    def run_folder(self) -> Path:
        (folder,) = (self.folder / "runs").iterdir()
        return folder

    def notebook(self, party: str) -> nbformat.NotebookNode:
        return nbformat.read(self.run_folder / f"{party}.ipynb", as_version=4)

    def text_of(self, party: str) -> str:
        """What a notebook's outputs say."""
        outputs = [output for cell in self.notebook(party).cells for output in cell.get("outputs", [])]
        return "".join(output.get("text", "") + output.get("ename", "") for output in outputs)

    def left_behind(self) -> list[str]:
        """Processes, sockets and folders that outlived the command."""
        mine = f"PLAYGROUND_RUNTIME={self.runtime}".encode()
        self.warm.take_back(self.runtime)
        found = [path.name for path in self.runtime.iterdir() if path.name != "lock"] + working_in(self.folder)
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if mine in (process / "environ").read_bytes().split(b"\0"):
                    found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:
                continue
        return found


@pytest.fixture
def playground(tmp_path: Path, warm_kernels: WarmKernels) -> Iterator[Playground]:
    runtime = Path(tempfile.mkdtemp(prefix="pgt", dir="/tmp"))  # tmp_path is too long for sockets
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PLAYGROUND_")}
    environment |= {"PLAYGROUND_RUNTIME": str(runtime), "PYTHONPATH": MODULES, "COLUMNS": "100"}
    environment |= {"XDG_DATA_HOME": str(tmp_path / "data"), "IPYTHONDIR": str(tmp_path / "ipython")}
    warm_kernels.lend(runtime, environment)
    command = Playground(tmp_path, runtime, environment, warm_kernels)
    yield command
    for process in command.started:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=10)
    shutil.rmtree(runtime, ignore_errors=True)
