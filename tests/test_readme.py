"""The README: its script runs, and what it links and names exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from scripted_parties import ScriptedParties
from typer.testing import CliRunner

from playground_ext.runner.cli import app
from playground_ext.runner.templates import find_templates

REPOSITORY = Path(__file__).resolve().parents[1]
README = (REPOSITORY / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands(program: str) -> list[list[str]]:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    words = [shlex.split(line, comments=True) for line in lines]
    return [line[1:] for line in words if line and line[0] == program]


def test_three_terminals_train_together(parties: ScriptedParties):
    """Forked; `python script.py` itself is a test of end_to_end/."""
    (script,) = blocks("python")
    for party in ("bob", "aggregator", "alice"):
        parties.start(party, script, arguments=[party])

    for party, outcome in parties.finish(120).items():
        assert outcome.code == 0, outcome.err
        assert f"{party}: 3 rounds, the model is in " in outcome.out
        assert "alice | round 3 | trained on my own digits" in outcome.err, "everyone's log, in every terminal"


def test_every_playground_command_in_it_is_one():
    known = {info.name or info.callback.__name__ for info in app.registered_commands}
    known |= {info.name for info in app.registered_groups}
    assert {"run", "new", "templates", "ls", "show", "logs", "doctor"} <= {line[0] for line in commands("playground")}
    assert {line[0] for line in commands("playground")} <= known
    for command, *arguments in commands("playground"):
        options = {argument for argument in arguments if argument.startswith("--")}
        template = arguments[:1] if command == "run" and arguments[0] in find_templates() else []  # with its options
        text = CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(app, [command, *template, "--help"]).output
        assert all(option in text for option in options), (command, options)


def test_every_make_target_in_it_is_one():
    targets = set(re.findall(r"^([a-z]+):", (REPOSITORY / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert {word for word in re.findall(r"(?:`|^)make ([a-z]+)", README, re.MULTILINE)} <= targets


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_into_the_repository_lead_somewhere(name):
    text = (REPOSITORY / name).read_text("utf-8")
    targets = [target for target in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in target]
    assert not [target for target in targets if not (REPOSITORY / target).exists()]


def test_every_setting_in_it_is_one():
    known = (REPOSITORY / "playground_ext" / "settings.py").read_text("utf-8")
    assert {name for name in re.findall(r"PLAYGROUND_[A-Z_]+", README) if name not in known} == set()
