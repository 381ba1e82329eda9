"""Data checks before training, and metric sets of users. Both belong to every scheduler; split learning uses them."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from playground_ext.errors import ConfigError
from playground_ext.scheduler import DataChecker, register_metrics

PARTIES = Path(__file__).with_name("split_parties.py")


def _play(federation: Any, host: Any, collaborator: Any) -> Any:
    host_options, collaborator_options = {"options": {"check": host}}, {"options": collaborator}
    return federation(
        PARTIES,
        {
            "host": ("changed", {"base": "host", "change": "Checked", "key": "host", **host_options}),
            "collaborator-1": (
                "changed",
                {"base": "collaborator", "change": "Checked", "key": "collaborator-1", **collaborator_options},
            ),
        },
    )


@pytest.mark.parametrize("by_hand", [False, True], ids=["given to the scheduler", "executed by hand"])
def test_a_failed_check_stops_the_task_before_training_and_shows_every_result(federation, by_hand):
    answers = _play(federation, True, {"check": (False, "three columns are missing"), "by hand": by_hand})

    assert answers["host"].error == "CheckInError"
    for answer in answers.values():
        expected = "host passed; collaborator-1 failed (three columns are missing)"
        assert expected in answer.text


def test_an_exception_in_a_check_is_its_reason(federation):
    answers = _play(federation, (True, "72 rows"), {"check": "raises"})

    assert "host passed (72 rows); collaborator-1 failed (FileNotFoundError: no scan.csv)" in answers["host"].text


def test_checks_that_pass_are_logged_and_training_goes_on(federation):
    answers = _play(federation, (True, "72 rows"), {"check": True})

    assert answers["host"]["rounds"] == 1
    lines = (Path(answers["host"]["folder"]).parents[1] / "logs.jsonl").read_text()
    assert "data check: ColumnChecker passed: 72 rows" in lines


def test_a_check_that_answers_something_else_is_explained():
    class Silent(DataChecker):
        def verify_data(self):
            return None

    with pytest.raises(ConfigError, match=r"Silent.verify_data\(\) returned None"):
        Silent("task").execute_verification()


def _measure(federation: Any, **options: Any) -> Any:
    host = {"base": "host", "change": "Measured", "key": "host", "max_rounds": 2, "options": options}
    return federation(
        PARTIES, {"host": ("changed", host), "collaborator-1": ("collaborator", {"key": "collaborator-1"})}
    )["host"]


def test_each_metric_set_becomes_a_csv_file_and_metric_points(federation):
    answer = _measure(federation, item={})

    rows = list(csv.reader((Path(answer["folder"]) / "test_results.csv").read_text().splitlines()))
    assert rows[0] == ["round", "average_loss", "accuracy"]
    assert [(row[0], row[1]) for row in rows[1:]] == [("1", "1.25"), ("2", "1.25")]
    timer = (Path(answer["folder"]) / "timer.csv").read_text().splitlines()
    assert timer == ["round,run_time", "1,0.5", "2,0.5"]
    points = {(name, round): value for name, round, value in answer["metrics"]}
    assert points["test_results/average_loss", 2] == 1.25
    assert points["timer/run_time", 1] == 0.5
    assert list(Path(answer["folder"]).glob("events.out.tfevents.*"))


def test_wrong_keys_are_an_error_that_names_the_registered_ones(federation):
    answer = _measure(federation, item={"accurracy": 1})

    assert answer.error == "ConfigError"
    assert "'test_results' has the unknown accurracy" in answer.text
    assert "give exactly the registered keys: average_loss, accuracy" in answer.text


def test_an_unregistered_set_is_an_error_that_names_the_registered_ones(federation):
    answer = _measure(federation, item={}, set="results")

    assert "Measured has no metric set 'results'" in answer.text
    assert "the registered ones are: timer, test_results" in answer.text or "test_results, timer" in answer.text


@pytest.mark.parametrize(("name", "keys"), [("metrics", ["a"]), ("a/b", ["a"]), ("fine", []), ("fine", ["a", "a"])])
def test_a_set_that_cannot_be_registered_is_refused_where_it_is_written(name, keys):
    with pytest.raises(ConfigError):
        register_metrics(name=name, keys=keys)
