"""The template's two notebooks by hand: kernels and requests as a front end has them, cell by cell.

The two kernels serve all tests of this file, as those of a person who runs the cells again and again would.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import nbformat
import pytest
from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.manager import KernelManager
from sandbox import DRAWS, TEMPLATE, Sandbox, pane_lines

SOON = 4.0  # seconds; what the notebook promises within a second, on a loaded machine


@dataclass
class Cell:
    """What a front end shows below a cell."""

    number: int | None = None
    outputs: list[dict[str, Any]] = field(default_factory=list)
    reply: dict[str, Any] | None = None
    began: float = field(default_factory=time.monotonic)

    @property
    def pane(self) -> str:
        return "\n".join(output["data"]["text/plain"] for output in self.outputs if "playground" in output["metadata"])

    @property
    def error(self) -> str:
        text = "".join("\n".join(output["traceback"]) for output in self.outputs if "traceback" in output)
        return re.sub(r"\x1b\[[0-9;]*m", "", text)

    @property
    def printed(self) -> str:
        return "".join(output["text"] for output in self.outputs if "text" in output)


class Kernel:
    """A notebook's kernel and its outputs; requests allow stdin, which says that a person is there."""

    def __init__(self, name: str, sandbox: Sandbox) -> None:
        self.name = name
        self._manager = KernelManager(
            kernel_name="python3",
            transport="ipc",
            ip=str(sandbox.private / name[:4]),
            connection_file=str(sandbox.private / f"{name}.json"),
        )
        with pytest.MonkeyPatch.context() as patch:
            for variable in ("JUPYTER_PATH", "PLAYGROUND_RUNTIME"):  # where a forked `python3` is found
                patch.setenv(variable, sandbox.environment[variable])
            self._manager.start_kernel(
                env=sandbox.environment | DRAWS,
                cwd=str(TEMPLATE),
                extra_arguments=["--HistoryManager.hist_file=:memory:"],
            )
        self._client: BlockingKernelClient = self._manager.client()
        self._client.start_channels()
        self._cells: dict[str, Cell] = {}
        node = nbformat.read(TEMPLATE / f"{name}.ipynb", as_version=4)
        self.sources = {cell.id: cell.source for cell in node.cells if cell.cell_type == "code"}

    def ready(self) -> None:
        self._client.wait_for_ready(60)

    def start(self, source: str) -> Cell:
        """Send a cell; `until` brings in what it shows."""
        cell = Cell()
        self._cells[self._client.execute(source, allow_stdin=True)] = cell
        return cell

    def until(self, cell: Cell, condition: str | None = None, timeout: float = 60) -> Cell:
        """Until the pane matches `condition`, or the cell has ended."""
        deadline = time.monotonic() + timeout
        while cell.reply is None if condition is None else not re.search(condition, cell.pane):
            assert time.monotonic() < deadline, f"{self.name}: {cell.pane}\n{cell.error}"
            assert condition is None or cell.reply is None, f"{self.name} ended: {cell.pane}\n{cell.error}"
            self._take(self._client.get_iopub_msg(timeout=deadline - time.monotonic()))
        return cell

    def run(self, source: str) -> Cell:
        return self.until(self.start(source))

    def interrupt(self) -> None:
        self._manager.interrupt_kernel()

    def close(self) -> None:
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)

    def _take(self, message: dict[str, Any]) -> None:
        cell = self._cells.get(message["parent_header"].get("msg_id", ""))
        kind, content = message["msg_type"], message["content"]
        if kind == "update_display_data":  # wherever it is shown
            for shown in (output for one in self._cells.values() for output in one.outputs):
                if shown.get("transient") == content["transient"]:
                    shown.update(content)
        elif cell is not None and kind == "status" and content["execution_state"] == "idle":
            cell.reply = content
        elif cell is not None and kind in ("display_data", "stream", "error", "execute_result"):
            cell.outputs.append({"metadata": {}, **content})


@dataclass
class Federation:
    aggregator: Kernel
    collaborator: Kernel
    sandbox: Sandbox

    def finish(self, first: Cell, second: Cell) -> None:
        """Both cells, the aggregator's first, come to their end."""
        for kernel, cell in ((self.aggregator, first), (self.collaborator, second)):
            kernel.until(cell)
            assert cell.error == ""
            assert kernel.run("print(result.rounds)").printed == "2\n"


RUN = "with context:\n    result = scheduler.run()"


@pytest.fixture(scope="module")
def federation(shared_sandbox: Sandbox) -> Iterator[Federation]:
    """Both notebooks, run until the cell that waits for the others."""
    shared_sandbox.shares_a_server_in(TEMPLATE.parents[1])
    kernels = []
    try:
        kernels += [Kernel(name, shared_sandbox) for name in ("aggregator", "collaborator")]
        for kernel in kernels:
            kernel.ready()
        edits = [("max_rounds = 5", "max_rounds = 2"), ("samples = 0 ", "samples = 300 ")]
        last = []
        for kernel in kernels:
            parameters = kernel.sources["parameters"]
            for old, new in edits:
                parameters = parameters.replace(old, new)
            kernel.sources["parameters"] = parameters
            names = list(kernel.sources)
            assert kernel.sources["run"] == RUN
            last.append([kernel.start(kernel.sources[name]) for name in names[: names.index("run")]][-1])
        for kernel, cell in zip(kernels, last, strict=True):
            kernel.until(cell)
            assert [one.error for one in kernel._cells.values()] == [""] * len(kernel._cells)
        yield Federation(*kernels, shared_sandbox)
    finally:
        for kernel in kernels:
            kernel.close()


def waits(kernel: Kernel, cell: Cell, for_whom: str) -> None:
    """Soon it says for whom, how long, and how to start them."""
    kernel.until(cell, rf"> 1 of 2 here; waiting for {for_whom} \((10:00|9:5\d) left\)", SOON + 5)
    assert time.monotonic() - cell.began < SOON
    kernel.until(cell, rf"waiting for {for_whom}\. Start them: .*task_id='fed_avg'", SOON)
    assert f"inside {TEMPLATE.parents[1]}" in cell.pane


def interrupt(kernel: Kernel, cell: Cell) -> None:
    kernel.interrupt()
    kernel.until(cell, timeout=10)
    assert "KeyboardInterrupt" in cell.error
    assert "site-packages" not in cell.error  # where in a library it struck says nothing
    assert "> 1 of 2" not in cell.pane  # the live line is gone
    assert kernel.run("print(6 * 7)").printed == "42\n"


def test_the_collaborator_may_be_first_be_interrupted_and_wait_again(federation):
    aggregator, collaborator = federation.aggregator, federation.collaborator
    waiting = collaborator.start(RUN)
    waits(collaborator, waiting, "aggregator")
    interrupt(collaborator, waiting)

    again = collaborator.start(RUN)
    collaborator.until(again, "> 1 of 2 here; waiting for aggregator", SOON)
    collaborator.until(again, r"\(9:5[0-8] left\)")  # it counts down
    other = aggregator.start(RUN)

    federation.finish(other, again)
    assert "all 2 parties are here" in again.pane


def test_the_aggregator_may_be_first_be_interrupted_and_wait_again(federation):
    aggregator, collaborator = federation.aggregator, federation.collaborator
    waiting = aggregator.start(RUN)
    waits(aggregator, waiting, "collaborator-1")
    interrupt(aggregator, waiting)

    again = aggregator.start(RUN)
    aggregator.until(again, r"waiting for collaborator-1 \(9:5[0-8] left\)")
    other = collaborator.start(RUN)

    federation.finish(again, other)
    for cell in (again, other):
        lines = pane_lines(cell.pane)
        assert lines["collaborator-1", 2, "I trained on 300 digits"] == 1
        assert sum(text.startswith("tested: accuracy") for _, _, text in lines) == 2


def test_a_second_run_of_the_task_sees_nothing_of_the_first(federation):
    aggregator, collaborator = federation.aggregator, federation.collaborator
    runs = []
    for _ in range(2):
        cells = aggregator.start(RUN), collaborator.start(RUN)
        federation.finish(*cells)
        runs.append((aggregator.run("print(result.run, end='')").printed, [pane_lines(cell.pane) for cell in cells]))

    assert runs[0][0] != runs[1][0]
    for run, panes in runs:
        for lines in panes:
            models = [text for _, _, text in lines if "the final model is in" in text]
            assert len(models) == 2
            assert all(f"/{run}/" in text for text in models)
            assert lines["collaborator-1", 1, "I trained on 300 digits"] == 1
            assert lines.total() == len(lines)  # no line twice


def test_a_party_that_never_shows_up_is_named_and_a_late_one_says_so_too(federation):
    aggregator, collaborator = federation.aggregator, federation.collaborator
    limit = "import os\nos.environ['PLAYGROUND_CHECK_IN_TIMEOUT'] = {!r}"
    for kernel in (aggregator, collaborator):
        kernel.run(limit.format("1.5"))
    try:
        gave_up, late = aggregator.run(RUN), collaborator.run(RUN)
    finally:
        for kernel in (aggregator, collaborator):
            kernel.run(limit.format(""))

    assert "PartyMissing: collaborator-1 did not check in within 2 s" in gave_up.error
    assert "it never joined this run (is its notebook running?)" in gave_up.error
    assert "run the notebook of collaborator-1 with task_id='fed_avg'" in gave_up.error
    assert "PartyMissing: aggregator did not open task fed_avg within 2 s" in late.error
    assert "run aggregator's notebook" in late.error
    for cell in (gave_up, late):
        assert cell.error.count("\n") < 12, "one screen, without this library's frames"


def test_a_second_notebook_of_the_same_party_is_refused_and_the_first_goes_on(federation):
    aggregator, collaborator = federation.aggregator, federation.collaborator
    first = collaborator.start(RUN)
    collaborator.until(first, "waiting for aggregator")

    aggregator.run('party_id = "collaborator-1"')
    aggregator.run(aggregator.sources["who"])
    second = aggregator.run(RUN)
    aggregator.run('party_id = ""')
    aggregator.run(aggregator.sources["who"])
    other = aggregator.start(RUN)

    assert "DuplicateParty: collaborator-1 already takes part in task fed_avg (process" in second.error
    assert "interrupt that notebook, or give this one another party id" in second.error
    federation.finish(other, first)


def test_models_that_differ_are_named_layer_by_layer_before_any_training(federation):
    aggregator, collaborator = federation.aggregator, federation.collaborator
    model = collaborator.sources["model"]
    collaborator.run(model.replace("out_features=50", "out_features=40").replace("in_features=50", "in_features=40"))
    try:
        cells = aggregator.start(RUN), collaborator.start(RUN)
        aggregator.until(cells[0])
        collaborator.until(cells[1])
    finally:
        collaborator.run(model)

    for cell in cells:
        assert "collaborator-1 built another model than aggregator: fc1.weight is (50, 320) float32" in cell.error
        assert "(40, 320)" in cell.error
        assert "I trained" not in cell.pane
    assert "ModelMismatch: " in cells[0].error
    assert "PartyFailed: aggregator failed" in cells[1].error


def test_a_full_disk_is_named_at_the_party_that_has_it_and_at_the_others(federation):
    aggregator, collaborator = federation.aggregator, federation.collaborator
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, ({}, resource.RLIM_INFINITY))"
    collaborator.run(limit.format(60_000))  # bytes a file may grow to; the model takes 87 kB
    try:
        waiting, failed = aggregator.start(RUN), collaborator.start(RUN)
        collaborator.until(failed)
    finally:
        collaborator.run(limit.format("resource.RLIM_INFINITY"))

    home = federation.sandbox.folder / "home" / "fed_avg" / "collaborator-1"
    assert re.search(r"StorageError: could not [a-z0-9 ]+: the disk is full", failed.error)
    assert str(home) in failed.error
    assert "free some space" in failed.error
    told = r"collaborator-1 failed \(cell \[\d+\], line 2\): StorageError: could not .*: the disk is full.*; waiting"
    aggregator.until(waiting, told)
    federation.finish(waiting, collaborator.start(RUN))  # after making room, without touching the aggregator


def test_a_mended_cell_is_run_again_and_the_round_completes_without_touching_the_others(federation):
    aggregator, collaborator = federation.aggregator, federation.collaborator
    collaborator.run(
        "sound = type(scheduler).train_an_epoch\n"
        "def broken(self):\n"
        "    if self.current_round == 2:\n"
        "        raise ValueError('half of my data is missing')\n"
        "    return sound(self)\n"
        "type(scheduler).train_an_epoch = broken"
    )
    waiting, failed = aggregator.start(RUN), collaborator.start(RUN)
    collaborator.until(failed)
    assert "ValueError: half of my data is missing" in failed.error
    aggregator.until(waiting, r"collaborator-1 failed .*ValueError: half of my data is missing; waiting at most 1800 s")

    collaborator.run("type(scheduler).train_an_epoch = sound")
    federation.finish(waiting, collaborator.start(RUN))
    assert "collaborator-1 is back" in waiting.pane
    assert "round 2: Traceback" not in waiting.error


def test_a_mended_module_is_used_when_the_cell_is_run_again(federation, tmp_path):
    aggregator, collaborator = federation.aggregator, federation.collaborator
    module = tmp_path / "data_checks.py"
    module.write_text("def check(round):\n    assert round < 2, 'this check is wrong'\n")
    collaborator.run(
        f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\nfrom data_checks import check\n"
        "sound = type(scheduler).train_an_epoch\n"
        "type(scheduler).train_an_epoch = lambda self: (check(self.current_round), sound(self))[1]"
    )
    waiting, failed = aggregator.start(RUN), collaborator.start(RUN)
    collaborator.until(failed)
    assert "this check is wrong" in failed.error

    module.write_text("def check(round):\n    assert round < 20, 'this check is right'\n")
    federation.finish(waiting, collaborator.start(RUN))
    assert collaborator.run("type(scheduler).train_an_epoch = sound").error == ""


def test_a_server_that_does_not_answer_is_named_without_its_password(federation):
    collaborator = federation.collaborator
    collaborator.run("os.environ['PLAYGROUND_REDIS_URL'] = 'redis://:secret@127.0.0.1:1/0'")
    try:
        cell = collaborator.run(RUN)
    finally:
        collaborator.run("del os.environ['PLAYGROUND_REDIS_URL']")

    assert "ServerUnreachable: no server answers at redis://:***@127.0.0.1:1/0" in cell.error
    assert "PLAYGROUND_REDIS_URL" in cell.error
    assert "secret" not in cell.error


def test_the_cells_after_the_run_show_results_and_the_party_kept_its_log(federation):
    aggregator, collaborator = federation.aggregator, federation.collaborator
    federation.finish(aggregator.start(RUN), collaborator.start(RUN))
    for kernel in (aggregator, collaborator):
        names = list(kernel.sources)
        cells = [kernel.start(kernel.sources[name]) for name in names[names.index("run") + 1 :]]
        kernel.until(cells[-1])
        assert [cell.error for cell in cells] == [""] * len(cells)
        assert all(cell.outputs for cell in cells)
    home = federation.sandbox.folder / "home" / "fed_avg"
    for party in ("aggregator", "collaborator-1"):
        texts = [json.loads(line)["text"] for line in (home / party / "logs.jsonl").read_text().splitlines()]
        assert any("all 2 parties are here" in text for text in texts)
        assert os.stat(home / party).st_mode & 0o777 == 0o700


def test_when_the_kernels_are_closed_only_the_shared_server_is_left_and_it_can_be_stopped(federation):
    for kernel in (federation.aggregator, federation.collaborator):
        kernel.close()
    left = federation.sandbox.processes()
    assert len(left) == 2, left  # the server and its supervisor
    assert sum("playground_ext.bus.supervisor" in line for line in left) == 1

    federation.sandbox.stop_shared_servers()

    assert federation.sandbox.left_behind() == []
