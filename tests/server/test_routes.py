"""Every route: what it answers, whom it refuses, and what it never touches."""

from __future__ import annotations

import json
import os
from pathlib import Path

import nbformat
import pytest
from tornado.httpclient import HTTPClientError

from playground_ext.logs.record import LogRecord, encode_batch
from playground_ext.party.lease import Lease
from playground_ext.runner.history import find_records, hold
from playground_ext.runner.parameters import read_parameters_cell
from playground_ext.runner.plan import make_plan
from playground_ext.runner.templates import check, load, read_notebook
from playground_ext.server.describing import describe
from playground_ext.server.paths import Root

ROUTES = [
    ("GET", "templates"),
    ("GET", "federations"),
    ("POST", "federations"),
    ("POST", "runs"),
    ("GET", "tasks"),
    ("GET", "tasks/past"),
    ("DELETE", "tasks/past"),
    ("POST", "tasks/past/stop"),
    ("POST", "tasks/past/rerun"),
    ("POST", "tasks/past/resume"),
    ("POST", "tasks/past/replay"),
    ("GET", "tasks/past/logs"),
    ("GET", "tasks/past/metrics"),
    ("GET", "tasks/past/messages"),
    ("GET", "tasks/past/timeline"),
    ("GET", "tasks/past/traffic"),
]


@pytest.mark.parametrize("authorization", [None, "token wrong"])
async def test_without_the_token_every_route_refuses_and_does_nothing(
    jp_serverapp, http_server_client, jp_base_url, past_run, authorization
):
    folder = past_run()
    headers = {"Authorization": authorization} if authorization else {}
    for method, path in ROUTES:
        body = {"body": "{}"} if method == "POST" else {}
        with pytest.raises(HTTPClientError) as refused:
            await http_server_client.fetch(
                f"{jp_base_url}playground/{path}", method=method, headers=headers, follow_redirects=False, **body
            )
        assert refused.value.code in (401, 403), f"{method} {path}"
    assert folder.is_dir()


async def test_the_websocket_refuses_without_the_token(jp_serverapp, jp_ws_fetch):
    with pytest.raises(HTTPClientError) as refused:
        await jp_ws_fetch("playground", "live", headers={"Authorization": "token wrong"})
    assert refused.value.code == 403


async def test_templates_say_all_that_the_dialog_needs(api):
    code, found = await api("GET", "templates")

    (fed_avg,) = [template for template in found if template["name"] == "fed_avg"]
    assert code == 200
    assert [(role["name"], role["count"], role["minimum"], role["maximum"]) for role in fed_avg["roles"]] == [
        ("aggregator", 1, 1, 1),
        ("collaborator", 2, 1, None),
    ]
    assert [role["initiator"] for role in fed_avg["roles"]] == [True, False]
    parameters = {parameter["name"]: parameter for parameter in fed_avg["parameters"]}
    assert parameters["max_rounds"] == {
        "name": "max_rounds",
        "type": "integer",
        "default": 5,
        "minimum": 1,
        "maximum": 1000,
        "choices": None,
        "help": "rounds: train, average, test",
        "unit": "",
    }
    assert parameters["split"]["choices"] == ["iid", "label", "dirichlet"]


# ---------------------------------------------------------------------------------------------------------- federations


async def test_a_federation_has_a_notebook_for_each_party_with_the_chosen_values(api, jp_root_dir):
    (jp_root_dir / "work").mkdir()
    order = {"template": "fed_avg", "name": "mine", "directory": "work", "roles": {"collaborator": 3}}
    code, made = await api("POST", "federations", {**order, "parameters": {"max_rounds": 2, "split": "label"}})

    parties = ["aggregator", "collaborator-1", "collaborator-2", "collaborator-3"]
    assert code == 201
    assert made["folder"] == "work/mine"
    assert [(party["party"], party["path"]) for party in made["parties"]] == [
        (party, f"work/mine/{party}.ipynb") for party in parties
    ]
    for party in parties:
        path = jp_root_dir / "work" / "mine" / f"{party}.ipynb"
        nbformat.validate(nbformat.read(path, as_version=4))
        notebook = read_notebook(path)
        values = read_parameters_cell(notebook, name=path.name)
        assert (values["task_id"], values["party_id"], values["collaborators"]) == ("mine", party, 3)
        assert values["max_rounds"] == 2
        assert notebook["metadata"]["playground"] == {
            "template": "fed_avg",
            "role": party.split("-")[0],
            "party": party,
            "task": "mine",
            "format": 1,
        }
    source = "".join(notebook["cells"][2]["source"])
    assert 'split = "label"  # "iid", "label" or "dirichlet"; the same for every collaborator' in source

    code, same = await api("GET", "federations", path="work/mine/collaborator-2.ipynb")
    assert (code, same) == (200, made)
    assert (await api("GET", "federations", path="work/mine"))[1] == made


async def test_a_federation_folder_is_one_that_playground_run_takes_as_it_is(api, jp_root_dir):
    await api("POST", "federations", {"template": "psi", "name": "ids", "parameters": {"protocol": "rsa"}})
    folder = jp_root_dir / "ids"
    plan = make_plan(load(folder))

    assert check(folder) == []
    assert {party.name: party.source.name for party in plan.parties} == {
        party: f"{party}.ipynb" for party in ["initiator", *(p.name for p in plan.parties if p.role == "collaborator")]
    }
    assert plan.parameters["protocol"] == "rsa"


async def test_a_folder_that_exists_is_left_alone_and_another_name_proposed(api, jp_root_dir):
    (jp_root_dir / "mine").mkdir()
    (jp_root_dir / "mine-2").mkdir()

    code, said = await api("POST", "federations", {"template": "fed_avg", "name": "mine"})

    assert (code, said["message"]) == (409, "mine exists already in this folder")
    assert said["next_step"].endswith("mine-3")
    assert list((jp_root_dir / "mine").iterdir()) == []


WRONG = [
    ({"template": "nothing"}, "template"),
    ({"template": "../../templates/fed_avg"}, "template"),
    ({"name": "../escape"}, "name"),
    ({"name": "all"}, "name"),
    ({"name": ""}, "name"),
    ({"directory": "../.."}, "directory"),
    ({"directory": "/etc/../.."}, "directory"),
    ({"directory": ".hidden"}, "directory"),
    ({"directory": "link"}, "directory"),
    ({"directory": "missing"}, "directory"),
    ({"roles": {"collaborator": 0}}, "collaborator"),
    ({"roles": {"aggregator": 2}}, "aggregator"),
    ({"roles": {"boss": 1}}, "boss"),
    ({"roles": {"collaborator": "two"}}, "roles"),
    ({"parameters": {"max_rounds": 0}}, "max_rounds"),
    ({"parameters": {"max_rounds": "many"}}, "max_rounds"),
    ({"parameters": {"seed": [1]}}, "seed"),
    ({"parameters": {"split": "fair"}}, "split"),
    ({"parameters": {"task_id": "x"}}, "task_id"),
    ({"parameters": {"unknown": 1}}, "unknown"),
    ({"surprise": 1}, "surprise"),
]


async def test_wrong_values_are_named_and_nothing_is_written(api, jp_root_dir, tmp_path):
    (tmp_path / "outside").mkdir()
    (jp_root_dir / "link").symlink_to(tmp_path / "outside")
    before = sorted(tmp_path.rglob("*.ipynb"))

    for change, field in WRONG:
        code, said = await api("POST", "federations", {"template": "fed_avg", "name": "mine", **change})

        assert code == 400, change
        assert said["field"].split("[")[0] == field, change
        assert said["message"], change
    assert sorted(tmp_path.rglob("*.ipynb")) == before
    assert list((tmp_path / "outside").iterdir()) == []


async def test_what_is_no_order_is_refused_as_json(api):
    for text in ("", "[]", "{", "null", '"x"', "{}"):
        code, said = await api("POST", "federations", text)

        assert code == 400, text
        assert said["message"].startswith("the request cannot be read")


async def test_paths_outside_the_root_are_refused(api, jp_root_dir, tmp_path):
    (tmp_path / "outside").mkdir()
    mark = {"playground": {"template": "t", "role": "r", "party": "p", "task": "t", "format": 1}}
    secret = {"nbformat": 4, "nbformat_minor": 5, "cells": [], "metadata": mark}
    for place in (tmp_path / "secret.ipynb", tmp_path / "outside" / "secret.ipynb"):
        place.write_text(json.dumps(secret))
    (jp_root_dir / "link").symlink_to(tmp_path / "outside")

    for path in ("../secret.ipynb", "/../../etc", "link/secret.ipynb", "a\\..\\b", ".ssh"):
        code, said = await api("GET", "federations", path=path)

        assert (code, said["field"]) == (400, "path"), path


async def test_notebooks_that_are_no_partys_are_no_federation(api, jp_root_dir):
    nbformat.write(nbformat.v4.new_notebook(), jp_root_dir / "plain.ipynb")

    for path in ("plain.ipynb", "", "missing.ipynb"):
        code, said = await api("GET", "federations", path=path)
        assert (code, said["party"]) == (404, None)


# ---------------------------------------------------------------------------------------------------------------- tasks


async def test_a_run_that_is_over_is_told_by_its_files(api, past_run):
    past_run()

    _, (listed,) = await api("GET", "tasks")
    code, task = await api("GET", "tasks/past")

    assert code == 200
    assert {name: listed[name] for name in ("task", "status", "title", "round", "rounds", "parties", "source")} == {
        "task": "past",
        "status": "finished",
        "title": "FedAvg",
        "round": 2,
        "rounds": 2,
        "parties": 2,
        "source": "background",
    }
    assert listed["folder"] == "runs/past"
    assert listed["size_bytes"] > 500
    assert task["run"] == "abc"
    assert task["notebooks"]["collaborator-1"] == "runs/past/collaborator-1.ipynb"
    assert [(party["party"], party["status"], party["alive"]) for party in task["parties"]] == [
        ("aggregator", "finished", False),
        ("collaborator-1", "finished", False),
    ]


async def test_lines_metrics_and_reports_of_a_run_that_is_over(api, past_run):
    past_run()

    _, newest = await api("GET", "tasks/past/logs", limit="3")
    _, older = await api("GET", "tasks/past/logs", before=str(newest["first"]), limit="100")
    texts = [line["text"] for line in older["records"] + newest["records"]]
    assert texts == [f"{party} {n}" for n in range(1, 6) for party in ("aggregator", "collaborator-1")]  # by time
    assert [line["seq"] for line in older["records"] + newest["records"]] == list(range(1, 11))
    assert older["run"] == newest["run"]

    _, points = await api("GET", "tasks/past/metrics")
    assert [(point["seq"], point["round"], point["value"]) for point in points] == [(1, 1, 0.5), (2, 2, None)]

    _, traffic = await api("GET", "tasks/past/traffic")
    assert [row for row in traffic if row["party"] == "aggregator"] == [
        {"party": "aggregator", "round": 0, "sent": 7, "received": 0},  # 117 in all, 110 in rounds
        {"party": "aggregator", "round": 1, "sent": 100, "received": 40},
        {"party": "aggregator", "round": 2, "sent": 10, "received": 4},
    ]

    _, phases = await api("GET", "tasks/past/timeline")
    mine = [phase for phase in phases if phase["party"] == "aggregator"]
    # rounds of 2 s (0.5 s waiting, 0.25 s transferring) and 1 s (0.25 s waiting), one after the other
    assert [(phase["round"], phase["phase"], phase["seconds"]) for phase in mine] == [
        (1, "wait", 0.5),
        (1, "transfer", 0.25),
        (1, "compute", 1.25),
        (2, "wait", 0.25),
        (2, "transfer", 0.0),
        (2, "compute", 0.75),
    ]
    assert mine[3]["start"] - mine[0]["start"] == pytest.approx(2.0)
    assert (await api("GET", "tasks/past/messages")) == (200, [])


async def test_a_failure_names_the_cell_and_has_the_traceback(api, past_run):
    error = {"type": "ValueError", "message": "broken data", "cell": 3, "line": 2, "consequence": False}
    folder = past_run(status="failed", error=error)
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_markdown_cell("Purpose"), nbformat.v4.new_code_cell("x = 1\nraise ValueError")]
    notebook.cells[1].execution_count = 3
    notebook.cells[1].outputs = [
        nbformat.v4.new_output(
            "error", ename="ValueError", evalue="broken data", traceback=["\x1b[31mValueError\x1b[0m: broken data"]
        )
    ]
    nbformat.write(notebook, folder / "collaborator-1.ipynb")

    _, task = await api("GET", "tasks/past")

    assert task["status"] == "failed"
    assert task["failure"] == task["parties"][1]["error"]
    assert task["failure"] == {
        "party": "collaborator-1",
        "kind": "ValueError",
        "message": "broken data",
        "traceback": "ValueError: broken data",
        "cell": 1,
        "execution_count": 3,
        "line": 2,
        "notebook": "runs/past/collaborator-1.ipynb",
    }


async def test_how_a_run_ended(api, past_run):
    for said, shown in [("interrupted", "interrupted"), ("timeout", "failed"), ("running", "abandoned")]:
        past_run(said, status=said)

        assert (await api("GET", f"tasks/{said}"))[1]["status"] == shown


async def test_a_run_whose_summary_was_read_before_its_runner_ended_it_is_not_abandoned(past_run, runs):
    folder = past_run(status="running")
    with hold(folder, "past"):
        (record,) = find_records()
        summary = json.loads((folder / "summary.json").read_text())
        for party in summary["parties"]:
            party["status"] = "ok"
        (folder / "summary.json").write_text(json.dumps({**summary, "status": "ok"}))
    # now the runner has left, and `record` has what was read while it ran

    assert record.status == "ok"
    task = describe("past", record, None, Root(runs.parent))
    assert (task.status, [party.status for party in task.parties]) == ("finished", ["finished"] * 2)


async def test_unknown_tasks_are_404(api):
    for method, path in [
        ("GET", "tasks/nix"),
        ("DELETE", "tasks/nix"),
        ("POST", "tasks/nix/stop"),
        ("POST", "tasks/nix/rerun"),
        ("POST", "tasks/nix/resume"),
        ("GET", "tasks/nix/logs"),
        ("GET", "tasks/nix/traffic"),
    ]:
        code, said = await api(method, path)
        assert code == 404, path
        assert "'nix'" in said["message"]


async def test_deleting_removes_the_runs_folder_and_nothing_else(api, past_run, runs):
    folder, other = past_run(), past_run("other")

    assert (await api("DELETE", "tasks/past"))[0] == 204
    assert not folder.exists()
    assert other.is_dir()
    assert [task["task"] for task in (await api("GET", "tasks"))[1]] == ["other"]
    assert (await api("DELETE", "tasks/past"))[0] == 404


async def test_what_runs_is_not_deleted(api, past_run):
    folder = past_run()
    lease = Lease(folder / ".runner", party="playground run", task="past")
    lease.acquire()
    try:
        code, said = await api("DELETE", "tasks/past")
    finally:
        lease.release()

    assert (code, said["next_step"]) == (409, "stop it first")
    assert folder.is_dir()


async def test_a_link_among_the_runs_is_not_followed_to_delete(api, past_run, runs, tmp_path):
    folder = past_run()
    away = tmp_path / "away"
    folder.rename(away)
    folder.symlink_to(away)

    code, said = await api("DELETE", "tasks/past")

    assert code == 409
    assert "link" in said["message"]
    assert (away / "summary.json").is_file()
    assert folder.is_symlink()


async def test_names_that_are_paths_reach_no_route(jp_fetch, past_run):
    folder = past_run()
    for name in ("..", "%2e%2e", "..%2fruns", "a%2fb", "x.y"):
        for method in ("GET", "DELETE"):
            with pytest.raises(HTTPClientError) as refused:
                await jp_fetch("playground", "tasks", name, method=method)
            assert refused.value.code in (400, 403, 404, 405), name
    assert folder.is_dir()


async def test_a_folder_of_the_current_directory_is_no_task(api, past_run, tmp_path, monkeypatch):
    past_run("elsewhere").rename(tmp_path / "elsewhere")  # `find_record` would take its path
    monkeypatch.chdir(tmp_path)

    assert (await api("DELETE", "tasks/elsewhere"))[0] == 404
    assert (tmp_path / "elsewhere").is_dir()


async def test_arguments_that_are_no_numbers_are_named(api, past_run):
    past_run()

    for argument, text in [("before", "-1"), ("before", "x"), ("limit", "0"), ("limit", "1e9")]:
        code, said = await api("GET", "tasks/past/logs", **{argument: text})

        assert (code, said["field"]) == (400, argument), text


async def test_opening_lab_starts_no_server(api, tmp_path, past_run):
    past_run()
    for path in ("tasks", "tasks/past", "tasks/past/logs"):
        await api("GET", path)

    runtime = Path(os.environ["PLAYGROUND_RUNTIME"])
    assert [path for path in runtime.iterdir() if path.name.startswith("w-") and path.is_dir()] == []


# ------------------------------------------------------------------------------------------------ notebooks run by hand


@pytest.fixture
def by_hand(tmp_path):
    """Write what notebooks that were run by hand left, without a server that remembers them."""

    def write(task: str, *, last: LogRecord | None = None, report: bool = False) -> Path:
        folder = tmp_path / "parties" / task / "aggregator"
        (folder / "latest" / "results").mkdir(parents=True)
        lines = [LogRecord(5.0, "aggregator", "INFO", None, 1, "log", "hello"), *([last] if last else [])]
        (folder / "logs.jsonl").write_bytes(encode_batch(lines))
        if report:
            (folder / "latest" / "results" / "report.json").write_text('{"role": "aggregator", "rounds": 4}')
        return folder.parent

    return write


async def test_how_notebooks_that_were_run_by_hand_ended_is_read_from_their_files(api, by_hand):
    text = "Traceback (most recent call last):\n  cell [3], line 1\nValueError: broken data"
    by_hand("whole", report=True)
    by_hand("broken", last=LogRecord(6.0, "aggregator", "ERROR", 2, 2, "error", text))
    by_hand("left")

    _, listed = await api("GET", "tasks")

    assert {task["task"]: (task["status"], task["source"], task["folder"]) for task in listed} == {
        "whole": ("finished", "notebooks", None),
        "broken": ("failed", "notebooks", None),
        "left": ("abandoned", "notebooks", None),
    }
    failure = (await api("GET", "tasks/broken"))[1]["failure"]
    assert (failure["kind"], failure["message"], failure["traceback"]) == ("ValueError", "broken data", text)
    assert (await api("POST", "tasks/whole/rerun"))[0] == 409
    _, said = await api("GET", "tasks/left/logs")
    assert [line["text"] for line in said["records"]] == ["hello"]


async def test_a_task_of_which_somebody_is_alive_is_not_deleted(api, by_hand):
    folder = by_hand("left")
    lease = Lease(folder / "aggregator" / "lease", party="aggregator", task="left")
    lease.acquire()
    try:
        assert (await api("DELETE", "tasks/left"))[0] == 409
    finally:
        lease.release()
    assert (await api("DELETE", "tasks/left"))[0] == 204
    assert not folder.exists()


async def test_deleting_takes_the_task_off_the_server_too(api, speakers, tmp_path):
    talk = speakers()
    talk.open("ended")
    talk.leave()

    assert (await api("DELETE", "tasks/talk"))[0] == 204
    assert talk.connection.client.keys("pg:*") == []
    assert not (tmp_path / "parties" / "talk").exists()
