"""The one server that a user's interactive kernels in one workspace folder share, and the process that owns it.

`shared_server()` gives its address and starts it where none runs. The owner is a detached process (own session:
closing a notebook or its kernel does not touch it) that restarts a server that died, and ends after `IDLE` seconds
without clients. Kernels speak to it over the socket `c` in its folder: one word in, one line of JSON out, one
conversation at a time.
"""

from __future__ import annotations

import argparse
import os
import selectors
import signal
import socket
import sys
import threading
import time
from collections import deque
from pathlib import Path

import msgspec

from playground_ext.bus.connection import Connection
from playground_ext.bus.private_folder import PrivateFolder, locked
from playground_ext.bus.server import EmbeddedServer
from playground_ext.bus.shared import (
    CONTROL,
    CONVERSATION,
    SERVER_FOLDER,
    SharedServer,
    lock_of,
    shared_server,
    shared_server_status,
    stop_shared_server,
)
from playground_ext.errors import PlaygroundError, ServerError, ServerUnreachable

__all__ = ["SharedServer", "Supervisor", "main", "shared_server", "shared_server_status", "stop_shared_server"]

IDLE = 900.0  # seconds without clients after which the server is stopped
CHECK_EVERY = 15.0  # seconds between two looks at the clients, at most
RESTARTS = 5  # deaths of the server within RESTART_WINDOW after which it is given up
RESTART_WINDOW = 60.0  # seconds


class Supervisor:
    """Owns the server in `folder` from `start` to `close`; `serve` is its life."""

    def __init__(self, folder: Path, workspace: Path, *, idle: float = IDLE) -> None:
        self._workspace = workspace
        self._idle = idle
        self._lock = lock_of(folder)
        self._folder = PrivateFolder(folder)
        self._control = socket.socket(socket.AF_UNIX)
        self._server = EmbeddedServer(folder / SERVER_FOLDER)
        self._watch: Connection | None = None
        self._selector = selectors.DefaultSelector()
        self._died, self._death_notice = socket.socketpair()
        self._started = time.monotonic()
        self._deaths: deque[float] = deque(maxlen=RESTARTS)
        self._last_seen = time.monotonic()  # when a client was last there
        self._connections = 0  # that the server had accepted by then
        self._closed = False

    def start(self) -> None:
        """Start the server, then listen: who reaches the control socket finds the server running.

        Raises:
            ServerError, ConfigError: it cannot be started.
        """
        self._start_server()
        self._control.bind(str(self._folder.path / CONTROL))
        self._control.listen(64)
        self._selector.register(self._control, selectors.EVENT_READ)
        self._selector.register(self._died, selectors.EVENT_READ)

    def serve(self) -> None:
        """Answer kernels and restart the server, until it is asked to stop or nobody used it for `idle` seconds."""
        pause = min(CHECK_EVERY, self._idle / 4)
        next_check = time.monotonic() + pause
        while True:
            for key, _ in self._selector.select(max(0.0, next_check - time.monotonic())):
                if key.fileobj is self._died:
                    self._died.recv(64)
                if not self._server.running:
                    self._restart_server()
                if key.fileobj is self._control and self._converse():
                    return
            if time.monotonic() >= next_check:
                next_check = time.monotonic() + pause
                if self._unused() and self._leave_unnoticed():
                    return

    def close(self) -> None:
        """Stop the server and remove the folder. Once more does nothing."""
        if self._closed:
            return
        self._closed = True
        self._selector.close()
        self._control.close()
        self._close_watch()
        self._server.stop()
        self._folder.remove()
        self._died.close()
        self._death_notice.close()

    def _start_server(self) -> None:
        self._server.start()
        threading.Thread(target=self._report_death, args=(self._server,), name="death notice", daemon=True).start()
        self._watch = Connection(self._server.url, name="playground-supervisor")
        self._connections = 0
        self._last_seen = time.monotonic()

    def _report_death(self, server: EmbeddedServer) -> None:
        while not server.wait(3600.0):
            pass
        try:
            self._death_notice.send(b"x")
        except OSError:
            return  # closing

    def _restart_server(self) -> None:
        now = time.monotonic()
        if len(self._deaths) == RESTARTS and now - self._deaths[0] < RESTART_WINDOW:
            raise ServerError(
                f"the shared server died {RESTARTS + 1} times within {RESTART_WINDOW:g} s",
                details=self._server.log(),
                next_step="is the machine out of memory?",
            )
        self._deaths.append(now)
        print(f"the server died and is started again; its last words:\n{self._server.log()}", flush=True)
        self._close_watch()
        self._server.stop()
        self._start_server()

    def _converse(self) -> bool:
        """Answer one kernel; True if it wants the server to stop."""
        peer, _ = self._control.accept()
        with peer:
            peer.settimeout(CONVERSATION)
            try:
                wish = peer.recv(64).strip()
                self._last_seen = time.monotonic()
                self._answer_death()
                peer.sendall(msgspec.json.encode(self._status(), enc_hook=str) + b"\n")
            except (OSError, PlaygroundError) as error:
                print(f"a conversation broke: {error}", flush=True)
                return False
            if wish == b"stop":
                self.close()  # while the other side waits for the end of this conversation
                return True
        return False

    def _answer_death(self) -> None:
        """Restart the server now if it died a moment ago and the notice is still on its way."""
        try:
            self._info()
        except ServerUnreachable:
            if not self._server.wait(CONVERSATION / 2):
                raise
            self._restart_server()

    def _info(self) -> dict[str, int]:
        if self._watch is None:
            raise ServerError("the server is not running")
        info = self._watch.client.info("clients", "memory", "stats")
        return {
            "clients": int(info["connected_clients"]) - 1,  # without this one
            "memory": int(info["used_memory"]),
            "connections": int(info["total_connections_received"]),
        }

    def _status(self) -> SharedServer:
        info = self._info()
        return SharedServer(
            url=self._server.url,
            pid=self._server.pid,
            supervisor_pid=os.getpid(),
            workspace=self._workspace,
            clients=info["clients"],
            memory=info["memory"],
            uptime=time.monotonic() - self._started,
        )

    def _unused(self) -> bool:
        """Whether no client was there for `idle` seconds, not even for a moment."""
        try:
            info = self._info()
        except PlaygroundError:
            return False  # it just died; the notice is on its way
        if info["clients"] or info["connections"] != self._connections:
            self._connections = info["connections"]
            self._last_seen = time.monotonic()
        return time.monotonic() - self._last_seen >= self._idle

    def _leave_unnoticed(self) -> bool:
        """Stop while nobody is starting or asking for the server; False if somebody is."""
        try:
            with locked(self._lock, timeout=0.0):
                if not self._unused():
                    return False
                self.close()
        except ServerError:
            return False
        return True

    def _close_watch(self) -> None:
        if self._watch is not None:
            self._watch.close()
            self._watch = None


def main(arguments: list[str] | None = None) -> int:
    """`python -m playground_ext.bus.supervisor FOLDER`: returns when the server runs, while a child carries on."""
    parser = argparse.ArgumentParser(prog="playground_ext.bus.supervisor", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workspace", type=Path, default=Path("/"), help="whose notebooks share this server")
    parser.add_argument("--idle", type=float, default=IDLE, help="seconds without clients after which to stop")
    options = parser.parse_args(arguments)
    ready, tell = os.pipe()
    if child := os.fork():  # whoever called us waits for this process only, and keeps no zombie
        os.close(tell)
        with open(ready, "rb") as report:
            message = report.read()
        if message == b"ready":
            return 0
        os.waitpid(child, 0)
        sys.stderr.write(message.decode() or "the supervisor ended without a word\n")
        return 1
    os.close(ready)
    return _live_detached(options.folder, options.workspace, options.idle, tell)


def _live_detached(folder: Path, workspace: Path, idle: float, tell: int) -> int:
    os.setsid()
    os.chdir("/")
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    with open(tell, "wb", buffering=0) as report:
        try:
            supervisor = Supervisor(folder, workspace, idle=idle)
            try:
                _redirect_output(folder / "supervisor.log")
                supervisor.start()
            except BaseException:
                supervisor.close()
                raise
        except PlaygroundError as error:
            report.write(str(error).encode())
            return 1
        report.write(b"ready")
    try:
        supervisor.serve()
    finally:
        supervisor.close()
    return 0


def _redirect_output(log: Path) -> None:
    """Let go of the notebook's streams, or its end would wait for ours."""
    nowhere = os.open(os.devnull, os.O_RDONLY)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for source, target in ((nowhere, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    os.close(nowhere)
    os.close(output)


if __name__ == "__main__":
    sys.exit(main())
