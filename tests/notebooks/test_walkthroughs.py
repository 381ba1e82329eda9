"""The tutorials of notebooks/ run to their end, say what their texts promise, and take less than a minute each."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from paths import MODULES
from warm_kernels import WarmKernels

from playground_ext.bus.supervisor import stop_shared_server

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
MINUTE = 60.0  # seconds that a notebook may take on a machine that has nothing else to do

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warm_kernels: WarmKernels) -> Iterator[Path]:
    """A copy of notebooks/, with a shared server of its own."""
    runtime = Path(tempfile.mkdtemp(prefix="pgt", dir="/tmp"))  # tmp_path is too long for sockets
    copy = tmp_path / "notebooks"
    shutil.copytree(NOTEBOOKS, copy, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints", "runs"))
    monkeypatch.setenv("PLAYGROUND_RUNTIME", str(runtime))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_PATH", str(warm_kernels.jupyter_path))
    monkeypatch.setenv("PYTHONPATH", MODULES)
    warm_kernels.lend(runtime, os.environ)
    yield copy
    stop_shared_server()
    shutil.rmtree(runtime, ignore_errors=True)


@pytest.fixture
def execute(folder: Path) -> Callable[[str], dict[str, str]]:
    """Executes a notebook as a front end would; what each cell printed or showed as text, by the cell's id."""

    def run(name: str) -> dict[str, str]:
        notebook = nbformat.read(folder / f"{name}.ipynb", as_version=4)
        began = time.monotonic()
        NotebookClient(notebook, timeout=150, resources={"metadata": {"path": str(folder)}}).execute()
        took = time.monotonic() - began
        crowd = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))  # who else works on this machine
        assert took < MINUTE * crowd
        return {cell.id: "".join(map(text_of, cell.get("outputs", []))) for cell in notebook.cells}

    return run


def text_of(output: nbformat.NotebookNode) -> str:
    return str(output.get("text") or output.get("data", {}).get("text/markdown") or output.data["text/plain"])


def test_the_walk_through_of_fed_avg_trains_a_model(folder, tmp_path):
    """All three at once, as its text says; each could also be run by hand."""
    command = [sys.executable, "-m", "playground_ext.runner", "run", str(folder / "fed_avg"), "--json"]
    began = time.monotonic()
    done = subprocess.run(
        [*command, "--output", str(tmp_path / "results")], cwd=folder, capture_output=True, text=True, timeout=170
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert time.monotonic() - began < MINUTE * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    summary = json.loads(done.stdout)
    accuracy = [entry["accuracy"] for entry in summary["accuracy"]["mock_aggregator"]]
    assert len(accuracy) == 5
    assert accuracy[-1] > 0.9
    for party in ("mock_aggregator", "mock_collaborator_1", "mock_collaborator_2"):
        outputs = json.dumps(json.loads((tmp_path / "results" / f"{party}.ipynb").read_text())["cells"])
        assert "mock_collaborator_2" in outputs
        assert "trained on 3000 digits of my own" in outputs


def test_debugging_shows_the_mistake_to_both_sides_and_the_repair(execute):
    said = execute("debugging")

    shapes = "mat1 and mat2 shapes cannot be multiplied"
    assert shapes in said["try-wrong"]
    assert "self.fc1" in said["try-wrong"]
    assert shapes in said["run-wrong"]
    assert "aggregator: PartyFailed: me failed" in said["other-view"]
    assert shapes in said["other-view"]
    assert "Predicted class:" in said["try-right"]
    assert "me: all went well, 2 rounds" in said["run-right"]
    assert "aggregator: all went well, 2 rounds" in said["run-right"]


def test_messages_are_shown_as_a_table_and_a_diagram(execute):
    said = execute("how_messages_travel")

    assert "'aggregator': 0, 'alice': 0, 'bob': 0" in said["run"]
    assert "q:aggregator:alice" in said["keys"]
    rows = [line.split(" | ")[3:5] for line in said["data"].splitlines()[2:]]
    sent = {(kind, number): rows.count([kind, number]) for kind, number in map(tuple, rows)}
    sent.pop(("global", "1"), None)  # acknowledged, and removed unless the acknowledgement came late
    assert sent == {("global", "2"): 2, ("global", "3"): 2, ("update", "1"): 2, ("update", "2"): 2}
    assert "check-in" in said["control"]
    assert "tested: accuracy" in said["logs"]


def test_production_is_three_processes_and_a_password(execute):
    said = execute("from_simulation_to_production")

    assert said["server"].startswith("redis://:***@127.0.0.1:")
    assert "'hospital-a': 0, 'hospital-b': 0, 'hospital-c': 0" in said["launch"]
    assert "hospital-c | round 1 | trained on 3000 digits" in said["logs"]
    assert "3 models, all equal" in said["models"]
    assert "launch_task outside mock_context needs PLAYGROUND_PARTY" in said["missing"]


def test_the_own_algorithm_finds_what_a_central_one_finds(execute):
    said = execute("your_own_algorithm")

    assert "coordinator: " in said["run"]
    assert "the centres moved by 0.0000" in said["run"]
    assert float(said["check"].split(": ")[1]) < 1e-9


def test_who_comes_from_alphamed_sees_their_notebooks_run(execute):
    said = execute("coming_from_alphafed")

    assert "playground_ext.compat.alphafed" in said["install"]
    assert "All 2 notebooks ran to their end" in said["run"]
    assert "my_collaborator | round 2 | trained in round 2" in said["run"]
    assert "left received: greetings from right" in said["own"]
    assert "right received: greetings from left" in said["own"]
    assert "train-images-idx3-ubyte cannot be found" in said["words"]


def test_the_chinese_quick_start_runs_what_it_shows(execute):
    said = execute("quick_start_zh")

    assert "All 3 notebooks ran to their end" in said["run"]
    assert "model.safetensors" in said["files"]
    assert "collaborator-2" in said["show"]
