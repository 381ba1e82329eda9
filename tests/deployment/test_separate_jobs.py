"""Recipe c as CI runs it: a job for each party, which shares with the others nothing but a Redis server.

Every job's shell comes out of the example files. Each job has its own checkout, home and temporary folder and, where
the system allows that without privileges, its own machine name, so that no party looks at another one's files.
"""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import matplotlib
import pytest
import yaml
from paths import MODULES
from warm_kernels import WarmKernels

from playground_ext.bus.connection import Connection
from playground_ext.bus.server import EmbeddedServer

REPOSITORY = Path(__file__).resolve().parents[2]
RECIPES = REPOSITORY / ".ci" / "recipes"
INSTALL = "pip install ."  # the environment of the tests has it
PARTIES = ["aggregator", "collaborator-1", "collaborator-2"]
BROKEN = 'raise OSError("no data on this machine")'


@dataclass(frozen=True)
class Job:
    """One party's job, as its CI would start it."""

    script: str
    environment: Mapping[str, str]


def gitlab_jobs(url: str) -> list[Job]:
    """The jobs of `parallel: matrix:`; GitLab puts variables into the environment and lets the shell expand them."""
    file = yaml.safe_load((RECIPES / "gitlab-ci.yml").read_text("utf-8"))
    job = file["one-party"]
    assert job["rules"] == [{"if": "$PLAYGROUND_REDIS_URL"}]
    given = {"PLAYGROUND_REDIS_URL": url, "CI_PIPELINE_ID": "4711"}
    variables = {name: re.sub(r"\$(\w+)", lambda found: given[found[1]], v) for name, v in job["variables"].items()}
    script = "\n".join(line for line in [*file["default"]["before_script"], *job["script"]] if line != INSTALL)
    (matrix,) = job["parallel"]["matrix"]
    return [Job(script, given | variables | {"PARTY": party}) for party in matrix["PARTY"]]


def github_jobs(url: str) -> list[Job]:
    """The jobs of `strategy: matrix:`; GitHub replaces its expressions in environment and script."""
    job = yaml.safe_load((RECIPES / "github-actions.yml").read_text("utf-8"))["jobs"]["one-party"]
    known = {"secrets.PLAYGROUND_REDIS_URL": url, "github.run_id": "4711", "github.run_attempt": "1"}

    def filled(text: str, party: str) -> str:
        values = known | {"matrix.party": party}
        return re.sub(r"\$\{\{ *([\w.]+) *\}\}", lambda found: values[found[1]], text)

    steps = [step["run"] for step in job["steps"] if step.get("run", INSTALL) != INSTALL]
    return [
        Job(filled("\n".join(steps), party), {name: filled(value, party) for name, value in job["env"].items()})
        for party in job["strategy"]["matrix"]["party"]
    ]


@functools.cache
def own_machine_name(number: int) -> list[str]:
    """A command prefix that gives a job its own name of the machine, or nothing where that is not allowed."""
    if shutil.which("unshare") is None:
        return []
    prefix = ["unshare", "--user", "--map-root-user", "--uts", "sh", "-c", f'hostname job-{number}; exec "$@"', "sh"]
    return prefix if subprocess.run([*prefix, "true"], capture_output=True, timeout=10).returncode == 0 else []


@pytest.fixture
def redis() -> Iterator[EmbeddedServer]:
    """Reached over TCP with a password, as a server between machines would be."""
    with EmbeddedServer(port=0) as server:
        yield server


@pytest.fixture
def start(tmp_path: Path, warm_kernels: WarmKernels) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Runs a job's script in a checkout of its own, with an environment of its own.

    `warm`: its kernel is forked, which is faster, by a process that keeps this machine's name.
    """
    started: list[subprocess.Popen[str]] = []
    private = Path(tempfile.mkdtemp(prefix="pgj", dir="/tmp"))  # tmp_path is too long for sockets

    def run(job: Job, number: int, *, warm: bool = False) -> subprocess.Popen[str]:
        checkout = checkout_of(tmp_path, number)
        home = private / str(number)
        home.mkdir()
        kept = {name: os.environ[name] for name in ("LANG", "LC_ALL", "TZ") if name in os.environ}
        environment = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": MODULES,
            "HOME": str(home),
            "TMPDIR": str(home),
            "PLAYGROUND_RUNTIME": str(home / "r"),
            "OMP_NUM_THREADS": "1",
            "MPLBACKEND": "template",  # draws nothing
            "MPLCONFIGDIR": matplotlib.get_cachedir(),  # or it looks for all fonts once more
            "CI": "true",
        }
        if warm:
            environment["JUPYTER_PATH"] = str(warm_kernels.jupyter_path)
            warm_kernels.lend(home / "r", kept | environment)
        started.append(
            subprocess.Popen(
                [*([] if warm else own_machine_name(number)), "bash", "-e", "-c", job.script],
                cwd=checkout,
                env=kept | environment | dict(job.environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        )
        return started[-1]

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=10)
    shutil.rmtree(private, ignore_errors=True)


def checkout_of(folder: Path, number: int) -> Path:
    """What a job's checkout holds of the repository, made at its first use."""
    checkout = folder / f"job-{number}"
    if not checkout.exists():
        for part in (".ci/recipes", "templates/fed_avg"):
            shutil.copytree(REPOSITORY / part, checkout / part, ignore=shutil.ignore_patterns("__pycache__"))
        (checkout / ".git").mkdir()
    return checkout


def add_cell(notebook: Path, source: str, *, after: str) -> None:
    said: dict[str, Any] = json.loads(notebook.read_text("utf-8"))
    cell = {
        "cell_type": "code",
        "source": source,
        "metadata": {},
        "outputs": [],
        "execution_count": None,
        "id": "added",
    }
    place = next(number for number, one in enumerate(said["cells"]) if one["id"] == after)
    said["cells"].insert(place + 1, cell)
    notebook.write_text(json.dumps(said))


def finish(processes: list[subprocess.Popen[str]], timeout: float = 160) -> list[str]:
    deadline = time.monotonic() + timeout
    return [process.communicate(timeout=max(1.0, deadline - time.monotonic()))[0] for process in processes]


def test_both_examples_start_the_same_parties():
    shells = []
    for jobs in (gitlab_jobs("redis://x"), github_jobs("redis://x")):
        commands = [re.sub(r"\$(\w+)", lambda found, job=job: job.environment[found[1]], job.script) for job in jobs]
        settings = [{name: job.environment[name] for name in ("PLAYGROUND_REDIS_URL", "COLLABORATORS")} for job in jobs]
        shells.append((commands, settings))

    assert shells[0] == shells[1]


@pytest.mark.slow
def test_jobs_that_share_only_a_server_train_one_model(redis, start, tmp_path):
    jobs = gitlab_jobs(redis.url)

    processes = [start(job, number) for number, job in enumerate(jobs)]
    said = finish(processes)

    assert [process.returncode for process in processes] == [0, 0, 0], "\n".join(said)
    models = set()
    for number, party in enumerate(PARTIES):
        results = tmp_path / f"job-{number}" / "ci-results"
        notebook = json.loads((results / f"{party}.ipynb").read_text("utf-8"))
        outputs = json.dumps([cell.get("outputs") for cell in notebook["cells"]])
        assert "all 3 parties are here" in outputs
        assert all(other in outputs for other in PARTIES), "everyone's lines"
        (report,) = (results / "parties").glob(f"ci-4711*/{party}/latest/results/report.json")
        assert json.loads(report.read_text())["rounds"] == 3
        models.add((report.parent / "model.safetensors").read_bytes())
        assert not list((results / "parties").glob("*/[!" + party[0] + "]*")), "no other party's folder"
        written = [path for path in (tmp_path / f"job-{number}").rglob("*") if path.is_file() and not path.is_symlink()]
        password = urlsplit(redis.url).password or ""
        assert [path for path in written if password.encode() in path.read_bytes()] == [], "artefacts hold no password"
        assert password not in said[number]
    assert len(models) == 1, "the same final model everywhere"
    with Connection(redis.url) as connection:
        assert connection.client.exists("pg:tasks"), "they met at this server"


@pytest.mark.slow
def test_when_one_job_fails_the_others_fail_with_its_traceback(redis, start, tmp_path):
    jobs = github_jobs(redis.url)
    add_cell(checkout_of(tmp_path, 2) / "templates/fed_avg/collaborator.ipynb", BROKEN, after="who")

    processes = [start(job, number, warm=True) for number, job in enumerate(jobs)]
    said = finish(processes)

    assert all(process.returncode != 0 for process in processes)
    for number, party in enumerate(PARTIES):
        saved = (tmp_path / f"job-{number}" / "ci-results" / f"{party}.ipynb").read_text("utf-8")
        assert "no data on this machine" in said[number]
        assert "no data on this machine" in saved
