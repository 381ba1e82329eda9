"""Runs in the background: real runners and real kernels on a tiny federation."""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path

import nbformat
import pytest

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


async def test_a_run_that_cannot_begin_says_why(api, tiny):
    (tiny / "aggregator.ipynb").write_text("{}")

    code, said = await api("POST", "runs", {"path": "tiny", "task": "broken"})
    assert (code, said) == (202, {"task": "broken"})
    ended = await until(api, "broken", "failed")

    assert "aggregator.ipynb is not a notebook" in ended["failure"]["message"]
    assert [task["status"] for task in (await api("GET", "tasks"))[1]] == ["failed"]
    assert (await api("DELETE", "tasks/broken"))[0] == 204
    assert (await api("GET", "tasks/broken"))[0] == 404


@pytest.mark.parametrize(
    ("order", "field"),
    [
        ({"path": "nothing"}, "template"),
        ({"path": "../tiny"}, "path"),
        ({"path": "/etc/x"}, "path"),
        ({"path": ""}, "path"),
        ({"path": "tiny", "task": "a/b"}, "task"),
        ({"path": "tiny", "roles": {"collaborator": 9}}, "collaborator"),
        ({"path": "tiny", "parameters": {"rounds": 0}}, "rounds"),
        ({"parameters": {}}, "path"),
    ],
)
async def test_a_wrong_order_is_named_and_nothing_is_started(api, tiny, runs, order, field):
    code, said = await api("POST", "runs", order)

    assert code == 400
    assert said.get("field") in (field, "")
    assert not list(runs.glob("*"))


async def test_notebooks_that_are_run_by_hand_are_the_pages_to_stop(api, speakers):
    speakers().open()

    code, said = await api("POST", "tasks/talk/stop")

    assert code == 409
    assert "interrupt them" in said["next_step"]
    assert (await api("DELETE", "tasks/talk"))[0] == 409
