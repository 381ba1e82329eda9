"""Asking for a forked kernel: find the zygote or start it, and say plainly why there is none."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import playground_ext.errors
from playground_ext import settings
from playground_ext.bus.private_folder import locked
from playground_ext.errors import PlaygroundError
from playground_ext.kernel.identity import Parent, sockets_folder
from playground_ext.kernel.packets import Born, Refused, Spawn, close_all, connect, receive, send
from playground_ext.kernel.process import ForkedProcess, readable

__all__ = ["NoFork", "Wish", "check_possible", "ensure_zygote", "fork_kernel"]

WARM_UP = 60.0  # seconds that a zygote gets to import everything
ANSWER = 10.0  # seconds in which a zygote forks, on a busy machine
ATTEMPTS = 2  # zygotes that are asked: one may retire, or leave, just then
BIND = 30.0  # seconds that a forked kernel gets to bind its sockets
GIVE_UP = 600.0  # seconds for which a zygote that could not warm up is not tried again
_LIMITS = (
    resource.RLIMIT_CORE,
    resource.RLIMIT_CPU,
    resource.RLIMIT_DATA,
    resource.RLIMIT_FSIZE,
    resource.RLIMIT_NOFILE,
    resource.RLIMIT_STACK,
)


class _AnotherZygote(Exception):
    """This one has retired or left; why."""


class NoFork(Exception):
    """Why an ordinary process has to start instead. Never reaches the user as an error."""


@dataclass(frozen=True)
class Wish:
    """A kernel that is wanted."""

    interpreter: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    preload: Sequence[str] = ()
    idle: float = 600.0  # seconds without kernels after which a zygote that is started for it leaves
    litter: Sequence[str] = field(default=())

    @property
    def parent(self) -> Parent:
        return Parent(self.interpreter, self.environment, tuple(self.preload))


def check_possible(environment: Mapping[str, str]) -> None:
    """Raises NoFork where no zygote is to be used at all."""
    if not settings.read().warm or environment.get("PLAYGROUND_WARM") == "0":
        raise NoFork("PLAYGROUND_WARM=0")
    if sys.platform != "linux":
        raise NoFork(f"forking is not safe on {sys.platform}")
    if not hasattr(os, "pidfd_open") or not hasattr(signal, "pidfd_send_signal"):
        raise NoFork("this Python was built for a Linux without pidfd")


def fork_kernel(wish: Wish, stdout: int, stderr: int) -> ForkedProcess:
    """Fork a kernel that can be connected to when this returns.

    Raises:
        NoFork: why it cannot be done; nothing is left behind.
    """
    check_possible(wish.environment)
    try:
        folder = sockets_folder()
        for _ in range(ATTEMPTS):
            connection = ensure_zygote(wish.parent, folder, idle=wish.idle)
            try:
                return _ask(connection, wish, stdout, stderr, folder)
            except _AnotherZygote as retired:
                why = str(retired)
                connection.close()
            except BaseException:
                connection.close()
                raise
        raise NoFork(f"{ATTEMPTS} zygotes one after the other forked nothing: {why}")
    except PlaygroundError as error:
        raise NoFork(error.what) from error
    except (OSError, UnicodeError) as error:
        raise NoFork(f"the zygote cannot be used: {error}") from error


def ensure_zygote(parent: Parent, folder: Path, *, idle: float, timeout: float = WARM_UP) -> socket.socket:
    """A connection to the zygote for such kernels; it is started first if there is none.

    Raises:
        NoFork: it cannot be started, or not in time.
        PlaygroundError: somebody else starts it, and does not come to an end.
    """
    path = parent.socket_in(folder)
    if (connection := _connect(path)) is not None:
        return connection
    with locked(path.with_suffix(".lock"), timeout=timeout):
        if (connection := _connect(path)) is not None:
            return connection
        _start(parent, path, idle, timeout)
        if (connection := _connect(path)) is not None:
            return connection
    raise NoFork("the zygote has left as soon as it was there")


def _connect(path: Path) -> socket.socket | None:
    try:
        return connect(str(path), ANSWER)
    except (FileNotFoundError, ConnectionError):
        return None


def _start(parent: Parent, path: Path, idle: float, timeout: float) -> None:
    failed = path.with_suffix(".failed")
    with contextlib.suppress(OSError):
        if time.time() - failed.stat().st_mtime < GIVE_UP:
            raise NoFork(f"the zygote could not start a while ago: {failed.read_text('utf-8', 'replace').strip()}")
    command = [parent.interpreter, "-m", "playground_ext.kernel.warm_up", str(path), "--idle", str(idle)]
    command += ["--preload", *parent.preload]
    package = Path(playground_ext.errors.__file__).parents[1]  # no modules from beside a notebook
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd=package,
            env=parent.start_environment(),
            timeout=timeout,
            start_new_session=True,
            text=True,
            errors="replace",
        )
    except subprocess.TimeoutExpired:
        why = f"it was not ready after {timeout:g} s"
    else:
        lines = done.stderr.strip().splitlines() or ["no reason given"]
        why = "" if done.returncode == 0 else lines[-1]
    if why:
        failed.write_text(why, "utf-8")
        raise NoFork(f"the zygote cannot start: {why}")
    failed.unlink(missing_ok=True)


def _ask(connection: socket.socket, wish: Wish, stdout: int, stderr: int, folder: Path) -> ForkedProcess:
    """Raises _AnotherZygote if another one should be asked, NoFork if that would be of no use."""
    ready, tell = os.pipe()
    try:
        try:
            send(connection, _spawn(wish), [stdout, stderr, tell])
            packet, descriptors = receive(connection)
        except TimeoutError:
            _set_aside(wish.parent.socket_in(folder), connection)
            raise NoFork(f"the zygote did not answer within {ANSWER:g} s") from None
        except ConnectionError as error:
            raise _AnotherZygote(str(error)) from error
        finally:
            os.close(tell)
        match packet:
            case None:
                raise _AnotherZygote("it hung up")
            case Refused(why=why, retired=True):
                raise _AnotherZygote(why)
            case Refused(why=why):
                raise NoFork(f"the zygote must not fork: {why}")
            case Born(pid=pid) if len(descriptors) == 1:
                process = ForkedProcess(connection, pid, descriptors[0])
                connection.settimeout(None)
                _wait_until_bound(process, ready)
                return process
        close_all(descriptors)
        raise NoFork("the zygote answered nonsense")
    finally:
        os.close(ready)


def _spawn(wish: Wish) -> Spawn:
    return Spawn(
        list(wish.arguments),
        dict(wish.environment),
        str(wish.folder),
        _umask(),
        sorted(os.sched_getaffinity(0)),
        {limit: resource.getrlimit(limit) for limit in _LIMITS},
        list(wish.litter),
    )


def _umask() -> int:
    """Without setting it, which every thread would notice."""
    with open("/proc/self/status") as status:
        return next((int(line.split()[1], 8) for line in status if line.startswith("Umask:")), 0o022)


def _wait_until_bound(process: ForkedProcess, ready: int) -> None:
    """Raises NoFork if the kernel ended before, or takes too long."""
    if readable(ready, BIND) and os.read(ready, 1):
        return
    process.kill()
    try:
        how = f"exit status {process.wait(ANSWER)}"
    except subprocess.TimeoutExpired:
        how = "it cannot be killed"
    raise NoFork(f"the forked kernel did not start ({how})")


def _set_aside(path: Path, connection: socket.socket) -> None:
    """Make room for another zygote: this one does not answer. Its kernels stay; it leaves when it finds out."""
    with (
        contextlib.suppress(OSError, PlaygroundError),
        locked(path.with_suffix(".lock"), timeout=ANSWER),
        contextlib.closing(connect(str(path), ANSWER)) as probe,
    ):
        if _peer(probe) == _peer(connection):  # nobody else has done it
            path.unlink()


def _peer(connection: socket.socket) -> bytes:
    return connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
