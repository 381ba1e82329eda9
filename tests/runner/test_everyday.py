"""`ls`, `show`, `logs`, `clean`: on a real run, and on folders that earlier ones left."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from playground_ext.logs.record import LogRecord
from playground_ext.party.lease import Lease
from playground_ext.runner import reading
from playground_ext.runner.history import find_record, find_records, hold
from playground_ext.runner.screen import fit, size_text, time_text

# One number goes round: nothing here needs torch, so it takes seconds.
COUNTING = """
from playground_ext import logger, mock_context
from playground_ext.scheduler.base import Scheduler

class Counting(Scheduler):
    kinds = ("number",)
    def _prepare(self): pass
    def _check_in(self): return {}
    def _play(self):
        (other,) = [node for node in self.nodes if node != self.id]
        while self.current_round < self.max_rounds:
            self.current_round += 1
            with self._reported_round([other]), self.session.user_code("counting", self.current_round):
                self.session.mailbox.send(other, "number", b"x" * 1000, round=self.current_round)
                self.session.mailbox.receive(other, "number", round=self.current_round, timeout=30)
                logger.info("counted to %d", self.current_round)
                self.session.metrics.add(self.current_round, {"test/accuracy": self.current_round / 10})
"""
RUN = """
import os
with mock_context(id=os.environ["PLAYGROUND_PARTY"], nodes=["alice", "bob"], task_id=os.environ["PLAYGROUND_TASK"]):
    Counting(max_rounds=3).run()
"""
WAIT_FOR_FILE = """
import pathlib
class Waiting(Counting):
    def _play(self):
        logger.warning("first words")
        with self.session.user_code("waiting", 1):
            while not pathlib.Path("go").exists():
                self.session.watch.wait(0.1)
        logger.info("last words")
with mock_context(id=os.environ["PLAYGROUND_PARTY"], nodes=["alice", "bob"], task_id=os.environ["PLAYGROUND_TASK"]):
    Waiting().run()
"""


def old_run(runs: Path, name: str, *, days: float, status: str = "ok", **more: object) -> Path:
    folder = runs / name
    party = folder / "parties" / name / "alice"
    party.mkdir(parents=True)
    began = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(time.time() - days * 86_400))
    said = {"format": 1, "task": name, "template": "fed_avg", "status": status, "began": began, "seconds": 3.5}
    said |= {"parties": [{"party": "alice", "role": "aggregator", "status": status}], **more}
    (folder / "summary.json").write_text(json.dumps(said))
    (party / "logs.jsonl").write_text("")
    return folder


def write_logs(path: Path, party: str, *lines: tuple[float, str, int | None, str]) -> None:
    records = [
        {"time": moment, "party": party, "level": level, "round": round_, "seq": seq, "source": "log", "text": text}
        for seq, (moment, level, round_, text) in enumerate(lines, 1)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def test_a_finished_run_is_listed_shown_and_read(playground, make_folder):
    folder = make_folder(alice=[COUNTING, RUN], bob=[COUNTING, RUN])
    code, output = playground("run", folder, "--task", "count")
    assert code == 0, output

    code, output = playground("ls")
    assert code == 0
    assert [line.split()[:4] for line in output.splitlines()[:2]] == [
        ["task", "status", "template", "parties"],
        ["count", "ok", "folder", "2"],
    ]
    (listed,) = json.loads(playground("ls", "--json")[1])
    assert (listed["name"], listed["status"], listed["parties"]) == ("count", "ok", ["alice", "bob"])
    assert listed["accuracy"] == 0.3

    code, output = playground("show", "count")
    assert code == 0
    assert "count: ok" in output
    assert "waiting for others" in output
    assert "3.0 kB" in output  # three times 1,000 bytes
    assert "test/accuracy (mean of 2)" in output
    assert "test/accuracy      0.3000  (mean of 2 parties)" in output.split("last values")[1]
    said = json.loads(playground("show", "count", "--json")[1])
    assert [party["rounds"] for party in said["parties"]] == [3, 3]
    assert said["parties"][0]["sent"] == {"bob": 3000}
    assert len(said["metrics"]) == 6
    assert said["final_metrics"]["bob"]["test/accuracy"] == {"round": 3, "value": 0.3}

    code, output = playground("logs", "count", "--party", "bob", "--round", "2")
    assert code == 0
    assert [line.split()[1:] for line in output.splitlines()] == [["bob", "round", "2", "counted", "to", "2"]]
    lines = [json.loads(line) for line in playground("logs", "count", "--json")[1].splitlines()]
    assert {line["party"] for line in lines} == {"alice", "bob"}
    assert [line["time"] for line in lines] == sorted(line["time"] for line in lines)
    assert playground("logs", "count", "--follow")[1] == playground("logs", "count")[1], (
        "it has ended: nothing to await"
    )


def test_following_a_run_shows_what_comes_and_ends_with_it(playground, make_folder):
    cells = [COUNTING, "import os" + WAIT_FOR_FILE]
    folder = make_folder(alice=cells, bob=cells)
    run = playground.start("run", folder, "--task", "live")
    for line in run.stdout:
        if "bob" in line and "first words" in line:
            break

    follower = playground.start("logs", "live", "--follow", "--level", "WARNING")
    early = follower.stdout.readline()
    code, refused = playground("clean", "live", "--yes")
    listed = json.loads(playground("ls", "--json")[1])[0]
    (playground.run_folder / "go").touch()

    assert "first words" in early
    assert "Still running, so kept: live" in refused
    assert (code, listed["status"]) == (0, "running")
    everything = playground.start("logs", "live", "--follow")
    rest, _ = everything.communicate(timeout=60)
    assert rest.count("first words") == 2, "once for each party, though file and stream both hold them"
    assert rest.count("last words") == 2
    assert follower.wait(30) == 0
    assert run.wait(30) == 0
    assert json.loads(playground("ls", "--json")[1])[0]["status"] == "ok"
    assert not (playground.run_folder / ".runner").exists()


def test_notebooks_run_by_hand_are_listed_too(playground):
    home = Path(playground.environment["XDG_DATA_HOME"]) / "playground"
    for party in ("aggregator", "alice"):
        write_logs(home / "mine" / party / "logs.jsonl", party, (10.0, "INFO", None, "hello"))
        results = home / "mine" / party / "run1" / "results"
        results.mkdir(parents=True)
        (home / "mine" / party / "latest").symlink_to("run1")
        report = {"rounds": 2, "seconds": 9.5, "nodes": ["aggregator", "alice"], "sent": {"x": 10}, "received": {}}
        report |= {"role": "collaborator", "round_reports": [{"round": 1, "seconds": 4.0, "waited": 1.0}]}
        (results / "report.json").write_text(json.dumps(report))

    (listed,) = json.loads(playground("ls", "--json")[1])
    code, output = playground("show", "mine")

    assert (listed["name"], listed["template"], listed["status"]) == ("mine", None, "ok")
    assert code == 0
    assert "notebooks run by hand" in output
    assert "hello" in playground("logs", "mine")[1]


def test_unknown_names_say_which_there_are(playground):
    old_run(playground.folder / "runs", "older", days=1)

    code, output = playground("show", "nothing")
    assert code == 2
    assert "nothing named 'nothing' was run here" in output
    assert "older" in output
    code, output = playground("logs", "older", "--party", "zoe")
    assert code == 2
    assert "these took part: alice" in output
    code, output = playground("logs", "older", "--level", "loud")
    assert code == 2
    assert "DEBUG, INFO" in output


def test_clean_asks_first_and_says_how_much(playground):
    runs = playground.folder / "runs"
    old, new = old_run(runs, "old", days=20), old_run(runs, "new", days=1)
    (old / "model.safetensors").write_bytes(b"x" * 50_000)

    process = playground.start("clean")  # nobody answers
    output, _ = process.communicate(timeout=30)
    assert "50." in output
    assert "kB" in output
    assert old.exists()
    code, output = playground("clean", "--yes")
    assert code == 0
    assert "Younger than 7 days, so kept: 1 run" in output
    assert not old.exists()
    assert new.exists()
    playground("clean", "--older-than", "0", "-y")
    assert list(runs.iterdir()) == []
    assert "There is nothing to remove" in playground("clean")[1]


def test_clean_leaves_what_is_no_run(playground):
    runs = playground.folder / "runs"
    (runs / "thesis").mkdir(parents=True)
    (runs / "thesis" / "chapter.txt").write_text("years of work")

    playground("clean", "--older-than", "0", "-y")

    assert (runs / "thesis" / "chapter.txt").exists()


def test_a_party_that_runs_protects_its_task(tmp_path, monkeypatch):
    monkeypatch.setenv("PLAYGROUND_RUNS", str(tmp_path / "runs"))
    folder = old_run(tmp_path / "runs", "busy", days=30, status="running")
    assert find_record("busy").status == "killed"  # it says that it runs, but nobody holds it

    with hold(folder, "busy"):
        assert find_record("busy").status == "running"
    lease = Lease(folder / "parties" / "busy" / "alice" / "lease", party="alice", task="busy")
    lease.acquire()
    try:
        assert find_record("busy").status == "running"
    finally:
        lease.release()


def test_a_run_is_found_by_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    old_run(tmp_path / "elsewhere", "there", days=1)

    record = find_record("elsewhere/there")
    assert (record.task, record.name) == ("there", "elsewhere/there")
    assert find_records() == []


def test_the_newest_of_two_runs_of_one_task_is_meant(tmp_path, monkeypatch):
    monkeypatch.setenv("PLAYGROUND_RUNS", str(tmp_path))
    old_run(tmp_path, "first", days=3, task="same")
    old_run(tmp_path, "second", days=1, task="same")

    assert find_record("same").folder.name == "second"
    assert find_record("first").folder.name == "first"


def test_a_torn_last_line_and_nonsense_are_skipped(tmp_path):
    path = tmp_path / "logs.jsonl"
    write_logs(path, "alice", (1.0, "INFO", None, "one"), (2.0, "INFO", None, "two"))
    path.write_text(path.read_text() + "nonsense\n" + '{"time": 3')
    offsets: dict[Path, int] = {}

    assert [line.text for line in reading._written([path], offsets)] == ["one", "two"]
    assert offsets[path] == os.path.getsize(path) - len('{"time": 3')


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (reading.Wanted(), ["debug", "info", "warning", "error"]),
        (reading.Wanted(level="WARNING"), ["warning", "error"]),
        (reading.Wanted(round=2), ["info"]),
        (reading.Wanted(parties={"bob"}), []),
    ],
)
def test_lines_are_chosen_by_party_level_and_round(wanted, expected):
    lines = [
        LogRecord(1.0, "alice", level.upper(), 2 if level == "info" else 1, seq, "log", level)
        for seq, level in enumerate(("debug", "info", "warning", "error"))
    ]
    assert [line.text for line in lines if wanted(line)] == expected


def test_a_line_that_was_shown_is_not_new_even_when_it_is_long_ago(monkeypatch):
    monkeypatch.setattr(reading, "REMEMBERED", 3)
    seen = reading._Seen()
    lines = [LogRecord(float(moment), "alice", "INFO", None, moment, "log", "x") for moment in range(10)]

    assert all(seen.is_new(line) for line in lines)
    assert not any(seen.is_new(line) for line in lines)


def test_sizes_times_and_errors_are_short():
    assert [size_text(size) for size in (0, 999, 1000, 87_360, 2_500_000)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "87.4 kB",
        "2.5 MB",
    ]
    assert [time_text(seconds) for seconds in (3.21, 90, 7200, 86_400, 900_000)] == [
        "3.2 s",
        "2 min",
        "2 h",
        "1 day",
        "10 days",
    ]
    text = "\n".join(f"line {number}" for number in range(100))
    short = fit(text, 10).splitlines()
    assert (len(short), short[0], short[-1]) == (10, "line 0", "line 99")
    assert "lines …" in short[3]
