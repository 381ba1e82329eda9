"""The split-learning and intersection templates, from the command line and by plain papermill, with real kernels."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from paths import CHECKOUT, MODULES
from warm_kernels import WarmKernels

TEMPLATES = CHECKOUT / "templates"


@pytest.fixture
def environment(tmp_path: Path, session_cache: Path, warm_kernels: WarmKernels) -> Iterator[dict[str, str]]:
    runtime = Path(tempfile.mkdtemp(prefix="pgt", dir="/tmp"))  # tmp_path is too long for sockets
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PLAYGROUND_")}
    environment = kept | {
        "PLAYGROUND_RUNTIME": str(runtime),
        "PLAYGROUND_CACHE": str(session_cache),
        "PLAYGROUND_HOME": str(tmp_path / "home"),
        "PLAYGROUND_CHECK_IN_TIMEOUT": "60",
        "PYTHONPATH": MODULES,
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "JUPYTER_PATH": str(warm_kernels.jupyter_path),
    }
    warm_kernels.lend(runtime, environment)
    yield environment
    shutil.rmtree(runtime, ignore_errors=True)


@pytest.fixture
def playground(tmp_path: Path, environment: dict[str, str]) -> Any:
    """`playground run …`: its output and its run folder."""

    def run(*arguments: str) -> tuple[str, Path]:
        command = [sys.executable, "-m", "playground_ext.runner", "run", *arguments]
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env=environment,
            text=True,
            timeout=150,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert done.returncode == 0, done.stdout
        (folder,) = (tmp_path / "runs").iterdir()
        return done.stdout, folder

    return run


def _outputs(notebook: Path) -> str:
    found = []
    for cell in nbformat.read(notebook, as_version=4).cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            found.append(output.get("text", "") or data.get("text/markdown", "") or data.get("text/plain", ""))
    return "\n".join(found)


def test_split_learning_on_digits_reads_better_together_than_alone(playground):
    text, folder = playground("hetero_nn", "-p", "max_rounds=5", "-p", "samples=3000")

    assert "All 2 notebooks ran to their end" in text
    host, collaborator = _outputs(folder / "host.ipynb"), _outputs(folder / "collaborator-1.ipynb")
    alone, together = (float(host.split(f"{word} ")[1].split("%")[0]) for word in ("alone", "together"))
    assert together > alone
    for shown in (host, collaborator):
        assert "which of its 3,600 ids all parties have" in shown or "which of its ids collaborator-1 has too" in shown
        assert "data check: StripChecker passed" in shown
    with (folder / "metrics.csv").open() as file:
        names = {row["name"] for row in csv.DictReader(file)}
    assert {"test/accuracy", "train/loss", "test_results/accuracy", "test_results/average_loss"} <= names
    assert (folder / "model.safetensors").stat().st_size
    assert len(list(folder.glob("parties/*/host/*/results/test_results.csv"))) >= 1


def test_a_collaborators_notebook_never_loads_labels():
    code = [
        "".join(cell["source"])
        for cell in json.loads((TEMPLATES / "hetero_nn" / "collaborator.ipynb").read_text())["cells"]
        if cell["cell_type"] == "code"
    ]
    words = ("my_labels", "labels-idx1", ".targets", "mnist(", "read_label_file")
    assert [word for word in words for source in code if word in source] == []


def test_three_parties_predict_a_diagnosis(playground):
    _, folder = playground("hetero_tabular", "--parties", "3", "-p", "max_rounds=8")

    rows = dict(
        line.strip("| ").split(" | ")
        for line in _outputs(folder / "host.ipynb").splitlines()
        if line.startswith(("| alone", "| together", "| centralised"))
    )
    assert float(rows["together"]) > float(rows["alone"])
    assert float(rows["together"]) > 0.9


@pytest.mark.parametrize("protocol", ["ecdh", "rsa"])
def test_files_are_intersected_by_a_column(playground, tmp_path, protocol):
    (tmp_path / "initiator.csv").write_text("name,age\nAda,36\nZoë,20\nGrace,85\n", encoding="utf-8")
    (tmp_path / "collaborator-1.csv").write_text("age,name\n1,Grace\n2,Zoe\u0308\n3,Alan\n", encoding="utf-8")

    _, folder = playground(
        "psi", "-p", f"file={tmp_path}/{{party}}.csv", "-p", "column=name", "-p", f"protocol={protocol}"
    )

    (found,) = {path.resolve() for path in folder.glob("parties/*/initiator/*/results/intersection.csv")}
    assert found.read_text(encoding="utf-8").split() == ["id", "Zoë", "Grace"]
    assert "that collaborator-1 has 3 ids" in _outputs(folder / "initiator.ipynb")


@pytest.mark.slow
def test_plain_papermill_one_process_a_party_does_the_same(tmp_path, environment, server):
    environment["PLAYGROUND_REDIS_URL"] = server.url
    running = []
    for role in ("host", "collaborator"):
        source, target = TEMPLATES / "hetero_tabular" / f"{role}.ipynb", tmp_path / f"{role}.ipynb"
        rounds = ["-p", "max_rounds", "3"] if role == "host" else []
        command = [sys.executable, "-m", "papermill", str(source), str(target), *rounds]
        running.append(
            subprocess.Popen(
                command, cwd=tmp_path, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
        )
    for process in running:
        text, _ = process.communicate(timeout=120)
        assert process.returncode == 0, text

    assert "| together |" in _outputs(tmp_path / "host.ipynb")
    assert "host learned" in _outputs(tmp_path / "collaborator.ipynb")
