"""The warm process that forks party kernels.

It has one thread and waits for packets. It watches over every kernel it has forked: a kernel ends when the asker lets
go of it or is killed, the asker learns its exit status, and processes it has left behind are swept away. The zygote
retires, which is to say it forks no more and leaves with its last kernel, when packages change. It leaves when nobody
has used it for a while, or when its last asker was killed.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import stat
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from playground_ext.kernel.freshness import Installed
from playground_ext.kernel.packets import (
    Ask,
    Born,
    Ended,
    KernelInfo,
    Packet,
    Refused,
    Spawn,
    Status,
    Stop,
    close_all,
    receive,
    send,
)
from playground_ext.kernel.preload import danger

__all__ = ["Zygote"]

IDLE = 600.0  # seconds without kernels and askers after which it leaves
UNTIL_KILL = 2.0  # seconds that an abandoned kernel gets to end after SIGTERM
_LOOK = 5.0  # seconds between looks at the clock and at its own socket


@dataclass
class _Kernel:
    """A forked kernel and who holds its lease."""

    pidfd: int
    lease: socket.socket | None
    info: KernelInfo
    litter: list[str]
    kill_at: float | None = None  # monotonic


class Zygote:
    """Serves one socket until there is nothing left to do."""

    def __init__(self, path: Path, installed: Installed, *, idle: float = IDLE) -> None:
        self._path, self._installed, self._idle = path, installed, idle
        self._kernels: dict[int, _Kernel] = {}
        self._connections: set[socket.socket] = set()
        self._selector = selectors.DefaultSelector()
        self._since, self._used = time.time(), time.monotonic()
        self._born = 0
        self._retired: str | None = None
        self._leaving = False  # no longer than the kernels it has
        self._listener = _listen(path)
        self._inode = os.stat(path).st_ino
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def serve(self) -> tuple[Spawn, list[int]] | None:
        """Returns None when the zygote is to leave, and in a forked child what is wanted of it."""
        while not self._is_done():
            for key, _ in self._selector.select(self._pause()):
                handle: Callable[[], tuple[Spawn, list[int]] | None] = key.data
                if (child := handle()) is not None:
                    return child
            self._kill_late_ones()
            if not self._owns_path():
                self._retire("its socket was replaced")
        return None

    def forget(self) -> None:
        """In a forked child: close what belongs to the zygote."""
        for connection in self._connections:
            connection.close()
        self._listener.close()
        self._selector.close()
        for kernel in self._kernels.values():
            os.close(kernel.pidfd)

    def close(self) -> None:
        if self._owns_path():
            self._path.unlink()
        self.forget()

    # -- the end ----------------------------------------------------------------------------------------------------

    def _is_done(self) -> bool:
        if self._kernels:
            self._used = time.monotonic()
            return False
        if self._leaving:
            return True
        if self._connections:
            self._used = time.monotonic()
        return time.monotonic() - self._used >= self._idle

    def _pause(self) -> float:
        due = [kernel.kill_at for kernel in self._kernels.values() if kernel.kill_at is not None]
        if not self._kernels and not self._connections:
            due.append(self._used + self._idle)
        return min(_LOOK, max(0.0, min(due) - time.monotonic())) if due else _LOOK

    def _retire(self, why: str) -> None:
        if self._retired is None:
            print(f"retired: {why}", file=sys.stderr, flush=True)
            self._retired = why
            self._leaving = True
            if self._owns_path():
                self._path.unlink()

    def _owns_path(self) -> bool:
        try:
            return os.lstat(self._path).st_ino == self._inode
        except OSError:
            return False

    # -- askers -----------------------------------------------------------------------------------------------------

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:  # it has gone away again
            return
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        if struct.unpack("3i", credentials)[1] != os.getuid():
            connection.close()
            return
        connection.setblocking(False)
        self._connections.add(connection)
        self._selector.register(connection, selectors.EVENT_READ, lambda: self._hear(connection))

    def _hear(self, connection: socket.socket) -> tuple[Spawn, list[int]] | None:
        if connection not in self._connections:  # dropped since it became readable
            return None
        try:
            packet, descriptors = receive(connection)
        except BlockingIOError:
            return None
        except OSError:
            packet, descriptors = None, []
        match packet:
            case Spawn():
                return self._spawn(connection, packet, descriptors)
            case Ask() | Stop():
                if isinstance(packet, Stop):
                    self._retire("it was told to stop")
                self._answer(connection, self._status())
            case _:
                self._let_go(connection)
        close_all(descriptors)
        return None

    def _answer(self, connection: socket.socket, packet: Packet, *descriptors: int) -> None:
        with contextlib.suppress(OSError):  # it has gone: its end will be heard
            send(connection, packet, descriptors)

    def _drop(self, connection: socket.socket) -> None:
        self._selector.unregister(connection)
        self._connections.discard(connection)
        connection.close()

    def _let_go(self, connection: socket.socket) -> None:
        """The asker let go, or was killed: so do its kernels end."""
        self._drop(connection)
        for pid, kernel in self._kernels.items():
            if kernel.lease is connection:
                kernel.lease = None
                kernel.kill_at = time.monotonic() + UNTIL_KILL
                _signal_group(pid, signal.SIGTERM)

    def _status(self) -> Status:
        kernels = [kernel.info for kernel in self._kernels.values()]
        return Status(os.getpid(), sys.executable, self._since, self._born, kernels, self._retired)

    # -- kernels ----------------------------------------------------------------------------------------------------

    def _spawn(
        self, connection: socket.socket, wanted: Spawn, descriptors: list[int]
    ) -> tuple[Spawn, list[int]] | None:
        if changed := self._installed.change():
            self._retire(changed)
        why = self._retired or danger() or (len(descriptors) != 3 and "its request lacks descriptors") or None
        if why or not _is_open(connection):
            close_all(descriptors)
            self._answer(connection, Refused(why or "", self._retired is not None))
            return None
        self._leaving = False
        pid = -1
        try:
            pid = os.fork()
            if pid == 0:
                return wanted, descriptors
            pidfd = os.pidfd_open(pid)
        except OSError as error:  # no more processes, memory or descriptors
            if pid > 0:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            self._answer(connection, Refused(f"the system refuses it: {error}", False))
            return None
        finally:
            if pid != 0:
                close_all(descriptors)
        variables = wanted.environment
        info = KernelInfo(
            pid,
            variables.get("PLAYGROUND_PARTY", ""),
            variables.get("PLAYGROUND_TASK", ""),
            variables.get("PLAYGROUND_NOTEBOOK") or variables.get("JPY_SESSION_NAME", ""),
            time.time(),
        )
        self._born += 1
        self._kernels[pid] = _Kernel(pidfd, connection, info, wanted.litter)
        self._selector.register(pidfd, selectors.EVENT_READ, lambda: self._bury(pid))
        self._answer(connection, Born(pid), pidfd)
        return None

    def _bury(self, pid: int) -> None:
        kernel = self._kernels.pop(pid)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # not reaped yet, so that the group's number stays taken
        _signal_group(pid, signal.SIGKILL)  # DataLoader workers and whatever else it has left behind
        _, status = os.waitpid(pid, 0)
        self._selector.unregister(kernel.pidfd)
        os.close(kernel.pidfd)
        if kernel.lease is not None:
            self._answer(kernel.lease, Ended(os.waitstatus_to_exitcode(status)))
            self._drop(kernel.lease)
            return
        for path in kernel.litter:  # the asker was killed: nobody else removes them
            with contextlib.suppress(OSError):
                os.unlink(path)
        self._leaving = self._retired is not None or not self._connections

    def _kill_late_ones(self) -> None:
        for pid, kernel in self._kernels.items():
            if kernel.kill_at is not None and time.monotonic() >= kernel.kill_at:
                _signal_group(pid, signal.SIGKILL)
                kernel.kill_at = time.monotonic() + UNTIL_KILL


def _listen(path: Path) -> socket.socket:
    """Appear at `path` in one step, replacing what a killed zygote has left there."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    draft = f"{path}.{os.getpid()}"
    before = os.umask(0o177)
    try:
        listener.bind(draft)
        listener.listen(128)
        os.rename(draft, path)
    finally:
        os.umask(before)
    listener.setblocking(False)
    mode = os.stat(path).st_mode
    if stat.S_IMODE(mode) != 0o600:
        raise OSError(f"{path} is open to others")
    return listener


def _is_open(connection: socket.socket) -> bool:
    """Whether the asker still waits: while the zygote was stopped, it may have given up."""
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def _signal_group(pid: int, number: signal.Signals) -> None:
    """To the kernel and its workers; the kernel alone if it was only just forked."""
    for deliver in (os.killpg, os.kill):
        with contextlib.suppress(OSError):
            deliver(pid, number)
            return
