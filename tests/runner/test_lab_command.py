"""`playground lab`."""

from __future__ import annotations

import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from typer.testing import CliRunner

from playground_ext.runner import lab_command
from playground_ext.runner.cli import app


def test_help_says_what_it_does():
    said = CliRunner().invoke(app, ["lab", "--help"], env={"COLUMNS": "100"}).output

    assert "JupyterLab in this folder" in said
    assert "--no-browser" in said


def test_without_jupyterlab_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(lab_command, "find_spec", lambda name: None)

    done = CliRunner().invoke(app, ["lab"])

    assert done.exit_code == 2
    assert "JupyterLab is not installed" in done.output
    assert "playground-ext[lab]" in done.output


def test_without_the_pages_it_says_so_and_opens_lab(monkeypatch, tmp_path):
    started: list[list[str]] = []
    monkeypatch.setattr(lab_command.os, "execv", lambda program, arguments: started.append(arguments))
    monkeypatch.setattr("jupyter_core.paths.jupyter_path", lambda *names: [str(tmp_path)])

    done = CliRunner().invoke(app, ["lab", "--no-browser"])

    assert done.exit_code == 0
    assert "without the Playground's pages" in done.output
    assert started[0][1:3] == ["-m", "jupyterlab"]


def test_the_users_own_options_come_last():
    arguments = lab_command.lab_arguments(["--ServerApp.ip=0.0.0.0"], port=9000, browser=False, folder=Path("/x"))

    assert arguments[0] == "--ServerApp.ip=127.0.0.1"
    assert arguments[-1] == "--ServerApp.ip=0.0.0.0"
    assert {"--ServerApp.root_dir=/x", "--ServerApp.port=9000", "--no-browser"} <= set(arguments)


@pytest.fixture
def running(playground):
    """`playground lab`, when it answers: the process and its address."""
    folder = playground.folder
    where = {f"JUPYTER_{name}_DIR": str(folder / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    process = subprocess.Popen(
        [*playground.command("lab", "--no-browser", "--allow-root", "--port", "18741", "--ServerApp.base_url=/a/")],
        cwd=folder,
        env=playground.environment | where | {"PYTHONWARNINGS": "ignore"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    playground.started.append(process)
    for line in process.stdout:
        if found := re.search(r"(http://127\.0\.0\.1:\d+/a/)lab\?token=(\w+)", line):
            yield process, found[1], found[2]
            return
    raise AssertionError("it did not start")


def test_it_serves_the_current_folder_to_whoever_has_the_token(running, playground):
    process, address, token = running
    (playground.folder / "hello.txt").write_text("here")

    def ask(path: str, token: str) -> bytes:
        request = urllib.request.Request(address + path, headers={"Authorization": f"token {token}"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read()

    for _ in range(100):  # it prints its address a moment before it listens
        try:
            ask("api", token)
            break
        except urllib.error.URLError as error:
            if isinstance(error, urllib.error.HTTPError):
                raise
            time.sleep(0.1)
    assert b"hello.txt" in ask("api/contents", token)
    assert b"fed_avg" in ask("playground/templates", token)
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask("playground/templates", "wrong")
    assert refused.value.code == 403
    refused.value.close()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
