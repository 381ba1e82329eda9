"""The recipes for CI: their shell runs, and the examples that call them are files of their kind."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from paths import MODULES
from warm_kernels import WarmKernels

REPOSITORY = Path(__file__).resolve().parents[2]
RECIPES = REPOSITORY / ".ci" / "recipes"
SMALL = ["-p", "max_rounds", "1", "-p", "samples", "200"]


@pytest.fixture
def recipe(
    tmp_path: Path, session_cache: Path, warm_kernels: WarmKernels
) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a recipe as CI would: in the checkout, with the environment's commands on the PATH."""
    runtime = Path(tempfile.mkdtemp(prefix="pgt", dir="/tmp"))  # tmp_path is too long for sockets
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PLAYGROUND_")}
    environment |= {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "RESULTS": str(tmp_path / "results"),
        "PLAYGROUND_RUNTIME": str(runtime),
        "PYTHONPATH": MODULES,
        "PLAYGROUND_CACHE": str(session_cache),
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "MPLBACKEND": "template",  # draws nothing
        "JUPYTER_PATH": str(warm_kernels.jupyter_path),
    }

    warm_kernels.lend(runtime, environment)

    def start(name: str, *arguments: str, **more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(RECIPES / name), *arguments],
            cwd=REPOSITORY,
            env=environment | more,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    yield start
    shutil.rmtree(runtime, ignore_errors=True)


def finished(process: subprocess.Popen[str]) -> tuple[int, str]:
    output, _ = process.communicate(timeout=170)
    return process.returncode, output


@pytest.mark.slow
def test_a_one_run_leaves_a_junit_report_and_artefacts(recipe, tmp_path):
    arguments = [word.replace(" ", "=") for word in ("-p", "max_rounds 1", "-p", "samples 200")]

    code, output = finished(recipe("one_run.sh", "fed_avg", "--parties", "3", *arguments))

    assert code == 0, output
    results = tmp_path / "results"
    suite = ElementTree.parse(results / "junit.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures")) == ("3", "0")
    for name in ("aggregator.ipynb", "collaborator-2.ipynb", "logs.jsonl", "metrics.csv", "model.safetensors"):
        assert (results / name).stat().st_size > 0


def test_a_one_run_fails_with_its_parties(recipe, tmp_path):
    notebook = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    broken = {"cell_type": "code", "source": "1 / 0", "metadata": {}, "outputs": [], "execution_count": None, "id": "a"}
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "alice.ipynb").write_text(json.dumps(notebook | {"cells": [broken]}))

    code, output = finished(recipe("one_run.sh", str(tmp_path / "broken")))

    assert code == 1, output
    assert ElementTree.parse(tmp_path / "results" / "junit.xml").getroot()[0].get("failures") == "1"


@pytest.mark.slow
def test_b_all_parties_run_in_one_job_and_leave_nothing_running(recipe, tmp_path):
    process = recipe("all_parties.sh", *SMALL)
    code, output = finished(process)

    assert code == 0, output
    assert [line for line in output.splitlines() if line.endswith(": ok")] == [
        "aggregator-1: ok",
        "collaborator-1: ok",
        "collaborator-2: ok",
    ]
    assert "The server is stopped." in output
    results = tmp_path / "results"
    for party in ("aggregator", "collaborator-1", "collaborator-2"):
        said = json.loads((results / f"{party}.ipynb").read_text())
        assert any("all 3 parties are here" in str(cell.get("outputs")) for cell in said["cells"])
        assert list((results / "parties").glob(f"*/{party}/latest/results/report.json"))


@pytest.mark.slow
def test_b_all_parties_fail_when_one_does(recipe):
    code, output = finished(recipe("all_parties.sh", *SMALL, "-p", "split", "nonsense", COLLABORATORS="1"))

    assert code == 1
    assert "collaborator-1: failed" in output
    assert "ValueError" in output
    assert "aggregator-1: failed" in output


def test_b_all_parties_end_with_the_job(recipe):
    process = recipe("all_parties.sh", COLLABORATORS="3")  # they would take a minute

    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(2)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)

    assert process.returncode == 130


def test_c_one_party_says_what_it_lacks(recipe):
    code, output = finished(recipe("one_party.sh", "aggregator"))
    assert code != 0
    assert "set TASK to one name" in output
    code, output = finished(recipe("one_party.sh"))
    assert code != 0
    assert "which role" in output


@pytest.mark.parametrize("name", ["github-actions.yml", "gitlab-ci.yml"])
def test_the_examples_call_scripts_that_exist(name):
    said = yaml.safe_load((RECIPES / name).read_text("utf-8"))
    called = set(re.findall(r"\.ci/recipes/(\w+\.sh)", json.dumps(said, default=str)))
    assert called == {path.name for path in RECIPES.glob("*.sh")}


def test_the_scripts_can_be_executed():
    for script in RECIPES.glob("*.sh"):
        assert os.access(script, os.X_OK)
        subprocess.run(["bash", "-n", script], check=True)
