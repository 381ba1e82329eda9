"""Runs in the background: real runners and real kernels on a tiny federation."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from playground_ext.kernel.listing import stop_zygotes, zygotes
from playground_ext.kernel.specs import install
from playground_ext.runner.history import find_records

DECLARATION = """
title = "Two roles"

[roles.aggregator]
notebook = "aggregator.ipynb"
initiator = true

[roles.collaborator]
notebook = "collaborator.ipynb"
minimum = 1
maximum = 3

[parameters.rounds]
type = "integer"
default = 2
minimum = 1
"""
PARAMETERS = 'task_id = "here"\nparty_id = ""\nparty_index = 1\ncollaborators = 1\nrounds = 2\n'


@pytest.fixture
def tiny(jp_root_dir: Path) -> Path:
    """A federation whose notebooks print, and wait where a file tells them to."""
    folder = jp_root_dir / "tiny"
    folder.mkdir()
    (folder / "template.toml").write_text(DECLARATION)
    for role in ("aggregator", "collaborator"):
        notebook = nbformat.v4.new_notebook()
        notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
        work = "import pathlib, time\nprint(party_id, rounds)\n"
        work += 'while pathlib.Path("../../tiny/wait").exists():\n    time.sleep(0.1)'
        notebook.cells = [
            nbformat.v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}),
            nbformat.v4.new_code_cell(work),
        ]
        nbformat.write(notebook, folder / f"{role}.ipynb")
    return folder


async def until(api, task: str, *statuses: str) -> dict:
    deadline = time.monotonic() + 60
    while True:
        code, said = await api("GET", f"tasks/{task}")
        assert code == 200, said
        if said["status"] in statuses:
            return said
        assert time.monotonic() < deadline, said
        await asyncio.sleep(0.2)


async def test_a_run_ends_with_its_notebooks_listed_and_the_originals_untouched(api, page, tiny, runs):
    before = {path.name: path.read_bytes() for path in tiny.iterdir()}
    async with page() as one:
        await one.say(subscribe="tasks")
        code, said = await api(
            "POST", "runs", {"path": "tiny", "roles": {"collaborator": 2}, "parameters": {"rounds": 7}}
        )
        assert code == 202
        task = said["task"]
        await one.watch(task, ["parties"])
        first = await one.until("parties")  # at once, before there is a run folder
        assert [party["party"] for party in first["parties"]] == ["aggregator", "collaborator-1", "collaborator-2"]
        assert first["status"] in ("waiting", "running")
        await one.until(
            "tasks", lambda tasks: [(t["task"], t["status"]) for t in tasks] == [(task, "finished")], timeout=60
        )

    ended = await until(api, task, "finished")
    assert {path.name: path.read_bytes() for path in tiny.iterdir()} == before
    for party, path in ended["notebooks"].items():
        assert path == f"runs/{task}/{party}.ipynb"
        notebook = nbformat.read(runs.parent / path, as_version=4)
        assert notebook.cells[-1].outputs[0].text == f"{party} 7\n"
    assert [party["status"] for party in ended["parties"]] == ["finished"] * 3

    code, said = await api("POST", f"tasks/{task}/rerun")
    again = said["task"]
    assert (code, again == task) == (202, False)
    await until(api, again, "finished")
    assert (runs / again / "collaborator-2.ipynb").is_file()

    assert (await api("DELETE", f"tasks/{task}"))[0] == 204
    assert [entry["task"] for entry in (await api("GET", "tasks"))[1]] == [again]


async def test_a_running_one_is_stopped_like_ctrl_c_and_not_deleted_before(api, tiny, runs):
    (tiny / "wait").touch()
    _, said = await api("POST", "runs", {"path": "tiny", "task": "mine"})
    assert said == {"task": "mine"}
    await until(api, "mine", "running")
    assert (await api("DELETE", "tasks/mine"))[0] == 409
    assert (await api("POST", "tasks/mine/rerun"))[0] == 409
    assert (await api("POST", "runs", {"path": "tiny", "task": "mine"}))[0] == 409
    (record,) = find_records()
    session = os.getsid(json.loads((record.folder / ".runner").read_text())["pid"])
    assert session != os.getsid(0)  # what ends this Jupyter does not end it

    assert (await api("POST", "tasks/mine/stop"))[0] == 200
    ended = await until(api, "mine", "interrupted")
    assert ended["folder"] == "runs/mine"
    (tiny / "wait").unlink()
    assert (await api("POST", "tasks/mine/stop"))[0] == 409


async def test_one_that_is_about_to_begin_is_stopped_too_also_where_ctrl_c_is_ignored(api, tiny):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in a Jupyter that a shell has put into the background
    try:
        (tiny / "wait").touch()
        await api("POST", "runs", {"path": "tiny", "task": "mine"})
        assert (await api("POST", "tasks/mine/stop"))[0] == 200
        await until(api, "mine", "interrupted")
    finally:
        signal.signal(signal.SIGINT, before)


async def test_a_run_that_cannot_begin_says_why(api, tiny):
    (tiny / "aggregator.ipynb").write_text("{}")

    code, said = await api("POST", "runs", {"path": "tiny", "task": "broken"})
    assert (code, said) == (202, {"task": "broken"})
    ended = await until(api, "broken", "failed")

    assert "aggregator.ipynb is not a notebook" in ended["failure"]["message"]
    assert [task["status"] for task in (await api("GET", "tasks"))[1]] == ["failed"]
    assert (await api("DELETE", "tasks/broken"))[0] == 204
    assert (await api("GET", "tasks/broken"))[0] == 404


async def test_wrong_orders_are_named_and_nothing_is_started(api, tiny, runs):
    for order, field in [
        ({"path": "nothing"}, "template"),
        ({"path": "../tiny"}, "path"),
        ({"path": "/etc/x"}, "path"),
        ({"path": ""}, "path"),
        ({"path": "tiny", "task": "a/b"}, "task"),
        ({"path": "tiny", "roles": {"collaborator": 9}}, "collaborator"),
        ({"path": "tiny", "parameters": {"rounds": 0}}, "rounds"),
        ({"parameters": {}}, "path"),
    ]:
        code, said = await api("POST", "runs", order)

        assert code == 400, order
        assert said.get("field") in (field, ""), order
    assert not list(runs.glob("*"))


async def test_notebooks_that_are_run_by_hand_are_the_pages_to_stop(api, speakers):
    speakers().open()

    code, said = await api("POST", "tasks/talk/stop")

    assert code == 409
    assert "interrupt them" in said["next_step"]
    assert (await api("DELETE", "tasks/talk"))[0] == 409


TRAINING = """
import pathlib
import torch
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset
from playground_ext.fed_avg import FedAvgScheduler

class Demo(FedAvgScheduler):
    def build_model(self):
        return nn.Linear(2, 2)
    def build_optimizer(self, model):
        return optim.SGD(model.parameters(), lr=0.1)
    def build_train_dataloader(self):
        return DataLoader(TensorDataset(torch.ones(4, 2), torch.zeros(4, dtype=torch.long)), batch_size=4)
    def build_test_dataloader(self):
        return self.build_train_dataloader()
    def train_an_epoch(self):
        if self.current_round == 2 and pathlib.Path("../../tiny/broken").exists():
            raise ValueError("broken")
    def run_test(self):
        return {}

Demo(max_rounds=rounds, log_rounds=1).launch_task(task_id)
"""


@pytest.fixture
def warm(lab_environment, jp_environ, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The roles' kernels, forked: torch is imported once."""
    monkeypatch.delenv("PLAYGROUND_WARM")
    install(user=True, warm=True)  # pytest-jupyter hides this environment's kernels
    yield
    stop_zygotes()


async def test_a_run_in_warm_kernels_fails_is_resumed_after_its_checkpoint_and_replayed(api, tiny, runs, warm):
    for notebook in tiny.glob("*.ipynb"):
        node = nbformat.read(notebook, as_version=4)
        node.metadata.kernelspec["name"] = f"playground-{notebook.stem}"
        node.cells[1].source = TRAINING
        nbformat.write(node, notebook)
    (tiny / "broken").touch()
    assert (await api("GET", "templates"))[0] == 200  # a page shows the launcher, which warms what the kernels ask
    deadline = time.monotonic() + 60
    while not (warmed := await asyncio.to_thread(zygotes)):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)
    await api("POST", "runs", {"path": "tiny", "task": "mine"})
    failed = await until(api, "mine", "failed")
    assert (failed["failure"]["party"], failed["failure"]["message"]) == ("collaborator-1", "broken")
    (tiny / "broken").unlink()

    code, said = await api("POST", "tasks/mine/resume")

    assert (code, said) == (202, {"task": "mine"})
    assert (await api("POST", "tasks/mine/resume"))[0] == 409  # it has begun
    await until(api, "mine", "waiting", "running", "finished")  # until its runner is there, it has failed
    ended = await until(api, "mine", "finished", "failed", "abandoned")
    assert ended["status"] == "finished", ended
    assert [(party["status"], party["round"]) for party in ended["parties"]] == [("finished", 2)] * 2
    (zygote,) = await asyncio.to_thread(zygotes)  # one for both roles, and for both attempts of each
    assert (zygote.status.pid, zygote.status.born) == (warmed[0].status.pid, 4)
    logs = (runs / "mine" / "logs.jsonl").read_text()
    assert "going on after round 1, from its checkpoint" in logs

    code, said = await api("POST", "tasks/mine/replay", {"party": "collaborator-1", "round": 2})
    assert (code, said) == (200, {"path": "runs/mine/replay-collaborator-1-round-2.ipynb"})
    replayed = nbformat.read(runs / "mine" / "replay-collaborator-1-round-2.ipynb", as_version=4)
    assert any("PLAYGROUND_REPLAY" in cell.source for cell in replayed.cells)
    code, said = await api("POST", "tasks/mine/replay", {"party": "collaborator-1", "round": 9})
    assert code == 400
    assert "round 9 of collaborator-1 in mine was not kept" in said["message"]


async def test_what_the_runner_says_against_resuming_reaches_the_page(api, past_run, monkeypatch):
    past_run()
    code, said = await api("POST", "tasks/past/resume")
    assert (code, "has finished" in said["message"]) == (409, True)

    past_run("stopped", status="interrupted")
    code, said = await api("POST", "tasks/stopped/resume")
    assert (code, said["message"]) == (409, "stopped cannot be resumed: it was over before its first checkpoint")
    assert said["next_step"] == "start anew: playground run fed_avg"

    # the runner's own refusal, when it is too late for a look beforehand
    monkeypatch.setattr("playground_ext.runner.resume.examine", lambda record: None)
    code, said = await api("POST", "tasks/stopped/resume")
    assert (code, said["next_step"]) == (409, "start anew: playground run fed_avg")
    assert "could not be resumed: stopped cannot be resumed: it was over before" in said["message"]


async def test_what_cannot_be_replayed_is_named(api, past_run):
    past_run()

    for body, field in [({"party": "nobody", "round": 1}, "party"), ({"party": "aggregator", "round": 0}, "round")]:
        code, said = await api("POST", "tasks/past/replay", body)
        assert (code, said["field"]) == (400, field)
    code, said = await api("POST", "tasks/past/replay", {"party": "aggregator", "round": 1})
    assert code == 400
    assert "round 1 of aggregator in past was not kept" in said["message"]


async def test_nothing_is_warmed_where_kernels_are_to_be_ordinary_processes(api):
    assert (await api("GET", "templates"))[0] == 200  # PLAYGROUND_WARM=0, see conftest
    await asyncio.sleep(0.3)

    assert await asyncio.to_thread(zygotes) == []
