"""What a terminal shows of a failure: one screen, whatever the traceback; the files keep the whole."""

from __future__ import annotations

from xml.etree import ElementTree

import pexpect
import pytest

from playground_ext.runner.closing import closing_text
from playground_ext.runner.excerpt import excerpt, fold
from playground_ext.runner.notebook import Failure
from playground_ext.runner.outcome import Outcome
from playground_ext.runner.plan import make_plan
from playground_ext.runner.progress import Board
from playground_ext.runner.screen import SCREEN
from playground_ext.runner.templates import load

BANNER = "-" * 75 + "\nValueError                     Traceback (most recent call last)\n"
OUTER = "Cell In[5], line 3\n      1 model = net\n      2 x = 1\n----> 3 train(model)"
INNER = "Cell In[4], line 9, in train(model)\n      8     for x in data:\n----> 9         model(x)\n     10     return"
LIBRARY = (
    "File /v/lib/python3.11/site-packages/torch/nn/{0}.py:7, in call(self)\n      6 # why\n----> 7 return f()\n      8"
)


def traceback(*blocks: str, message: str = "ValueError: broken data") -> str:
    return BANNER + "\n\n".join([*blocks, message])


def test_frames_inside_the_package_are_folded():
    text = "Cell In[1], line 1\n\nFile /x/playground_ext/a.py:1\n\nFile /x/playground_ext/b.py:1\n\nCell In[2], line 3"

    assert fold(text) == "Cell In[1], line 1\n\n… 2 frames inside playground_ext\n\nCell In[2], line 3"


def test_a_short_traceback_stays_as_it_is_without_its_banner():
    assert excerpt(traceback(OUTER), "ValueError: broken data", lines=15) == [
        *OUTER.splitlines(),
        "",
        "ValueError: broken data",
    ]


def test_libraries_frames_go_first():
    blocks = [OUTER, INNER, *(LIBRARY.format(name) for name in "abc")]

    shown = excerpt(traceback(*blocks), "ValueError: broken data", lines=14)

    # 4 + 1 and 4 + 1 lines of the reader's own frames, 2 for the libraries' and a gap, the message: 14
    assert shown == [
        *OUTER.splitlines(),
        "",
        *INNER.splitlines(),
        "",
        "… 2 frames in libraries",
        "File /v/lib/python3.11/site-packages/torch/nn/c.py:7, in call(self)",
        "",
        "ValueError: broken data",
    ]


def test_then_the_source_around_the_executed_lines_and_then_outer_frames():
    text = traceback(OUTER, *(INNER.replace("In[4]", f"In[{number}]") for number in range(10, 30)))

    shown = excerpt(text, "ValueError: broken data", lines=9)

    assert shown == [
        "… outer frames",
        "Cell In[28], line 9, in train(model)",
        "----> 9         model(x)",
        "",
        "Cell In[29], line 9, in train(model)",
        "----> 9         model(x)",
        "",
        "ValueError: broken data",
    ]


def test_a_long_message_keeps_its_beginning_and_its_end():
    message = "ValueError: broken data\n" + "\n".join(f"row {number}" for number in range(100))

    shown = excerpt(traceback(OUTER, message=message), "ValueError: broken data", lines=12)

    assert len(shown) <= 12
    assert shown[:2] == ["Cell In[5], line 3", "----> 3 train(model)"]
    assert "ValueError: broken data" in shown
    assert shown[-1] == "row 99"


def test_an_error_of_ours_keeps_what_it_says_and_cuts_the_other_partys_traceback():
    details = [f"  | File x.py, line {number}" for number in range(50)]
    said = ["PartyFailed: bob failed", "  where: task t", "  next:  mend bob's cell", *details, "  at cell 4, line 1"]

    shown = excerpt("\n".join(said), "PartyFailed: bob failed", lines=14)

    assert len(shown) == 14
    assert shown[:4] == said[:4]
    assert shown[-2:] == said[-2:]


def test_a_headline_that_the_text_does_not_say_is_added():
    assert excerpt("Killed", "KernelDied: the kernel was killed by SIGKILL", lines=9) == [
        "Killed",
        "KernelDied: the kernel was killed by SIGKILL",
    ]


def test_no_line_is_wider_than_the_screen_and_the_message_loses_nothing():
    message = "ValueError: " + "shapes cannot be multiplied " * 5
    wide = OUTER.replace("model = net", "x" * 200)

    shown = excerpt(traceback(wide, message=message), message, lines=20, columns=60)

    assert max(map(len, shown)) <= 60
    assert "".join("".join(shown[5:]).split()).startswith("".join(message.split()))


@pytest.mark.parametrize(
    "text", ["", "\n\n\n", "x" * 5000, "Cell In[1]", "File \n\nFile ", BANNER, "\n".join("ab" * 200)]
)
@pytest.mark.parametrize("lines", [6, 15])
def test_any_text_fits(text, lines):
    shown = excerpt(text, "E: m", lines=lines, columns=80)

    assert len(shown) <= lines
    assert any("E: m" in line for line in shown)


@pytest.mark.parametrize("lines", [23, 24, 60])
def test_a_failed_run_fits_the_screen_and_says_where_the_rest_is(two_roles, tmp_path, lines):
    plan = make_plan(load(two_roles), task="t")
    outcome = Outcome(plan, tmp_path / "run", "embedded", 0.0, Board([]), seconds=2.0)
    text = traceback(*(INNER for _ in range(40)), message="ValueError: broken data\n" + "row\n" * 40)
    for number, party in enumerate(plan.nodes):
        notebook = tmp_path / "run" / f"{party}.ipynb"
        outcome.failures[party] = Failure(party, "ValueError", "broken data", text, notebook, float(number), 4, 9)

    shown = closing_text(outcome, ["metrics.csv could not be written: Is a directory"], lines=lines)

    assert len(shown.splitlines()) <= lines
    assert "aggregator failed first in aggregator.ipynb, cell [4], line 9" in shown
    assert "----> 9         model(x)" in shown
    assert "ValueError: broken data" in shown
    assert "After it also failed: collaborator-1, collaborator-2" in shown
    assert "The whole traceback is in" in shown
    assert "Next: mend" in shown
    assert "metrics.csv could not be written" in shown


DEEP = (
    "def f(n):\n    # why\n    if n == 0:\n        raise ValueError('broken ' + 'data ' * 30)\n"
    "    return f(n - 1)\n\n\nf(40)"
)


def test_a_real_failure_fits_a_small_terminal_and_the_files_keep_the_whole(playground, make_folder):
    command, *arguments = playground.command("run", make_folder(alice=[DEEP]))
    terminal = pexpect.spawn(
        command,
        arguments,
        cwd=str(playground.folder),
        env=playground.environment | {"TERM": "xterm-256color"},
        encoding="utf-8",
        dimensions=(24, 80),
        timeout=60,
    )
    terminal.expect("The run failed after")
    said = ("The run failed after" + terminal.read()).replace("\r", "").rstrip("\n").splitlines()
    terminal.close()

    assert terminal.exitstatus == 1
    assert len(said) < SCREEN  # the prompt takes a line
    assert max(map(len, said)) <= 80
    assert any("alice failed in alice.ipynb, cell [1], line 4" in line for line in said)
    assert any("raise ValueError" in line for line in said)
    case = ElementTree.parse(playground.run_folder / "junit.xml").getroot()[0][0]
    whole = case.findtext("failure") or ""
    assert whole.count("return f(n - 1)") > 10
    (output,) = (
        output
        for cell in playground.notebook("alice").cells
        for output in cell.get("outputs", [])
        if "traceback" in output
    )
    assert len("\n".join(output.traceback).splitlines()) > 2 * SCREEN
