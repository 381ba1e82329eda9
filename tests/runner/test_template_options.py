"""`playground run TEMPLATE --max-rounds 3`: a template's parameters are options of the command that runs it."""

from __future__ import annotations

import json

import pytest

from playground_ext.errors import ParameterError
from playground_ext.runner.parameters import Parameter
from playground_ext.runner.template_options import as_assignments

OWN = {"--parties": True, "-n": True, "-p": True, "--json": False, "--task": True, "--help": False, "-h": False}
PARAMETERS = {
    "max_rounds": Parameter(type="integer", default=5),
    "share_result": Parameter(type="boolean", default=True),
    "file": Parameter(type="string", default=""),
    "task": Parameter(type="string", default=""),
}


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("psi --max-rounds 3", "psi -p max_rounds=3"),
        ("psi --max-rounds=3", "psi -p max_rounds=3"),
        ("--max_rounds 3 psi", "-p max_rounds=3 psi"),
        ("psi --share-result --json", "psi -p share_result=true --json"),
        ("psi --no-share-result", "psi -p share_result=false"),
        ("psi --share-result=no", "psi -p share_result=no"),
        ("psi --file a=b.csv", "psi -p file=a=b.csv"),
        ("psi --file --max-rounds", "psi -p file=--max-rounds"),
        ("psi -n4 -p file=x --parties 2 --task=t", "psi -n4 -p file=x --parties 2 --task=t"),
        ("psi --task --file", "psi --task --file"),  # the command's own option comes first, with its value
        ("psi -p x --file y -- --max-rounds 3", "psi -p x -p file=y -- --max-rounds 3"),
    ],
)
def test_options_become_assignments(typed, meant):
    assert as_assignments(typed.split(), PARAMETERS, own=OWN, owner="psi") == meant.split()


@pytest.mark.parametrize("typed", ["--max-round 3", "-m 3", "--no-max-rounds", "--no-file", "-max_rounds=3"])
def test_another_option_is_refused_and_those_there_are_are_named(typed):
    with pytest.raises(ParameterError, match="psi has no option") as caught:
        as_assignments(["psi", *typed.split()], PARAMETERS, own=OWN, owner="psi")

    for option in ("--max-rounds", "--share-result/--no-share-result", "--file", "-p task=…"):
        assert option in str(caught.value)


def test_an_option_without_its_value_says_what_it_takes():
    with pytest.raises(ParameterError, match=r"--max-rounds needs a value\n  next:  max_rounds is integer"):
        as_assignments(["psi", "--max-rounds"], PARAMETERS, own=OWN, owner="psi")


def test_a_run_takes_its_templates_parameters_as_options(playground, two_roles):
    code, output = playground("run", "--rounds", "5", two_roles, "--rate=0.25", "-p", "rounds=4", "--task", "t")

    assert code == 0, output
    assert "hello from t aggregator 1 2 4 0.25" in playground.text_of("aggregator"), "the last word counts"
    summary = json.loads((playground.run_folder / "summary.json").read_text())
    assert summary["parameters"] == {"rounds": 4, "rate": 0.25}


def test_help_lists_the_parameters_of_the_template_that_is_named(playground, two_roles):
    code, output = playground("run", two_roles, "--help")

    assert code == 0
    assert "Parameters of two_roles" in output
    assert "--rounds" in output
    assert "integer, 1 to 9" in output
    assert "how often [default 2]" in output
    assert "Parameters of" not in playground("run", "--help")[1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--round", "5"], "did you mean --rounds?"),
        (["--rounds", "50"], "rounds=50 is not allowed: rounds is integer, 1 to 9"),
        (["--rounds"], "--rounds needs a value"),
    ],
)
def test_what_cannot_be_is_said_in_one_screen_before_anything_runs(playground, two_roles, words, said):
    code, output = playground("run", two_roles, *words)

    assert code == 2
    assert said in output
    assert len(output.splitlines()) <= 24
    assert not (playground.folder / "runs").exists()


def test_a_template_that_does_not_exist_is_named_rather_than_its_options(playground):
    code, output = playground("run", "nowhere", "--rounds", "5")

    assert code == 2
    assert "there is no template or folder 'nowhere'" in output


def test_the_protocol_of_an_intersection_is_an_option(playground):
    code, output = playground("run", "psi", "--protocol", "rsa", "--parties", "2", "--task", "t")

    assert code == 0, output
    assert json.loads((playground.run_folder / "summary.json").read_text())["parameters"]["protocol"] == "rsa"
    assert "RSA" in (playground.run_folder / "initiator.ipynb").read_text()
