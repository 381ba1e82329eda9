"""Forks Python scripts from one process that has imported torch: three parties of a test need no three imports.

`with shared():` decides where that process listens, in an environment variable, so that other workers and what they
start find it; the first `fork_script` starts it. It forks while it has one thread, before torch has computed anything.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import runpy
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from playground_ext.bus.private_folder import locked

__all__ = ["ScriptProcess", "fork_script", "shared"]

SOCKET = "SCRIPT_SERVER"  # the environment variable
WARM_UP = 120.0  # seconds that the imports may take while everything else starts, too
GLANCE = 0.01  # seconds between two looks at the scripts that run
IDLE = 1500.0  # seconds without a script after which the server leaves, should nobody end it
_IMPORTED = (
    "torch",
    "torch.utils.tensorboard",
    "torch._dynamo",
    "torchvision",
    "playground_ext.fed_avg.scheduler",
    "playground_ext.hetero_nn.host",
    "playground_ext.psi.scheduler",
    "playground_ext.compat.alphafed.contractor",
    "playground_ext.compat.alphafed.fed_avg",
    "preloaded_accountant",
)


@contextlib.contextmanager
def shared() -> Iterator[None]:
    """One server for everything that is started meanwhile; it leaves in the end."""
    folder = Path(tempfile.mkdtemp(prefix="pgs", dir="/tmp"))
    os.environ[SOCKET] = str(folder / "s")
    try:
        yield
    finally:
        del os.environ[SOCKET]
        shutil.rmtree(folder, ignore_errors=True)


class ScriptProcess:
    """A script that runs. `exitcode` is None until it has ended, negative after a signal."""

    def __init__(self, connection: socket.socket) -> None:
        self._answers = connection.makefile("r")
        self._connection = connection
        self.pid = int(self._answers.readline())
        self.exitcode: int | None = None

    def join(self, timeout: float | None = None) -> None:
        if self.exitcode is not None:
            return
        with selectors.DefaultSelector() as selector:
            selector.register(self._connection, selectors.EVENT_READ)
            if selector.select(timeout):
                self.exitcode = int(self._answers.readline())
                self._answers.close()
                self._connection.close()

    def is_alive(self) -> bool:
        self.join(0)
        return self.exitcode is None

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


def fork_script(command: Sequence[str], environment: Mapping[str, str]) -> ScriptProcess:
    """Run a script with arguments in a process of its own, in its folder; it prints into SCRIPT.out and SCRIPT.err."""
    path = Path(os.environ[SOCKET])
    connection = _connect(path)
    if connection is None:
        with locked(path.with_suffix(".lock"), timeout=WARM_UP):
            connection = _connect(path) or _start(path)
    connection.sendall(json.dumps([list(command), dict(environment)]).encode() + b"\n")
    return ScriptProcess(connection)


def _connect(path: Path) -> socket.socket | None:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(str(path))
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
        return None
    return connection


def _start(path: Path) -> socket.socket:
    log = path.with_suffix(".log")
    with log.open("wb") as said:
        command = [sys.executable, __file__, str(path)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, timeout=WARM_UP)
    if done.returncode or (connection := _connect(path)) is None:
        raise RuntimeError(f"the server that forks scripts did not start:\n{log.read_text()}")
    return connection


# The server ----------------------------------------------------------------------------------------------------------


def _serve(path: Path) -> None:
    """Returns when it listens; a child carries on."""
    hear, tell = os.pipe()
    if os.fork():
        os.close(tell)
        sys.exit(0 if os.read(hear, 1) else 1)
    os.setsid()
    os.close(hear)
    gc.disable()
    for module in _IMPORTED:
        importlib.import_module(module)
    gc.freeze()  # scripts share these pages as long as nobody looks for garbage in them
    gc.enable()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path.with_suffix(".new")))
    listener.listen(64)
    path.with_suffix(".new").rename(path)
    os.write(tell, b"1")
    os.close(tell)
    running: dict[int, socket.socket] = {}  # process id: who asked for it
    used = time.monotonic()
    while path.exists() and time.monotonic() - used < IDLE:
        listener.settimeout(GLANCE if running else 1.0)
        with contextlib.suppress(TimeoutError):
            _fork(listener, running)
            used = time.monotonic()
        _bury(running)


def _fork(listener: socket.socket, running: dict[int, socket.socket]) -> None:
    connection, _ = listener.accept()
    with connection.makefile("r") as lines:
        command, environment = json.loads(lines.readline())
    if (pid := os.fork()) == 0:
        for inherited in (listener, connection, *running.values()):
            inherited.close()
        _run(command, environment)
    connection.sendall(f"{pid}\n".encode())
    running[pid] = connection


def _bury(running: dict[int, socket.socket]) -> None:
    for pid in list(running):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            with running.pop(pid) as connection, contextlib.suppress(OSError):  # nobody asks any more
                connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())


def _run(command: list[str], environment: dict[str, str]) -> None:
    """In the forked process: look like `python script.py`, and end."""
    import torch

    script = command[0]
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(os.path.dirname(script))
    for stream, descriptor in (("out", 1), ("err", 2)):
        target = os.open(f"{script}.{stream}", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(target, descriptor)
        os.close(target)
    sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
    sys.argv = command
    sys.path.insert(0, os.path.dirname(script))
    torch.set_num_threads(1)
    code = 1
    try:
        runpy.run_path(script, run_name="__main__")
        code = 0
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except KeyboardInterrupt:
        traceback.print_exc()
        code = 130
    except Exception:
        traceback.print_exc()
    finally:
        for thread in threading.enumerate():
            if not thread.daemon and thread is not threading.current_thread():
                thread.join()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
