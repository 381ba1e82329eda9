"""`playground replay`: one party's round again, alone, and compared with what it sent."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager
from sandbox import Sandbox

CLI = [sys.executable, "-m", "playground_ext.runner"]


@pytest.fixture(scope="module")
def finished(shared_sandbox: Sandbox) -> Sandbox:
    """Three rounds of the template on a few digits, every round kept."""
    run = _cli(
        shared_sandbox,
        *("run", "fed_avg", "--task", "kept", "-p", "max_rounds=3", "-p", "samples=200"),
        PLAYGROUND_KEEP_ROUNDS="all",
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return shared_sandbox


def test_a_collaborators_round_runs_again_and_its_update_is_the_same_bit_for_bit(finished: Sandbox) -> None:
    shown = _cli(finished, "replay", "kept", "--party", "collaborator-2", "--round", "2", "--execute")
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "collaborator-2, round 2 of kept, run again: equal" in shown.stdout
    assert "update: equal, bit for bit" in shown.stdout
    assert " MB (keep_rounds" in shown.stdout
    assert "Parent appears to have exited" not in shown.stderr  # its kernel has ended before it


def test_the_aggregators_round_runs_again_up_to_the_aggregate_that_it_sent(finished: Sandbox) -> None:
    shown = _cli(finished, "replay", "kept", "--party", "aggregator", "--round", "2", "--execute")
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert shown.stdout.count("global: equal, bit for bit") == 2  # what began the round, and what came of it


def test_changed_code_is_seen_in_the_comparison(finished: Sandbox) -> None:
    assert _cli(finished, "replay", "kept", "--party", "collaborator-1", "--round", "3").returncode == 0
    path = _runs(finished) / "kept" / "replay-collaborator-1-round-3.ipynb"
    node = nbformat.read(path, as_version=4)
    run = next(cell for cell in node.cells if "scheduler.run()" in cell.source and cell.cell_type == "code")
    run.source = "scheduler.seed = 99\nscheduler._adopt = lambda meta: None\n" + run.source
    nbformat.write(node, path)
    executed = subprocess.run(
        [sys.executable, "-m", "jupyter", "execute", "--inplace", str(path)],
        env=finished.environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert executed.returncode == 0, executed.stderr
    said = nbformat.read(path, as_version=4).cells[-1].outputs[0]["data"]["text/plain"]
    assert "round 3 of kept, run again: NOT equal" in said
    assert "NOT equal, the largest difference is" in said


def test_a_breakpoint_stops_the_training_of_the_round_again(finished: Sandbox) -> None:
    """Set and hit by the debug protocol that JupyterLab and VS Code speak, with the recorded values to look at."""
    assert _cli(finished, "replay", "kept", "--party", "collaborator-1", "--round", "2").returncode == 0
    path = _runs(finished) / "kept" / "replay-collaborator-1-round-2.ipynb"
    codes = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    at = next(index for index, code in enumerate(codes) if "def train_an_epoch" in code)
    line = 1 + next(number for number, text in enumerate(codes[at].splitlines()) if ".backward()" in text)
    manager = KernelManager(kernel_name="playground-collaborator")
    manager.start_kernel(cwd=str(path.parent), env=finished.environment)
    client = manager.client()
    try:
        client.start_channels()
        client.wait_for_ready(timeout=60)
        for code in codes[:at]:  # a debugger makes imports slow
            client.execute_interactive(code, timeout=60, output_hook=lambda message: None)
        debugger = _Debugger(client)
        debugger.ask("initialize", clientID="test", adapterID="", pathFormat="path", linesStartAt1=True)
        debugger.ask("attach")
        there = debugger.ask("dumpCell", code=codes[at])["sourcePath"]
        debugger.ask("setBreakpoints", source={"path": there}, breakpoints=[{"line": line}], sourceModified=False)
        debugger.ask("configurationDone")
        for code in codes[at:]:
            client.execute(code)
        thread = debugger.wait_for("stopped")["threadId"]
        frame = debugger.ask("stackTrace", threadId=thread)["stackFrames"][0]
        value = debugger.ask("evaluate", expression="self.current_round", frameId=frame["id"], context="hover")
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()

    assert (frame["name"].rsplit(".", 1)[-1], frame["line"]) == ("train_an_epoch", line)
    assert value["result"] == "2"


def test_the_recorded_run_stays_as_it_was(finished: Sandbox) -> None:
    party = _runs(finished) / "kept" / "parties" / "kept" / "collaborator-1"
    before = {path: path.stat().st_mtime_ns for path in party.rglob("*") if path.is_file()}
    assert _cli(finished, "replay", "kept", "--party", "collaborator-1", "--execute").returncode == 0
    after = {path: path.stat().st_mtime_ns for path in party.rglob("*") if path.is_file()}
    assert before == after


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--party", "collaborator-9"], "these took part: aggregator, collaborator-1, collaborator-2"),
        (["--party", "aggregator", "--round", "7"], "these are: 1, 2, 3"),
    ],
)
def test_what_was_not_kept_is_named(finished: Sandbox, arguments: list[str], said: str) -> None:
    shown = _cli(finished, "replay", "kept", *arguments)
    assert shown.returncode == 2
    assert said in " ".join((shown.stdout + shown.stderr).split())


def test_by_default_the_last_round_is_kept_and_no_other(finished: Sandbox) -> None:
    run = _cli(finished, "run", "fed_avg", "--task", "default", "-p", "max_rounds=3", "-p", "samples=200")
    assert run.returncode == 0, run.stdout + run.stderr
    assert json.loads((_runs(finished) / "default" / "summary.json").read_text())["status"] == "ok"
    shown = _cli(finished, "replay", "default", "--party", "collaborator-1", "--round", "1")
    assert "these are: 3" in " ".join((shown.stdout + shown.stderr).split())


def _runs(sandbox: Sandbox) -> Path:
    return sandbox.folder / "runs"


def _cli(sandbox: Sandbox, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*CLI, *arguments],
        env={**sandbox.environment, **environment},
        cwd=sandbox.folder,
        capture_output=True,
        text=True,
        timeout=170,
    )


class _Debugger:
    """Speaks to a kernel's debugger, as front ends do."""

    def __init__(self, client: BlockingKernelClient) -> None:
        self._client = client
        self._asked = 0

    def ask(self, command: str, **arguments: object) -> dict[str, Any]:
        """The body of the answer."""
        self._asked += 1
        content = {"type": "request", "seq": self._asked, "command": command, "arguments": arguments}
        message = self._client.session.msg("debug_request", content)
        self._client.control_channel.send(message)
        while (reply := self._client.get_control_msg(timeout=60))["parent_header"]["msg_id"] != message["msg_id"]:
            pass
        assert reply["content"]["success"], reply["content"]
        return dict(reply["content"].get("body") or {})

    def wait_for(self, event: str) -> dict[str, Any]:
        while True:
            content = self._client.get_iopub_msg(timeout=60)["content"]
            assert content.get("ename") is None, content
            if content.get("event") == event:
                return dict(content["body"])
