"""Differential privacy, secure aggregation and FedProx from their templates: both trainings, and the comparison."""

from __future__ import annotations

import csv
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from sandbox import CHECKOUT, DRAWS, Sandbox


def run(sandbox: Sandbox, template: str, *arguments: str) -> tuple[str, Path]:
    job = sandbox.playground("run", template, "--task", "demo", *arguments, **DRAWS)
    assert job.wait(150) == 0, job.output
    return job.output, sandbox.folder / "runs" / "demo"


def metrics(folder: Path) -> dict[str, dict[int, float]]:
    found: dict[str, dict[int, float]] = {}
    with (folder / "metrics.csv").open() as file:
        for row in csv.DictReader(file):
            assert int(row["round"]) not in found.get(f"{row['party']}/{row['name']}", {}), "of one task, not of both"
            found.setdefault(f"{row['party']}/{row['name']}", {})[int(row["round"])] = float(row["value"])
    return found


def in_summary(folder: Path, name: str) -> float:
    """A last value of the aggregator's that summary.json holds."""
    found: float = json.loads((folder / "summary.json").read_text())["final_metrics"]["aggregator"][name]["value"]
    return found


def shown(notebook: Path) -> str:
    texts: list[str] = []
    for cell in json.loads(notebook.read_text("utf-8"))["cells"]:
        for output in cell.get("outputs", []):
            data: dict[str, Any] = output.get("data", {})
            said = output.get("text", []) or data.get("text/markdown", []) or data.get("text/plain", [])
            texts.append("".join(said))
    return "\n".join(texts)


def comparison(text: str, columns: int) -> list[list[float]]:
    """The rows of the table whose first cell is a round."""
    rows = re.findall(r"^\| (\d+) \|(.*)\|$", text, re.MULTILINE)
    fitting = [cells.split("|") for _, cells in rows if cells.count("|") == columns - 1]
    return [[float(cell.strip(" %")) for cell in cells] for cells in fitting]


@pytest.mark.slow
def test_differential_privacy_costs_accuracy_and_says_how_much_privacy_it_gives(sandbox: Sandbox) -> None:
    output, folder = run(sandbox, "dp_fed_avg", "-p", "max_rounds=4", "-p", "z=0.3")

    assert "All 5 notebooks ran to their end" in output
    assert "of the test digits right with differential privacy" in output
    found = metrics(folder)
    assert not [name for name in found if name.startswith("collaborator")]  # no number about anybody's data
    plain, private = found["aggregator/comparison/plain_fed_avg"], found["aggregator/comparison/dp_fed_avg"]
    assert private == found["aggregator/test/accuracy"]
    assert plain[4] > 0.7
    assert 0.2 < private[4] < plain[4]
    assert in_summary(folder, "comparison/plain_fed_avg") == plain[4]
    assert in_summary(folder, "comparison/dp_fed_avg") == private[4]
    job = sandbox.playground("show", "demo")
    assert job.wait(60) == 0, job.output
    for text in (output, job.output):
        assert re.search(rf"comparison/plain_fed_avg +{plain[4]:.4f}\n", text)
        assert re.search(rf"comparison/dp_fed_avg +{private[4]:.4f}\n", text)
    spent = found["aggregator/privacy/epsilon"]
    assert spent[1] < spent[2] < spent[3] < spent[4]
    text = shown(folder / "aggregator.ipynb")
    assert [row[2] for row in comparison(text, 3)[:4]] == [round(spent[number], 1) for number in spent]
    assert "| 4,000 | 300 | " in text  # what many more collaborators would change
    assert "my digits, their labels, and my training loss" in shown(folder / "collaborator-3.ipynb")


@pytest.mark.slow
def test_masks_change_nothing_about_the_model(sandbox: Sandbox) -> None:
    output, folder = run(sandbox, "secure_fed_avg", "-p", "max_rounds=2")

    assert "All 4 notebooks ran to their end" in output
    found = metrics(folder)
    plain, secure = found["aggregator/comparison/plain_fed_avg"], found["aggregator/comparison/secure_fed_avg"]
    assert plain[2] > 0.7
    assert secure == pytest.approx(plain, abs=0.004)  # rounding may turn a few of 1,000 digits
    assert in_summary(folder, "comparison/plain_fed_avg") == plain[2]
    assert in_summary(folder, "comparison/secure_fed_avg") == secure[2]
    again = sandbox.playground("replay", folder.name, "--party", "collaborator-1", "--execute")
    assert again.wait(120) == 1, "its keys are forgotten, and the update cannot be compared"
    assert "masked of round 2: sent then, NOT now" in again.output
    rows = comparison(shown(folder / "aggregator.ipynb"), 2)
    assert [row[1] for row in rows] == [round(100 * secure[number], 1) for number in secure]
    assert re.search(r"\| weight 0 \| -?0\.\d+ \| -?\d{6,11} \| \d{15,20} \|", shown(folder / "collaborator-1.ipynb"))


@pytest.mark.slow
def test_the_proximal_term_keeps_collaborators_together(sandbox: Sandbox) -> None:
    output, folder = run(sandbox, "fed_prox", "-p", "max_rounds=2", "-p", "merge_epochs=2", "-p", "mu=0.5")

    assert "All 5 notebooks ran to their end" in output
    found = metrics(folder)
    assert set(found["aggregator/comparison/fed_prox"]) == {1, 2}
    assert in_summary(folder, "comparison/fed_prox") == found["aggregator/comparison/fed_prox"][2]
    assert in_summary(folder, "comparison/plain_fed_avg") > 0.3
    rows = comparison(shown(folder / "aggregator.ipynb"), 4)
    assert len(rows) == 2
    assert all(closer < 0.9 * apart for _, _, apart, closer in rows)

    again = sandbox.playground("replay", folder.name, "--party", "aggregator", "--execute")
    assert again.wait(120) == 0, again.output
    assert f"round 2 of {folder.name}, run again: equal" in again.output  # and not that of plain FedAvg, which is over


@pytest.mark.slow
def test_plain_papermill_runs_the_secure_template_with_two_collaborators(sandbox: Sandbox) -> None:
    folder = CHECKOUT / "templates" / "secure_fed_avg"
    jobs = []
    for name, role, index in (("a", "aggregator", 0), ("c1", "collaborator", 1), ("c2", "collaborator", 2)):
        chosen = ["-p", "max_rounds", "1"] + (["-p", "party_index", str(index)] if index else [])
        words = ["papermill", folder / f"{role}.ipynb", f"{name}.ipynb", *chosen]
        jobs.append(sandbox.start(sys.executable, "-m", *words))
    sandbox.shares_a_server_in(sandbox.folder)
    for job in jobs:
        assert job.wait(150) == 0, job.output

    assert "percentage points" in shown(sandbox.folder / "a.ipynb")
    assert "I am collaborator-2" in shown(sandbox.folder / "c2.ipynb")
    sandbox.stop_shared_servers()
