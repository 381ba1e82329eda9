from __future__ import annotations

import csv
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from playground_ext.runner.closing import closing_text
from playground_ext.runner.notebook import Failure, find_place, plain
from playground_ext.runner.outcome import Outcome, first_failure
from playground_ext.runner.plan import make_plan
from playground_ext.runner.progress import Board, MetricPoint
from playground_ext.runner.report import write_reports
from playground_ext.runner.templates import load


def failure(party, error="ValueError", at=0.0, consequence=False):
    return Failure(party, error, "why", "traceback", Path(f"{party}.ipynb"), at, 3, 4, consequence)


def first(failures, fails=None):
    found = first_failure(failures, fails or {}, Path())
    return None if found is None else found.party


def test_the_earliest_failure_that_is_no_consequence_is_the_first():
    early = failure("a", "PartyFailed", at=1, consequence=True)

    assert first([early, failure("b", at=3), failure("c", at=2)]) == "c"
    assert first([early]) == "a"
    assert first([]) is None


def test_the_servers_order_counts_more_than_when_the_runner_noticed():
    failures = [failure("a", at=10.0), failure("b", at=11.0)]

    assert first(failures, {"a": {"log_id": "9000-1"}, "b": {"log_id": "9000-0"}}) == "b"
    assert first(failures, {"b": {"log_id": "9500-0"}}) == "b"  # 9.5 s, before a's 10 s


def test_a_party_that_told_of_a_failure_which_its_notebook_survived_is_the_first():
    told = {"b": {"error": "KeyError: 'x'", "cell": "cell [9]", "line": "line 13", "traceback": "t", "log_id": "1-0"}}

    found = first_failure([failure("a", "PartyFailed", consequence=True)], told, Path())

    assert found is not None
    assert (found.error, found.message, found.place) == ("KeyError", "'x'", "b.ipynb, cell [9], line 13")


@pytest.mark.parametrize(
    ("traceback", "place"),
    [
        ("Cell In[10], line 2\n---> 2 run()\nFile x.py:3, in f\nCell In[9], line 13, in Demo.train(self)", (9, 13)),
        ("ModelMismatch: …\n  at /tmp/ipykernel_12/345.py:7 in <module>", (4, 7)),
        ("no frames", (4, None)),
    ],
)
def test_the_place_of_a_failure_is_the_innermost_frame_of_the_notebook(traceback, place):
    assert find_place(traceback, 4) == place


def test_colours_and_control_characters_are_removed():
    assert plain("\x1b[0;31mred\x1b[0m\x00\x07 ok\n\ttab") == "red ok\n\ttab"


@pytest.fixture
def outcome(two_roles, tmp_path):
    plan = make_plan(load(two_roles), task="t")
    folder = tmp_path / "run"
    board = Board([(party.name, party.role) for party in plan.parties])
    board.run = "r1"
    lines = {"aggregator": [1.0, 4.0], "collaborator-1": [2.0, 3.0]}
    for party, moments in lines.items():
        results = folder / "parties" / "t" / party / "r1" / "results"
        results.mkdir(parents=True)
        (results / "model.safetensors").write_bytes(party.encode())
        (results / "events.out.tfevents.1.x").write_bytes(b"events")
        text = "".join(json.dumps({"time": moment, "party": party}) + "\n" for moment in moments)
        (folder / "parties" / "t" / party / "logs.jsonl").write_text(text + '{"time": 9')  # killed while writing
    for number, value in ((1, 0.5), (2, 0.75)):
        board.metric(MetricPoint("aggregator", number, "test/accuracy", value, float(number)))
    return Outcome(plan, folder, "embedded", 0.0, board, party_seconds=dict.fromkeys(plan.nodes, 1.5), seconds=2.0)


def test_a_run_leaves_log_metrics_events_model_and_summary(outcome):
    assert write_reports(outcome) == []

    folder = outcome.folder
    assert [json.loads(text)["time"] for text in (folder / "logs.jsonl").read_text().splitlines()] == [1, 2, 3, 4]
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["party"], row["round"], row["name"], row["value"]) for row in rows] == [
        ("aggregator", "1", "test/accuracy", "0.5"),
        ("aggregator", "2", "test/accuracy", "0.75"),
    ]
    assert (folder / "model.safetensors").read_bytes() == b"aggregator"
    assert (folder / "tensorboard" / "collaborator-1" / "events.out.tfevents.1.x").exists()
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["status"], summary["run"], summary["model"]) == ("ok", "r1", "model.safetensors")
    assert summary["parameters"] == {"rounds": 2, "rate": 0.5}
    assert summary["accuracy"]["aggregator"][1] == {"round": 2, "accuracy": 0.75}


def test_the_closing_text_says_accuracy_where_things_are_and_three_things_to_try(outcome):
    write_reports(outcome)

    text = closing_text(outcome, [])

    assert "75.00%" in text
    assert "executed notebooks are in" in text
    assert "model.safetensors" in text
    assert len(text.split("Try next\n")[1].splitlines()) == 3


def test_the_last_value_of_every_metric_is_in_summary_and_closing_text(outcome):
    for party, number, name, value in (
        ("aggregator", 1, "comparison/plain_fed_avg", 0.625),
        ("aggregator", 2, "comparison/plain_fed_avg", 0.875),
        ("aggregator", 2, "comparison/other", 0.75),
        ("aggregator", 2, "train/loss", 1.0),
        ("collaborator-1", 2, "train/loss", 3.0),
    ):
        outcome.board.metric(MetricPoint(party, number, name, value, 10.0 + number))
    write_reports(outcome)

    final = json.loads((outcome.folder / "summary.json").read_text())["final_metrics"]
    assert final["aggregator"] == {
        "test/accuracy": {"round": 2, "value": 0.75},
        "comparison/plain_fed_avg": {"round": 2, "value": 0.875},
        "comparison/other": {"round": 2, "value": 0.75},
        "train/loss": {"round": 2, "value": 1.0},
    }
    said = closing_text(outcome, []).split("last values\n")[1].split("\n\n")[0]
    assert [line.split(None, 2) for line in said.splitlines()] == [  # accuracy has a table of its own
        ["comparison/plain_fed_avg", "0.8750"],
        ["comparison/other", "0.7500"],
        ["train/loss", "2.0000", "(mean of 2 parties)"],  # of 1 and 3
    ]


def test_only_the_first_failure_fails_in_junit_and_the_rest_is_skipped(outcome):
    outcome.failures = {
        "collaborator-1": failure("collaborator-1", at=1.0),
        "aggregator": failure("aggregator", "PartyFailed", at=0.5, consequence=True),
    }
    write_reports(outcome)

    suite = ElementTree.parse(outcome.folder / "junit.xml").getroot()[0]
    assert [case.get("name") for case in suite if case.find("failure") is not None] == ["collaborator-1"]
    assert [case.get("name") for case in suite if case.find("skipped") is not None] == ["aggregator"]
    assert outcome.exit_code == 1


def test_a_report_that_cannot_be_written_hides_no_other(outcome):
    (outcome.folder / "metrics.csv").mkdir()

    problems = write_reports(outcome)

    assert problems == ["metrics.csv could not be written: Is a directory"]
    assert (outcome.folder / "summary.json").exists()
