from __future__ import annotations

import pytest

from playground_ext.errors import ParameterError, TemplateError
from playground_ext.runner.parameters import Parameter, describe, read_parameters_cell, read_values

DECLARED = {
    "rounds": Parameter(type="integer", default=5, minimum=1, maximum=1000, help="how often"),
    "rate": Parameter(type="number", default=0.1, minimum=0),
    "name": Parameter(type="string", default="x"),
    "fast": Parameter(type="boolean", default=False),
    "split": Parameter(type="choice", default="iid", choices=("iid", "label")),
}


def test_texts_become_values_of_the_declared_type():
    texts = ["rounds=7", "rate=1e-3", "name=a=b", "fast=yes", "split=label"]

    values = read_values(texts, DECLARED, owner="t")

    assert values == {"rounds": 7, "rate": 0.001, "name": "a=b", "fast": True, "split": "label"}


@pytest.mark.parametrize(
    "text",
    ["rounds=0", "rounds=1001", "rounds=2.5", "rounds=", "rate=-1", "rate=nan", "rate=inf", "fast=maybe", "split=x"],
)
def test_a_wrong_value_is_refused_with_what_is_allowed(text):
    with pytest.raises(ParameterError, match="is not allowed") as caught:
        read_values([text], DECLARED, owner="t")

    for name in DECLARED:
        assert name in str(caught.value)
    assert "integer, 1 to 1000" in str(caught.value)
    assert "default 5" in str(caught.value)
    assert "one of iid, label" in str(caught.value)


def test_an_unknown_parameter_is_refused_with_the_nearest_known_one():
    with pytest.raises(ParameterError, match="t has no parameter 'round'") as caught:
        read_values(["round=3"], DECLARED, owner="t")

    assert "did you mean rounds?" in str(caught.value)


def test_what_the_runner_sets_itself_is_refused_with_the_option_to_use():
    with pytest.raises(ParameterError, match="collaborators is set by the runner") as caught:
        read_values(["collaborators=3"], DECLARED, owner="t")

    assert "--parties N" in str(caught.value)


def test_a_parameter_without_a_value_is_refused():
    with pytest.raises(ParameterError, match="has no '='"):
        read_values(["rounds"], DECLARED, owner="t")


def test_large_numbers_are_described_in_full():
    (line,) = describe({"seed": Parameter(type="int", default=0, minimum=0, maximum=4294967295)})

    assert "integer, 0 to 4294967295" in line


def test_a_default_outside_its_own_range_is_a_problem():
    assert Parameter(type="integer", default=0, minimum=1).problems() == ["its default 0 is not integer, at least 1"]
    assert Parameter(type="integer", default=True).problems()
    assert Parameter(type="float", default=1).problems() == []
    assert "does not exist" in Parameter(type="list", default=1).problems()[0]
    assert "needs `choices" in Parameter(type="choice", default="a").problems()[0]


def notebook(*sources: str) -> dict[str, object]:
    return {
        "cells": [{"cell_type": "code", "source": source, "metadata": {"tags": ["parameters"]}} for source in sources]
    }


def test_the_parameters_cell_is_read_without_running_it():
    source = ['task_id = "x"  # comment\n', "rounds: int = 3\n", "rate = -0.5"]

    assert read_parameters_cell(notebook(source), name="n") == {"task_id": "x", "rounds": 3, "rate": -0.5}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("sources", "problem"),
    [
        (["nodes = ['a', 'b']"], "nodes a value that is not a plain number"),
        (["x = f()"], "x a value that is not a plain number"),
        (["x ="], "not Python: line 1"),
        (["x = 1", "x = 2"], "2 cells tagged"),
    ],
)
def test_a_parameters_cell_that_papermill_could_not_fill_is_named(sources, problem):
    with pytest.raises(TemplateError, match=problem):
        read_parameters_cell(notebook(*sources), name="n")
