"""A forked kernel's process, as `subprocess.Popen` would show it to the process that asked for it."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import threading
import time
import weakref

from playground_ext.kernel.packets import Ended, receive

__all__ = ["ForkedProcess", "readable"]


class ForkedProcess:
    """A process whose parent is the zygote. May be used by several threads at once.

    Letting go of it ends the kernel: its connection to the zygote is the kernel's lease.
    """

    stdin = stdout = stderr = None

    def __init__(self, connection: socket.socket, pid: int, pidfd: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._connection, self._pidfd = connection, pidfd
        self._lock = threading.Lock()
        weakref.finalize(self, _close, connection, pidfd)

    def fileno(self) -> int:
        """Becomes readable when the process has ended."""
        return self._connection.fileno()

    def poll(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        with self._lock:
            if self.returncode is None and readable(self._connection.fileno(), 0.0):
                try:
                    packet, _ = receive(self._connection)
                except OSError:
                    packet = None
                if isinstance(packet, Ended):
                    self.returncode = packet.status
                else:  # the zygote was killed, and its kernels with it
                    self.returncode = -signal.SIGKILL
                    self.kill()
            return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Raises subprocess.TimeoutExpired."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while (status := self.poll()) is None:
            left = None if deadline is None else deadline - time.monotonic()
            if timeout is not None and left is not None and left <= 0:
                raise subprocess.TimeoutExpired("forked kernel", timeout)
            readable(self._connection.fileno(), 1.0 if left is None else min(left, 1.0))
        return status

    def send_signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def readable(descriptor: int, timeout: float) -> bool:
    """Whether something, or the end, can be read from it within `timeout` seconds. Unlike select, for any number."""
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    return bool(poller.poll(1000 * timeout))


def _close(connection: socket.socket, pidfd: int) -> None:
    connection.close()
    with contextlib.suppress(OSError):
        os.close(pidfd)
