"""`playground run` when something goes wrong: who, where and why, in the terminal, for CI and in every notebook.

What fails before or while parties meet is in test_by_hand.py, plain papermill in test_papermill.py.
"""

from __future__ import annotations

import json
import re
import shutil
import textwrap
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import nbformat
import pytest
from sandbox import HEADROOM, TEMPLATE, Notebook, Sandbox, bring_own_data, edit, logged, wait_until

from playground_ext.bus.server import EmbeddedServer

SMALL = ["-p", "max_rounds=2", "-p", "samples=300"]
TALK = """
    from playground_ext import logger
    from playground_ext.party.context import from_environment
    from playground_ext.scheduler.session import Session

    def talk(word, lines):
        party = from_environment().party()
        with Session(party, role="speaker", meta={"algorithm": "talk"}, kinds=()) as session:
            session.check_in({}, lambda check_ins: None)
            for number in range(lines):
                logger.info("%s %d", word, number)
"""


@pytest.fixture
def own_task(sandbox: Sandbox) -> Path:
    """A copy of the template, to break something in."""
    folder = sandbox.folder / "own_task"
    shutil.copytree(TEMPLATE, folder)
    bring_own_data(folder)
    return folder


def before_training(own_task: Path, code: str) -> None:
    """Put code before each epoch of all collaborators."""
    source = textwrap.indent(textwrap.dedent(code), " " * 8)
    edit(own_task / "collaborator.ipynb", "scheduler", "        self.model.train()\n", source)


def test_an_exception_is_shown_with_notebook_cell_and_line_to_everybody(sandbox, own_task):
    broken = (
        "if self.id == 'collaborator-2' and self.current_round == 2:\n    raise ValueError('the scanner is on fire')\n"
    )
    before_training(own_task, broken)

    job = sandbox.playground("run", own_task, *SMALL, "--task", "t")

    assert job.wait() == 1
    folder = sandbox.folder / "runs" / "t"
    place = Notebook(folder / "collaborator-2.ipynb").place("scheduler", "on fire")
    terminal = job.output.partition("The run failed after")[2]
    assert f"collaborator-2 failed in collaborator-2.ipynb, {place}" in terminal
    assert "raise ValueError('the scanner is on fire')" in terminal
    assert "ValueError: the scanner is on fire" in terminal
    (failure,) = ElementTree.parse(folder / "junit.xml").getroot()[0].findall("testcase/failure")
    assert failure.get("type") == "ValueError"
    assert f"collaborator-2.ipynb, {place}" in str(failure.get("message"))
    assert "raise ValueError('the scanner is on fire')" in str(failure.text)
    for other in ("aggregator", "collaborator-1"):
        notebook = Notebook(folder / f"{other}.ipynb")
        told = f"PartyFailed: collaborator-2 failed (collaborator-2.ipynb, {place}): ValueError: the scanner is on fire"
        assert told in notebook.errors
        assert "raise ValueError('the scanner is on fire')" in notebook.errors
        assert "ValueError: the scanner is on fire" in notebook.pane  # the log has it as well
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["status"], summary["exit_code"], summary["first_failure"]) == ("failed", 1, "collaborator-2")
    assert {party["party"]: party["status"] for party in summary["parties"]} == {
        "aggregator": "stopped",
        "collaborator-1": "stopped",
        "collaborator-2": "failed",
    }
    assert sandbox.left_behind() == []


def test_a_kernel_that_dies_in_training_is_named_with_its_signal_and_to_the_others(sandbox, own_task):
    before_training(own_task, "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")

    job = sandbox.playground("run", own_task, "--parties", 2, *SMALL, "--task", "t")

    assert job.wait() == 1
    folder = sandbox.folder / "runs" / "t"
    assert "collaborator-1 failed in collaborator-1.ipynb, cell [" in job.output
    assert "KernelDied: the kernel was killed by SIGSEGV" in job.output
    assert "SIGSEGV" in (folder / "junit.xml").read_text()
    died, other = Notebook(folder / "collaborator-1.ipynb"), Notebook(folder / "aggregator.ipynb")
    assert "the kernel was killed by SIGSEGV" in died.errors
    assert re.search(r"PartyDied: collaborator-1 is gone: its process \d+ ended without a word", other.errors)
    assert sandbox.left_behind() == []


def test_ctrl_c_while_parties_train_stops_the_kernels_and_saves_the_notebooks(sandbox, own_task):
    terminal = sandbox.on_a_terminal("run", own_task, "--parties", 2, "-p", "max_rounds=1000", "-p", "samples=300")
    terminal.expect(r"collaborator-1 \| round 2 \| I trained on 300 digits")
    assert len(sandbox.kernels()) == 2

    terminal.sendintr()

    assert wait_until(lambda: not sandbox.kernels(), 10, "kernels are still there") < 2 * HEADROOM
    terminal.expect("Stopped by SIGINT")
    terminal.read()
    terminal.close()
    assert terminal.exitstatus == 130
    (folder,) = (sandbox.folder / "runs").iterdir()
    for party in ("aggregator", "collaborator-1"):
        notebook = Notebook(folder / f"{party}.ipynb")
        assert notebook.lines["collaborator-1", 1, "I trained on 300 digits"] == 1
        assert re.search(
            r"^(KeyboardInterrupt|PartyFailed|PartyDied|Stopped)", notebook.errors
        )  # whichever comes first
    assert json.loads((folder / "summary.json").read_text())["status"] == "interrupted"
    assert sandbox.left_behind() == []


def test_a_server_that_does_not_answer_is_named_before_anything_starts(sandbox):
    job = sandbox.playground("run", "fed_avg", PLAYGROUND_REDIS_URL="redis://:secret@127.0.0.1:1/0")

    assert job.wait() == 1
    assert "no server answers at redis://:***@127.0.0.1:1/0" in job.output
    assert "secret" not in job.output
    assert not (sandbox.folder / "runs").exists()


# Many parties, and many runs, of notebooks that only talk: without torch a kernel is there in a second.


def talkers(folder: Path, count: int, *cells: str) -> Path:
    folder.mkdir()
    (folder / "talk.py").write_text(textwrap.dedent(TALK))
    for number in range(1, count + 1):
        code = [nbformat.v4.new_code_cell(source) for source in ("from talk import talk", *cells)]
        nbformat.write(nbformat.v4.new_notebook(cells=code), folder / f"party-{number}.ipynb")
    return folder


def test_eight_parties_with_fifty_lines_in_each_of_two_cells_are_all_in_all_notebooks(sandbox):
    folder = talkers(sandbox.folder / "eight", 8, "talk('one', 50)", "talk('two', 50)")

    job = sandbox.playground("run", folder, "--task", "t")

    assert job.wait() == 0, job.output
    names = [f"party-{number}" for number in range(1, 9)]
    cells = [
        Counter({(party, None, f"{word} {n}"): 1 for party in names for n in range(50)}) for word in ("one", "two")
    ]
    for reader in names:
        notebook = Notebook(sandbox.folder / "runs" / "t" / f"{reader}.ipynb")
        _, *panes = (notebook.lines_of(cell) for cell in notebook.code_cells)
        assert [pane - said for pane, said in zip(panes, cells, strict=True)] == [
            Counter({(party, None, f"all 8 parties are here: {', '.join(names)}"): 1 for party in names})
        ] * 2
        assert [said - pane for pane, said in zip(panes, cells, strict=True)] == [Counter(), Counter()]
    assert sandbox.left_behind() == []


def test_a_second_run_of_the_same_task_never_sees_the_first(sandbox):
    folder = talkers(sandbox.folder / "two", 2, "talk('old', 20)")
    with EmbeddedServer() as server:
        first = sandbox.playground("run", folder, "--task", "t", PLAYGROUND_REDIS_URL=server.url)
        assert first.wait() == 0, first.output
        shutil.rmtree(folder)
        talkers(folder, 2, "talk('new', 20)")
        second = sandbox.playground("run", folder, "--task", "t", PLAYGROUND_REDIS_URL=server.url)
        assert second.wait() == 0, second.output

    again = sandbox.folder / "runs" / "t-2"
    assert logged(again / "logs.jsonl")["party-2", None, "new 19"] == 1
    for text in (second.output, *(path.read_text() for path in again.glob("*.ipynb"))):
        assert "new 19" in text
        assert not re.search(r"old \d", text)
    assert "old 19" in first.output
