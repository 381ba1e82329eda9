"""`--restart-failed`, `playground resume` where there is nothing to resume, and a server that dies, without torch."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from playground_ext.bus.connection import Connection
from playground_ext.errors import ServerError
from playground_ext.runner.kernel import KernelDied
from playground_ext.runner.notebook import Failure
from playground_ext.runner.own_server import own_server
from playground_ext.runner.plan import make_plan, prepare
from playground_ext.runner.plan_file import KeptPlan, code_digest, read_plan, write_plan
from playground_ext.runner.points import settled_points
from playground_ext.runner.progress import Board, MetricPoint
from playground_ext.runner.recovery import Restarts, keep_attempt
from playground_ext.runner.templates import load

COUNT = "import os\nattempt = len(os.listdir('attempts')) if os.path.exists('attempts') else 0\n"
WAIT = "import time; time.sleep(60)"


def failure(error="ValueError", consequence=False):
    return Failure("alice", error, "why", "", Path("alice.ipynb"), 0.0, consequence=consequence)


def test_a_notebook_is_started_again_from_its_top_in_a_new_kernel(playground, make_folder):
    told = (
        "print(attempt, os.environ.get('PLAYGROUND_RESUME'), os.environ['PLAYGROUND_ON_PARTY_FAILURE'], 'x' in vars())"
    )
    folder = make_folder(alice=[COUNT + told, "x = 1\nif attempt == 0: raise ValueError('first')"], bob=["1"])

    code, output = playground("run", folder, "--restart-failed", 3)

    assert code == 0, output
    assert (
        "alice failed: ValueError: first (alice.ipynb, cell [2], line 2); starting it again, attempt 1 of 3" in output
    )
    assert playground.text_of("alice") == "1 1 wait False\n"
    assert (playground.run_folder / "attempts" / "alice.attempt-1.ipynb").is_file()
    (alice, bob) = json.loads((playground.run_folder / "summary.json").read_text())["parties"]
    assert [attempt["notebook"] for attempt in alice["attempts"]] == ["attempts/alice.attempt-1.ipynb"]
    assert "attempts" not in bob
    assert playground.left_behind() == []


def test_after_its_last_attempt_the_run_ends_with_who_failed_and_how_often(playground, make_folder):
    kill = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    folder = make_folder(alice=[kill], bob=[WAIT])

    code, output = playground("run", folder, "--restart-failed", 2, "--task", "t")

    assert code == 1
    assert [f"attempt {number} of 2" in output for number in (1, 2, 3)] == [True, True, False]
    assert "alice failed in alice.ipynb, cell [1], after it was started again 2 times" in output
    assert "KernelDied: the kernel was killed by SIGKILL" in output
    assert json.loads((playground.run_folder / "summary.json").read_text())["first_failure"] == "alice"
    assert playground.left_behind() == []

    code, output = playground("resume", "t")
    assert code == 2
    assert "t cannot be resumed: it was over before its first checkpoint" in output
    assert f"start anew: playground run {folder}" in output


def test_ctrl_c_ends_a_run_that_is_starting_a_party_again(playground, make_folder):
    folder = make_folder(alice=["raise ValueError('again')"], bob=["open('busy', 'w').close()", WAIT])
    process = playground.start("run", folder, "--restart-failed", 1000)
    deadline = time.monotonic() + 60
    while not list((playground.folder / "runs").glob("*/attempts/alice.attempt-2.ipynb")):
        assert time.monotonic() < deadline
        time.sleep(0.05)

    process.send_signal(signal.SIGINT)

    output, _ = process.communicate(timeout=20)
    assert process.returncode == 130, output
    assert playground.left_behind() == []


@pytest.mark.parametrize(
    ("task", "says"), [("nothing", "nothing named 'nothing' was run here"), ("t", "t has finished")]
)
def test_what_cannot_be_resumed_says_why(playground, make_folder, task, says):
    assert playground("run", make_folder(alice=["1"]), "--task", "t")[0] == 0

    code, output = playground("resume", task)

    assert code == 2
    assert says in output
    assert "Traceback" not in output


def test_a_run_that_is_running_cannot_be_resumed(playground, make_folder):
    process = playground.start("run", make_folder(alice=["open('busy', 'w').close()", WAIT]), "--task", "t")
    deadline = time.monotonic() + 60
    while not list((playground.folder / "runs").glob("*/busy")):
        assert time.monotonic() < deadline
        time.sleep(0.05)

    code, output = playground("resume", "t")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)

    assert code == 2
    assert "t is running" in output


def test_a_party_is_started_again_as_often_as_was_said():
    restarts = Restarts(2)

    assert [restarts.next(failure()) for _ in range(3)] == [1, 2, None]
    assert Restarts(0).next(failure()) is None


def test_consequences_start_nothing_again_but_a_run_that_was_opened_anew():
    restarts = Restarts(9)

    assert restarts.next(failure("PartyFailed", consequence=True)) is None
    assert restarts.next(failure("RunReplaced", consequence=True)) == 1
    assert restarts.next(failure(KernelDied.__name__)) == 2


def test_attempts_are_kept_one_after_the_other(tmp_path):
    notebook = tmp_path / "alice.ipynb"
    kept = []
    for text in ("one", "two"):
        notebook.write_text(text)
        kept.append(keep_attempt(notebook))

    assert [(path.name, path.read_text()) for path in kept] == [
        ("alice.attempt-1.ipynb", "one"),
        ("alice.attempt-2.ipynb", "two"),
    ]


def test_the_table_shows_which_attempt_it_is():
    board = Board([("alice", "a")])

    board.restart("alice", 2, 3)
    begun = board.rows()[0].state
    board.cell("alice", 4, 9)

    assert (begun, board.rows()[0].state) == ("restarting (2 of 3)", "restarting (2 of 3), cell 4 of 9")


def test_a_plan_comes_back_from_its_file(two_roles, tmp_path):
    plan = make_plan(load(two_roles), parties=4, assignments=["rounds=3", "rate=0.25"], task="t")
    run = tmp_path / "run"
    run.mkdir()

    write_plan(run, KeptPlan(plan, plain=True, restarts=2, code={"aggregator": "x"}))

    assert read_plan(run) == KeptPlan(plan, plain=True, restarts=2, code={"aggregator": "x"})
    assert read_plan(tmp_path) is None


def test_a_notebooks_code_is_what_was_typed_not_what_was_injected(two_roles, tmp_path, playground):
    before = code_digest(two_roles / "aggregator.ipynb")
    code, output = playground("run", two_roles, "--task", "t")
    assert code == 0, output
    executed = playground.run_folder / "aggregator.ipynb"
    assert "injected-parameters" in executed.read_text()

    assert code_digest(executed) == before
    executed.write_text(executed.read_text().replace("helper.greeting", "helper.greeting.upper()"))
    assert code_digest(executed) != before


def test_of_modules_the_newer_file_counts(two_roles, tmp_path):
    plan = make_plan(load(two_roles), task="t")
    run = tmp_path / "run"
    run.mkdir()
    prepare(plan, run, lambda party, named, language: "python3")
    sources = {party.name: party.source for party in plan.parties}
    (run / "helper.py").write_text("changed = 'here'\n")

    prepare(plan, run, lambda party, named, language: "python3", sources=sources)
    kept = (run / "helper.py").read_text()
    (two_roles / "helper.py").write_text("changed = 'there'\n")
    later = time.time() + 5
    os.utime(two_roles / "helper.py", (later, later))
    prepare(plan, run, lambda party, named, language: "python3", sources=sources)

    assert (kept, (run / "helper.py").read_text()) == ("changed = 'here'\n", "changed = 'there'\n")


def test_rounds_that_were_played_twice_count_once(tmp_path):
    (tmp_path / "metrics.csv").write_text(
        "time,party,round,name,value\n1.0,alice,1,test/accuracy,0.5\n3.0,alice,2,test/accuracy,0.75\n4.0,alice,"
    )
    twice = [MetricPoint("alice", 1, "test/accuracy", value, time) for value, time in ((0.5, 1.0), (0.4, 2.0))]
    other = MetricPoint("bob", 1, "train/loss", 9.0, 2.0)

    found = settled_points([*twice, other], {"alice": tmp_path, "bob": tmp_path / "none"})

    assert [(p.party, p.round, p.value) for p in found] == [("alice", 1, 0.5), ("bob", 1, 9.0), ("alice", 2, 0.75)]


def test_the_private_server_comes_back_within_a_second_at_the_same_address(tmp_path, monkeypatch):
    said: list[str] = []
    with own_server(said.append) as server:
        url, before = server.url, server.pid
        with Connection(url) as connection:
            connection.client.set("x", 1)
        began = time.monotonic()
        os.kill(before, signal.SIGKILL)
        while not said and time.monotonic() < began + 5:
            time.sleep(0.01)
        seconds = time.monotonic() - began
        with Connection(url) as connection:
            assert connection.client.get("x") is None, "without its data"
        assert (server.url, server.pid == before) == (url, False)
    assert len(said) == 1
    assert seconds < 1.5  # 0.1 s on an idle machine
    with pytest.raises(ServerError):
        server.restart()
