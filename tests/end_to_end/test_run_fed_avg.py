"""`playground run fed_avg`: what it says, what its folder holds, and that nothing else is left."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from safetensors.torch import load_file
from sandbox import DRAWS, Notebook, Sandbox, bring_own_data, edit, logged

PARTIES = ["aggregator", "collaborator-1", "collaborator-2"]
SMALL = ["-p", "max_rounds=2", "-p", "samples=300"]


@dataclass
class Finished:
    code: int
    output: str
    folder: Path  # of the run
    left_behind: list[str]

    def notebook(self, party: str) -> Notebook:
        return Notebook(self.folder / f"{party}.ipynb")

    def results(self, party: str) -> Path:
        return self.folder / "parties" / "demo" / party / "latest" / "results"


@pytest.fixture(scope="module")
def finished(shared_sandbox: Sandbox) -> Finished:
    """One run without a terminal, which most tests here look at."""
    job = shared_sandbox.playground("run", "fed_avg", *SMALL, "--task", "demo", **DRAWS)
    code = job.wait()
    assert code == 0, job.output
    return Finished(code, job.output, shared_sandbox.folder / "runs" / "demo", shared_sandbox.left_behind())


def metrics(folder: Path) -> dict[tuple[str, str, int], float]:
    """(party, name, round): value."""
    with (folder / "metrics.csv").open() as file:
        return {(row["party"], row["name"], int(row["round"])): float(row["value"]) for row in csv.DictReader(file)}


def test_without_a_terminal_it_prints_plain_lines(finished):
    assert "\x1b" not in finished.output
    assert "\r" not in finished.output
    lines = Counter(finished.output.splitlines())
    for party in ("collaborator-1", "collaborator-2"):
        for number in (1, 2):
            assert lines[f"{party} | round {number} | I trained on 300 digits"] == 1
    for party in PARTIES:
        assert re.search(rf"^{party} is done after [\d.]+ s$", finished.output, re.MULTILINE)


def test_it_ends_with_accuracies_places_and_three_things_to_try(finished):
    _, _, end = finished.output.partition("All 3 notebooks ran to their end")
    test_accuracy = [metrics(finished.folder)["aggregator", "test/accuracy", number] for number in (1, 2)]

    assert "accuracy per round" in end
    for number, accuracy in enumerate(test_accuracy, start=1):
        assert re.search(rf"^ +{number} +{accuracy:.2%}$", end, re.MULTILINE)
    assert "The executed notebooks are in runs/demo" in end
    for name in ("logs.jsonl", "metrics.csv", "model.safetensors", "junit.xml", "summary.json"):
        assert name in end
    steps = end.split("Try next\n")[1].strip().splitlines()
    assert [step.split()[:3] for step in steps] == [
        ["jupyter", "lab", "runs/demo/aggregator.ipynb"],
        ["playground", "new", "fed_avg"],
        ["playground", "run", "fed_avg"],
    ]


def test_the_three_notebooks_ran_to_their_end(finished):
    for party in PARTIES:
        notebook = finished.notebook(party)
        assert all(cell.execution_count for cell in notebook.code_cells)
        assert notebook.errors == ""
        assert notebook.node.metadata.playground.party == party
        pictures = [output for output in notebook.outputs if "image/png" in output.get("data", {})]
        assert len(pictures) >= 4  # the party's data, its curve, and what the model says about digits
        warnings = [output for output in notebook.outputs if output.get("name") == "stderr"]
        assert warnings == []


@pytest.mark.parametrize("reader", PARTIES)
def test_every_notebook_shows_every_line_of_every_party(finished, reader):
    said = Counter()
    for party in PARTIES:
        lines = logged(finished.folder / "parties" / "demo" / party / "logs.jsonl")
        assert {name for name, _, _ in lines} == {party}
        said += lines

    assert len(said) >= 15  # each says who is here, what it did in two rounds, and where the model is
    assert finished.notebook(reader).lines == said
    assert logged(finished.folder / "logs.jsonl") == said


def test_the_merged_log_is_in_order_of_time(finished):
    times = [json.loads(line)["time"] for line in (finished.folder / "logs.jsonl").read_text().splitlines()]
    assert times == sorted(times)


def test_metrics_and_event_files_say_the_same(finished):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    reported = metrics(finished.folder)
    assert {(party, name) for party, name, _ in reported} == {
        ("aggregator", "test/accuracy"),
        ("aggregator", "test/loss"),
        ("collaborator-1", "train/loss"),
        ("collaborator-2", "train/loss"),
    }
    read = {}
    for party in PARTIES:
        events = EventAccumulator(str(finished.folder / "tensorboard" / party)).Reload()
        for name in events.Tags()["scalars"]:
            read |= {(party, name, event.step): event.value for event in events.Scalars(name)}
    assert read == pytest.approx(reported, rel=1e-6)  # event files hold 32 bits


def test_the_report_for_ci_has_one_passed_case_per_party(finished):
    suite = ElementTree.parse(finished.folder / "junit.xml").getroot()[0]
    assert [case.get("name") for case in suite.findall("testcase")] == PARTIES
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors"), suite.get("skipped")) == (
        "3",
        "0",
        "0",
        "0",
    )
    assert all(float(case.get("time", 0)) > 0 for case in suite.findall("testcase"))


def test_all_parties_end_with_the_same_model(finished):
    model = load_file(finished.folder / "model.safetensors")
    assert sum(tensor.numel() for tensor in model.values()) == 21_840  # as the notebooks say
    for party in PARTIES:
        theirs = load_file(finished.results(party) / "model.safetensors")
        assert theirs.keys() == model.keys()
        assert all(torch.equal(theirs[name], model[name]) for name in model)


def test_the_summary_says_how_it_went(finished):
    summary = json.loads((finished.folder / "summary.json").read_text())

    assert (summary["status"], summary["exit_code"], summary["first_failure"]) == ("ok", 0, None)
    assert [(party["party"], party["status"], party["round"]) for party in summary["parties"]] == [
        (party, "ok", 2) for party in PARTIES
    ]
    assert (summary["parameters"]["max_rounds"], summary["parameters"]["samples"]) == (2, 300)
    accuracies = [metrics(finished.folder)["aggregator", "test/accuracy", number] for number in (1, 2)]
    assert [entry["accuracy"] for entry in summary["accuracy"]["aggregator"]] == accuracies
    assert (finished.folder / summary["model"]).is_file()


def test_no_process_socket_or_temporary_file_is_left(finished):
    assert finished.left_behind == []


@pytest.mark.slow
def test_a_federation_of_ones_own_runs_on_a_terminal_with_more_parties(sandbox):
    """Point 6 of the issue, watched: new, edit, run with four parties."""
    assert sandbox.playground("new", "fed_avg", "my_task").wait() == 0
    bring_own_data(sandbox.folder / "my_task")
    edit(sandbox.folder / "my_task" / "collaborator.ipynb", "scheduler", 'f"I trained on', 'f"{self.id} learned from')

    terminal = sandbox.on_a_terminal("run", "my_task", "--parties", 4, *SMALL, "--task", "mine")
    terminal.expect("accuracy per round")
    shown = terminal.before
    end = "accuracy per round" + terminal.read()
    terminal.close()

    assert terminal.exitstatus == 0, shown + end
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert "\x1b[" in shown  # redrawn in place
    for column in ("party", "state", "round", "accuracy", "elapsed"):
        assert re.search(rf"┃ +{column} +┃", text)
    for party in ("aggregator", "collaborator-1", "collaborator-2", "collaborator-3"):
        assert re.search(rf"│ {party} +│ done +│ 2 of 2 │", text), text[-1500:]
    assert re.search(r"│ aggregator +│ \S[^│]+│ +2 of 2 │ +[\d.]+% │ +\d+ s │", text)
    assert "collaborator-3 | round 2 | collaborator-3 learned from 300 digits" in text
    assert "The executed notebooks are in runs/mine" in end
    assert len(end.split("Try next\r\n")[1].strip().splitlines()) == 3
    notebooks = sorted(path.stem for path in (sandbox.folder / "runs" / "mine").glob("*.ipynb"))
    assert notebooks == ["aggregator", "collaborator-1", "collaborator-2", "collaborator-3"]
    lines = Notebook(sandbox.folder / "runs" / "mine" / "aggregator.ipynb").lines
    assert lines["collaborator-3", 1, "collaborator-3 learned from 300 digits"] == 1
    assert sandbox.left_behind() == []


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("rounds=2", "no parameter 'rounds'"),
        ("max_rounds=many", "max_rounds=many is not allowed: max_rounds is integer, 1 to 1000"),
        ("max_rounds=0", "max_rounds=0 is not allowed"),
        ("split=fair", "split is one of iid, label, dirichlet"),
        ("collaborators=3", "use --parties N"),
    ],
)
def test_a_wrong_parameter_names_all_that_are_allowed(sandbox, wrong, says):
    job = sandbox.playground("run", "fed_avg", "-p", wrong)

    assert job.wait() == 2
    assert says in job.output
    for name in ("max_rounds", "merge_epochs", "batch_size", "learning_rate", "momentum", "split", "samples", "seed"):
        assert re.search(rf"^ +\| +{name} +\w+.* default ", job.output, re.MULTILINE)
    assert "Traceback" not in job.output
    assert not (sandbox.folder / "runs").exists()
