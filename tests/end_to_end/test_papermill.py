"""The shipped notebooks under plain papermill: one process per party, nothing of ours between them but the library."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

import pytest
from sandbox import CHECKOUT, HEADROOM, TEMPLATE, Job, Notebook, Sandbox, bring_own_data, edit, logged

DEADLINE = 10.0 * HEADROOM  # seconds in which everybody ends after one party failed
PARTIES = {"aggregator": "aggregator", "collaborator": "collaborator-1"}


def papermill(sandbox: Sandbox, role: str, cwd: Path, *more: str, source: Path = TEMPLATE, warm: bool = True) -> Job:
    """`warm`: the kernel that papermill starts is forked, which is faster; it is plain ipykernel otherwise."""
    samples = ["-p", "samples", "300"] if role == "collaborator" else []
    words = ["-p", "max_rounds", "2", *samples, *more]
    output = sandbox.folder / f"{role}.ipynb"
    kernels = {} if warm else {"JUPYTER_PATH": ""}
    command = [sys.executable, "-m", "papermill", source / f"{role}.ipynb", output, *words]
    return sandbox.start(*command, cwd=cwd, **kernels)


@pytest.mark.parametrize("where", ["repository", "elsewhere"])
def test_one_process_per_party_trains_from_any_folder(sandbox, where):
    """`-p task_id 0012345` reaches the notebook as a number."""
    folder = CHECKOUT if where == "repository" else sandbox.folder / "unrelated"
    folder.mkdir(exist_ok=True)
    sandbox.shares_a_server_in(folder)
    warm = where == "repository"
    jobs = {role: papermill(sandbox, role, folder, "-p", "task_id", "0012345", warm=warm) for role in PARTIES}

    for job in jobs.values():
        assert job.wait() == 0, job.output

    home = sandbox.folder / "home" / "12345"
    said = logged(home / "aggregator" / "logs.jsonl") + logged(home / "collaborator-1" / "logs.jsonl")
    for role, party in PARTIES.items():
        notebook = Notebook(sandbox.folder / f"{role}.ipynb")
        assert f"I am {party} in task 12345" in notebook.printed
        assert notebook.lines == said
        assert notebook.errors == ""
    assert said["collaborator-1", 2, "I trained on 300 digits"] == 1
    models = list(home.glob("*/latest/results/model.safetensors"))
    assert len(models) == 2
    assert models[0].read_bytes() == models[1].read_bytes()
    sandbox.stop_shared_servers()
    assert sandbox.left_behind() == []


@pytest.fixture
def own_task(sandbox: Sandbox) -> Path:
    """A copy of the template, in a folder of its own, to break something in."""
    folder = sandbox.folder / "own_task"
    shutil.copytree(TEMPLATE, folder)
    bring_own_data(folder)
    sandbox.shares_a_server_in(folder)
    return folder


def failed_at(folder: Path) -> str:
    """Python that notes when it was reached."""
    return f"import pathlib, time; pathlib.Path({str(folder / 'failed-at')!r}).write_text(str(time.time()))"


def everyone_ended_in_time(sandbox: Sandbox, own_task: Path, *jobs: Job) -> None:
    for job in jobs:
        code = job.wait()
        late = time.time() - float((own_task / "failed-at").read_text())
        assert code == 1, job.output
        assert late < DEADLINE, job.output


def test_a_party_that_fails_before_it_joins_ends_the_others_with_its_traceback(sandbox, own_task):
    edit(
        own_task / "aggregator.ipynb",
        "model",
        "        return F.log_softmax",
        "        return missing_layer",
    )
    edit(own_task / "aggregator.ipynb", "try", "batch = ", f"{failed_at(own_task)}\nbatch = ")
    waiting, failing = (papermill(sandbox, role, own_task, source=own_task) for role in ("collaborator", "aggregator"))

    everyone_ended_in_time(sandbox, own_task, waiting, failing)

    place = Notebook(sandbox.folder / "aggregator.ipynb").place("model", "missing_layer")
    saved = Notebook(sandbox.folder / "collaborator.ipynb").errors
    for text in (waiting.output, saved):
        assert f"PartyFailed: aggregator failed ({place}): NameError: name 'missing_layer' is not defined" in text
        assert "return missing_layer(self.fc2(x), dim=-1)" in text
        assert "mend it in aggregator's notebook" in text
    assert "NameError: name 'missing_layer' is not defined" in failing.output


@pytest.mark.parametrize("failing_role", list(PARTIES))
def test_a_party_whose_imports_fail_ends_the_others_with_its_traceback(sandbox, own_task, failing_role):
    """Before its cell with `mock_context`: who it is can only be told from its parameters."""
    waiting_role = next(role for role in PARTIES if role != failing_role)
    broken = f"# isort: split\n{failed_at(own_task)}\nimport my_scanner\n"
    edit(own_task / f"{failing_role}.ipynb", "imports", "# isort: split\n", broken)
    warm = failing_role == "aggregator"
    waiting, failing = (
        papermill(sandbox, role, own_task, source=own_task, warm=warm) for role in (waiting_role, failing_role)
    )

    everyone_ended_in_time(sandbox, own_task, waiting, failing)

    place = Notebook(sandbox.folder / f"{failing_role}.ipynb").place("imports", "my_scanner")
    said = f"PartyFailed: {PARTIES[failing_role]} failed ({place}): ModuleNotFoundError: No module named 'my_scanner'"
    for text in (waiting.output, Notebook(sandbox.folder / f"{waiting_role}.ipynb").errors):
        assert said in text
        assert "    import my_scanner" in text


def test_a_party_that_fails_in_training_ends_the_others_with_its_traceback(sandbox, own_task):
    broken = f"""        if self.current_round == 2:
            {failed_at(own_task)}
            raise ValueError('the scanner is on fire')
"""
    edit(own_task / "collaborator.ipynb", "scheduler", "        self.model.train()\n", broken)
    waiting, failing = (papermill(sandbox, role, own_task, source=own_task) for role in ("aggregator", "collaborator"))

    everyone_ended_in_time(sandbox, own_task, waiting, failing)

    place = Notebook(sandbox.folder / "collaborator.ipynb").place("scheduler", "on fire")
    notebook = Notebook(sandbox.folder / "aggregator.ipynb")
    for text in (waiting.output, notebook.errors):
        assert f"PartyFailed: collaborator-1 failed ({place}): ValueError: the scanner is on fire" in text
        assert "raise ValueError('the scanner is on fire')" in text
    assert "ValueError: the scanner is on fire" in notebook.pane
    assert "ValueError: the scanner is on fire" in failing.output
    assert "ValueError: the scanner is on fire" in Notebook(sandbox.folder / "collaborator.ipynb").errors
