from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from playground_ext.bus.connection import Connection
from playground_ext.bus.private_folder import locked
from playground_ext.bus.shared import lock_of, shared_folder
from playground_ext.bus.supervisor import shared_server, shared_server_status, stop_shared_server
from playground_ext.errors import ConfigError, ServerError, ServerUnreachable


@pytest.fixture(autouse=True)
def workspace(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    monkeypatch.setenv("PLAYGROUND_RUNTIME", str(tmp_path_factory.mktemp("rt")))
    monkeypatch.setenv("PLAYGROUND_WORKSPACE", str(tmp_path))
    yield tmp_path
    stop_shared_server()


def gone(pid: int, timeout: float = 5.0) -> bool:
    """Wait for the end of a process that is not our child."""
    try:
        psutil.Process(pid).wait(timeout)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        return False
    return True


def test_the_second_kernel_gets_the_first_ones_server(workspace: Path) -> None:
    assert shared_server_status() is None

    url = shared_server()

    assert shared_server() == url
    status = shared_server_status()
    assert status is not None
    assert (status.url, status.workspace, status.clients) == (url, workspace, 0)
    assert status.memory > 0
    assert psutil.Process(status.pid).ppid() == status.supervisor_pid
    assert os.getsid(status.supervisor_pid) == status.supervisor_pid  # detached from our terminal
    with Connection(url), Connection(url):
        now = shared_server_status()
        assert now is not None
        assert now.clients == 2


def test_it_outlives_the_kernel_that_started_it() -> None:
    code = "from playground_ext.bus.supervisor import shared_server; print(shared_server())"
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, timeout=20, check=True)
    with Connection(done.stdout.strip()) as connection:
        assert connection.client.ping()
    assert shared_server() == done.stdout.strip()


def test_two_processes_racing_to_start_it_get_the_same_server() -> None:
    code = "from playground_ext.bus.supervisor import *; print(shared_server(), shared_server_status().pid)"
    racers = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(4)]
    answers = [racer.communicate(timeout=30)[0] for racer in racers]
    assert len(set(answers)) == 1
    assert answers[0].startswith("unix://")


def test_another_workspace_has_another_server(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = shared_server()
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("PLAYGROUND_WORKSPACE", str(workspace / "other"))
        second = shared_server()
        assert stop_shared_server()
    assert first != second
    assert shared_server_status() is not None


def test_a_killed_server_is_started_again_at_the_same_address() -> None:
    url = shared_server()
    before = shared_server_status()
    assert before is not None
    with Connection(url) as connection:
        os.kill(before.pid, signal.SIGKILL)
        assert shared_server() == url  # answers when the new one runs
        with pytest.raises(ServerUnreachable):
            connection.client.ping()
        connection.reconnect()
        assert connection.client.ping()
    after = shared_server_status()
    assert after is not None
    assert after.pid != before.pid
    assert after.supervisor_pid == before.supervisor_pid


def test_a_server_that_keeps_dying_is_given_up_and_the_next_start_works() -> None:
    url = shared_server()
    pids = set()
    for _ in range(5):
        status = shared_server_status()
        assert status is not None
        pids.add(status.pid)
        os.kill(status.pid, signal.SIGKILL)
        assert gone(status.pid)
    last = shared_server_status()
    assert last is not None
    assert len(pids) == 5
    os.kill(last.pid, signal.SIGKILL)
    assert gone(last.supervisor_pid)
    assert not shared_folder().exists()
    assert shared_server() == url


def test_it_stops_after_the_idle_time_and_removes_its_folder() -> None:
    shared_server(idle=1.0)
    status = shared_server_status()
    assert status is not None
    assert gone(status.supervisor_pid, timeout=5)
    assert gone(status.pid)
    assert not shared_folder().exists()
    assert shared_server_status() is None


def test_a_connected_client_keeps_it_alive() -> None:
    url = shared_server(idle=0.6)
    status = shared_server_status()
    assert status is not None
    with Connection(url) as connection:
        assert not gone(status.supervisor_pid, timeout=1.5)
        assert connection.client.ping()
    assert gone(status.supervisor_pid, timeout=5)


def test_it_does_not_leave_while_somebody_is_starting() -> None:
    shared_server(idle=0.4)
    status = shared_server_status()
    assert status is not None
    with locked(lock_of(shared_folder())):
        assert not gone(status.supervisor_pid, timeout=1.2)
    assert gone(status.supervisor_pid, timeout=5)


def test_stopping_removes_processes_and_folder_and_says_whether_there_was_one() -> None:
    shared_server()
    status = shared_server_status()
    assert status is not None
    assert stop_shared_server()
    assert not shared_folder().exists()
    assert gone(status.pid)
    assert gone(status.supervisor_pid)
    assert not stop_shared_server()


def test_a_terminated_supervisor_cleans_up() -> None:
    shared_server()
    status = shared_server_status()
    assert status is not None
    os.kill(status.supervisor_pid, signal.SIGTERM)
    assert gone(status.supervisor_pid)
    assert gone(status.pid)
    assert not shared_folder().exists()


@pytest.mark.skipif(sys.platform != "linux", reason="needs PR_SET_PDEATHSIG")
def test_the_folder_of_a_killed_supervisor_is_taken_over() -> None:
    url = shared_server()
    status = shared_server_status()
    assert status is not None
    os.kill(status.supervisor_pid, signal.SIGKILL)
    assert gone(status.supervisor_pid)
    assert gone(status.pid)
    assert shared_folder().exists()
    assert shared_server_status() is None

    assert shared_server() == url
    with Connection(url) as connection:
        assert connection.client.ping()


def test_a_frozen_supervisor_is_named_within_the_timeout() -> None:
    shared_server()
    status = shared_server_status()
    assert status is not None
    os.kill(status.supervisor_pid, signal.SIGSTOP)
    began = time.monotonic()
    try:
        with pytest.raises(ServerError, match=r"did not answer within 0\.5 s"):
            shared_server(start_timeout=0.5)
    finally:
        os.kill(status.supervisor_pid, signal.SIGCONT)
    assert time.monotonic() - began < 3


def test_a_start_that_another_process_holds_up_is_named() -> None:
    with locked(lock_of(shared_folder())), pytest.raises(ServerError, match=r"has held .*\.lock for 0\.3 s"):
        shared_server(start_timeout=0.3)
    shared_server()  # a lock that came too late was let go


def test_a_reason_why_it_cannot_start_reaches_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    long_path = Path(os.environ["PLAYGROUND_RUNTIME"]) / ("x" * 60)
    with monkeypatch.context() as deep:
        deep.setenv("PLAYGROUND_RUNTIME", str(long_path))
        with pytest.raises((ConfigError, ServerError), match=r"too long(.|\n)*PLAYGROUND_RUNTIME"):
            shared_server()


def test_modules_beside_the_notebook_are_not_taken_for_the_librarys(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workspace / "redis.py").write_text("raise RuntimeError('not this one')")
    monkeypatch.chdir(workspace)
    assert shared_server().startswith("unix://")
