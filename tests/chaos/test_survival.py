"""The README's table of what survives what is what the suite found."""

from __future__ import annotations

import ast
import json
from pathlib import Path

from survival import BEGIN, END, ROWS, SUMMARY, readme_with, render

HERE = Path(__file__).parent
README = HERE.parents[1] / "README.md"


def test_the_readme_says_what_the_suite_found():
    text = README.read_text("utf-8")
    assert text.count(BEGIN) == text.count(END) == 1
    assert readme_with(render(json.loads(SUMMARY.read_text())), text) == text, (
        "run python tests/chaos/survival.py --readme"
    )


def test_everything_was_survived_and_every_kill_counted():
    summary = json.loads(SUMMARY.read_text())
    counts = [pair for by_algorithm in summary["kills"].values() for pair in by_algorithm.values()]
    assert all(good == tried for good, tried in [*counts, *summary["tests"].values()])
    of_models = [
        summary["kills"][target][name][1] for target in ("party", "server") for name in ("fed_avg", "hetero_nn")
    ]
    assert sum(of_models) >= 200


def test_every_row_names_tests_that_exist():
    there = {
        node.name
        for file in HERE.glob("test_*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef)
    }
    assert {name for _, _, names in ROWS for name in names} <= there
