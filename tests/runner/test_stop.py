"""Ctrl-C and its relatives: notebooks are saved, kernels are gone within 2 s, nothing is left behind."""

from __future__ import annotations

import json
import os
import signal
import time

import pexpect
import pytest
from warm_kernels import working_in

BUSY = [
    "print('begun', flush=True)",
    "print('in the middle', flush=True)\nimport time\nopen('busy', 'w').close()\ntime.sleep(60)",
    "3",
]
STUBBORN = (
    "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nopen('busy', 'w').close()\n"
    "end = time.time() + 60\nwhile time.time() < end: pass"
)


def kernels_of(playground) -> list[str]:
    return [line for line in working_in(playground.folder) if "playground_ext.kernel" in line]


def wait_until_busy(playground, timeout: float = 30.0) -> None:
    deadline = time.monotonic() + timeout
    while not list((playground.folder / "runs").glob("*/busy")):
        assert time.monotonic() < deadline, "no notebook got as far as its busy cell"
        time.sleep(0.05)


def wait_until_kernels_are_gone(playground) -> float:
    began = time.monotonic()
    while kernels_of(playground) and time.monotonic() < began + 10:
        time.sleep(0.02)
    return time.monotonic() - began


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_saves_the_notebooks_and_leaves_nothing(playground, make_folder, number, code):
    process = playground.start("run", make_folder(alice=BUSY, bob=["import time; time.sleep(60)"]))
    wait_until_busy(playground)

    process.send_signal(number)

    assert wait_until_kernels_are_gone(playground) < 2.0
    output, _ = process.communicate(timeout=10)
    assert process.returncode == code, output
    assert "Traceback" not in output
    assert "begun\nin the middle\nKeyboardInterrupt" in playground.text_of("alice")
    assert json.loads((playground.run_folder / "summary.json").read_text())["status"] == "interrupted"
    assert (playground.run_folder / "junit.xml").exists()
    assert playground.left_behind() == []


DEEP = """
import time, torch

class Slow(torch.nn.Module):
    def forward(self, x):
        open("busy", "w").close()
        time.sleep(60)

net = Slow()
for _ in range(20):
    net = torch.nn.Sequential(net)
net(1)
"""


def test_a_cell_that_is_deep_inside_a_library_still_says_that_it_was_interrupted(playground, make_folder):
    process = playground.start("run", make_folder(alice=["print('begun')", DEEP]))
    wait_until_busy(playground)

    process.send_signal(signal.SIGINT)

    assert wait_until_kernels_are_gone(playground) < 2.0
    process.communicate(timeout=10)
    assert process.returncode == 130
    (error,) = (
        output
        for cell in playground.notebook("alice").cells
        for output in cell.get("outputs", [])
        if output.output_type == "error"
    )
    assert error.ename == "KeyboardInterrupt", "not the runner's kill"
    traceback = "\n".join(error.traceback)
    assert "time.sleep" in traceback
    assert "torch/nn/modules" not in traceback, "60 frames there would take IPython longer than the kernel has"


def test_a_kernel_that_ignores_the_interrupt_is_killed_and_its_notebook_saved(playground, make_folder):
    process = playground.start("run", make_folder(alice=["print('begun')", STUBBORN]))
    wait_until_busy(playground)

    process.send_signal(signal.SIGINT)

    assert wait_until_kernels_are_gone(playground) < 4.0  # killed after 1.7 s; a busy machine takes its time
    output, _ = process.communicate(timeout=10)
    assert process.returncode == 130, output
    assert "begun" in playground.text_of("alice")
    assert playground.left_behind() == []


def test_a_second_interrupt_kills_at_once(playground, make_folder):
    process = playground.start("run", make_folder(alice=[STUBBORN]))
    wait_until_busy(playground)

    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    assert kernels_of(playground)
    process.send_signal(signal.SIGINT)

    assert wait_until_kernels_are_gone(playground) < 1.0
    process.communicate(timeout=10)
    assert process.returncode == 130


def test_ctrl_c_in_a_terminal_stops_the_live_view_and_the_kernels(playground, make_folder):
    folder = make_folder(alice=BUSY, bob=["import time; time.sleep(60)"])
    command, *arguments = playground.command("run", folder)
    terminal = pexpect.spawn(
        command,
        arguments,
        cwd=str(playground.folder),
        env=playground.environment | {"TERM": "xterm-256color"},
        encoding="utf-8",
        dimensions=(40, 120),
        timeout=30,
    )
    terminal.expect("party")
    wait_until_busy(playground)
    terminal.expect("cell 2 of 3")

    terminal.sendintr()

    assert wait_until_kernels_are_gone(playground) < 2.0
    terminal.expect("Stopped by SIGINT")
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 130
    assert "in the middle" in playground.text_of("alice")
    assert playground.left_behind() == []


def test_when_the_runner_is_killed_its_kernels_and_server_go_too(playground, make_folder):
    process = playground.start("run", make_folder(alice=BUSY))
    wait_until_busy(playground)

    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=10)

    assert wait_until_kernels_are_gone(playground) < 10
    assert [line for line in playground.left_behind() if not os.path.exists(playground.runtime / line)] == []


def test_output_that_nobody_reads_any_more_does_not_end_the_run(playground, make_folder):
    process = playground.start("run", make_folder(alice=["print(1)"]), "--task", "t")
    process.stdout.close()

    assert process.wait(timeout=60) == 0
    assert json.loads((playground.run_folder / "summary.json").read_text())["status"] == "ok"
