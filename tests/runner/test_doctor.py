"""`doctor`, `server` and what the shell completes."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import pytest

from playground_ext.bus.server import EmbeddedServer
from playground_ext.runner import doctor
from playground_ext.runner.doctor import Finding, examine, findings_text


@pytest.fixture
def findings(tmp_path, monkeypatch):
    """Examines with these variables set; what was found, by name."""

    def look(**environment: str) -> dict[str, Finding]:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return {finding.what: finding for finding in reversed(list(examine()))}

    monkeypatch.chdir(tmp_path)
    return look


def test_doctor_finds_a_working_environment(playground):
    code, output = playground("doctor")

    assert code == 0, output
    for what in ("Python", "torch", "torchvision", "server", "kernels", "JupyterLab", "data", "disk"):
        assert what in output
    assert "embedded, " in output
    assert "Everything is there." in output
    assert max(map(len, output.splitlines())) < 200


def test_doctor_says_what_to_do(findings, tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "ROOM", 1e18)  # bytes
    monkeypatch.setitem(sys.modules, "torchvision", None)  # as if it could not be imported
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")

    found = findings(
        PLAYGROUND_DATA=str(tmp_path / "nowhere"),
        PLAYGROUND_REDIS_URL="redis://127.0.0.1:1/0",
        JUPYTER_PATH=str(tmp_path),
        PLAYGROUND_HOME=str(blocked / "home"),
    )

    assert found["torchvision"].kind == "problem"
    assert "pip install" in found["torchvision"].advice
    assert found["server"].kind == "problem"
    assert "127.0.0.1:1" in found["server"].text
    assert found["data"].kind == "problem"
    assert "unset it" in found["data"].advice
    assert found["disk"].kind == "problem"
    code, text = findings_text(list(found.values()), as_json=False)
    assert code == 1
    assert text.count("→ ") >= 4
    assert "problems." in text


def test_doctor_notices_a_server_that_forgets(findings):
    with EmbeddedServer(port=0) as server:
        from playground_ext.bus.connection import Connection

        with Connection(server.url) as connection:
            connection.client.config_set("maxmemory-policy", "allkeys-lru")
        found = findings(PLAYGROUND_REDIS_URL=server.url)

    assert found["server"].kind == "problem"
    assert "noeviction" in found["server"].advice
    assert server._password not in found["server"].text


def test_doctor_names_missing_kernels(findings, monkeypatch):
    from jupyter_client.kernelspec import KernelSpecManager

    monkeypatch.setattr(KernelSpecManager, "find_kernel_specs", lambda self: {"playground-host": ""})

    finding = findings()["kernels"]

    assert finding.kind == "problem"
    assert finding.text.startswith("aggregator, collaborator not found")


def test_doctor_speaks_json():
    said = [Finding("torch", "problem", "gone", "install it"), Finding("disk", "ok", "room")]

    code, text = findings_text(said, as_json=True)

    assert code == 1
    assert json.loads(text)[0] == {"what": "torch", "kind": "problem", "text": "gone", "advice": "install it"}


def test_an_old_python_is_a_problem(monkeypatch):
    monkeypatch.setattr(doctor, "sys", SimpleNamespace(version="3.9.2 (x)", version_info=(3, 9, 2), executable="/p"))

    assert doctor._python().kind == "problem"


def test_the_shared_server_is_started_shown_and_stopped(playground):
    assert playground("server", "status")[0] == 1
    code, output = playground("server", "start")
    assert code == 0
    assert "unix://" in output

    code, output = playground("server", "status", "--json")
    said = json.loads(output)
    assert (code, said["running"]) == (0, True)
    assert said["memory"] > 0
    assert playground("server", "stop") == (0, "The server is stopped.\n")
    assert playground("server", "stop") == (0, "No server was running.\n")
    code, output = playground("server", "status")
    assert code == 1
    assert "the first notebook there starts one" in output


def test_the_status_of_a_given_server_hides_its_password(playground):
    with EmbeddedServer(port=0, password="secret-word") as server:
        url = server.url
        code, output = playground("server", "status", PLAYGROUND_REDIS_URL=url)

    assert code == 0
    assert "PLAYGROUND_REDIS_URL" in output
    assert "secret-word" not in output
    code, output = playground("server", "status", PLAYGROUND_REDIS_URL=url)
    assert code == 1
    assert "Error: " in output
    assert len(output.splitlines()) < 10


@pytest.mark.parametrize(
    ("line", "expected"),
    [("playground run fed_", "fed_avg"), ("playground show mi", "mine"), ("playground logs mine --party al", "alice")],
)
def test_the_shell_completes_names(playground, line, expected):
    party = playground.folder / "data" / "playground" / "mine" / "alice"
    party.mkdir(parents=True)
    (party / "logs.jsonl").write_text("")

    words = line.split()
    code, output = playground(
        _PLAYGROUND_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(len(words) - 1), _TYPER_COMPLETE="1"
    )

    assert code == 0, output
    assert expected in output.split()
