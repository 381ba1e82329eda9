"""The embedded server: a private Redis-protocol server that nobody has to install and that never outlives its owner."""

from __future__ import annotations

import atexit
import os
import re
import secrets
import signal
import socket
import subprocess
import threading
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from playground_ext.bus.connection import Connection
from playground_ext.bus.private_folder import PAYLOADS, PrivateFolder
from playground_ext.bus.server_program import configuration, default_max_memory, find_binary, launch_command
from playground_ext.errors import ConfigError, ServerError

__all__ = ["EmbeddedServer", "find_binary"]

SOCKET_PATH_LIMIT = 100  # bytes; the kernel takes 107
PORT_ATTEMPTS = 5  # free ports to try: another process can take one before the server does
LOG_SHOWN = 20  # last lines of the server's log in an error

_READY = re.compile(rb"ready to accept connections", re.IGNORECASE)
_PORT_TAKEN = re.compile(r"address already in use", re.IGNORECASE)


class EmbeddedServer:
    """The private server of one run, or of one test; a context manager.

    It listens on a unix socket in a folder that only this user can enter, keeps nothing on disk, refuses writes when
    its memory limit is reached, and dies with the process that started it (on Linux also when that one is killed).

    `folder`: absent or empty, removed at `stop`; by default a fresh one below PLAYGROUND_RUNTIME. `port`: also listen
    on 127.0.0.1, where a password is needed (0: any free port). `password`: by default none on the socket alone, a
    random one with a port. `max_memory`: bytes; by default a quarter of the machine's, at most 4 GiB.

    Raises:
        ConfigError: a folder that is not private or too deep, a port or password that cannot be used.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        port: int | None = None,
        password: str | None = None,
        max_memory: int | None = None,
    ) -> None:
        if port is not None and not 0 <= port <= 65535:
            raise ConfigError(f"port {port} does not exist", next_step="give 0 (any free port) to 65535")
        if password is not None and (not password or not password.isprintable()):
            raise ConfigError("the server's password is empty or holds control characters", next_step="give another")
        if max_memory is not None and max_memory < 1 << 20:
            raise ConfigError(
                f"a server cannot work with {max_memory} bytes", next_step="give at least 1048576 (1 MiB)"
            )
        self._wanted_folder = folder
        self._wanted_port = port
        self._port = 0
        self._password = password or (secrets.token_urlsafe(24) if port is not None else None)
        self._max_memory = max_memory or default_max_memory()
        self._folder: PrivateFolder | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._starter = 0  # process id of whoever started it: forked children must not stop it
        self._ready = threading.Event()
        self._gone = threading.Event()
        self._keeper: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Where to connect, with the password.

        Raises:
            ServerError: it is not running.
        """
        if self._port:
            return f"redis://:{quote(self._password or '', safe='')}@127.0.0.1:{self._port}/0"
        query = f"?password={quote(self._password, safe='')}" if self._password else ""
        return f"unix://{quote(str(self.folder / 's'))}{query}"

    @property
    def folder(self) -> Path:
        """Its private folder: socket `s`, `server.conf`, `log`; payloads below `p`, if everybody uses the socket."""
        if self._folder is None:
            raise ServerError("the server is not running", next_step="call start(), or use it as a context manager")
        return self._folder.path

    @property
    def pid(self) -> int:
        """The server's process id."""
        if self._process is None:
            raise ServerError("the server is not running", next_step="call start(), or use it as a context manager")
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and not self._gone.is_set()

    def start(self, timeout: float = 10.0) -> Self:
        """Start it and return when it accepts connections.

        Raises:
            ServerError: it is running already, no program was found, or it was not ready within `timeout` seconds; its
                log is in `details`.
            ConfigError: the folder is not private, or its path is too long for a socket.
        """
        if self._process is not None:
            raise ServerError(f"the server is running already, process {self.pid}", next_step="stop() it first")
        binary = find_binary()
        self._folder = PrivateFolder(self._wanted_folder)
        try:
            if len(os.fsencode(self.folder / "s")) > SOCKET_PATH_LIMIT:
                raise ConfigError(
                    f"the path {self.folder / 's'} is too long for a socket (over {SOCKET_PATH_LIMIT} bytes)",
                    next_step="set PLAYGROUND_RUNTIME to a shorter path on a local disk",
                )
            if self._wanted_port is None:
                (self.folder / PAYLOADS).mkdir(mode=0o700)
            for attempts_left in reversed(range(PORT_ATTEMPTS)):
                self._port = _free_port() if self._wanted_port == 0 else self._wanted_port or 0
                if self._launch(binary, timeout):
                    break
                log = self.log()
                self._end_process(timeout)
                if self._wanted_port != 0 or not attempts_left or not _PORT_TAKEN.search(log):
                    what = f"the server did not start within {timeout:g} s"
                    raise ServerError(what, details=log, next_step=_advice(log))
        except BaseException:
            self.stop()
            raise
        atexit.register(self.stop)
        return self

    def restart(self, timeout: float = 10.0) -> None:
        """Start it again after it died: at the same address, with the same password, without its data.

        Raises:
            ServerError: it runs, or was never started, or does not start now; its log is in `details`.
        """
        if self.running or self._process is None:
            state = "running" if self.running else "not started"
            raise ServerError(f"only a server that died can be started again; this one is {state}")
        self._end_process(timeout)
        if not self._launch(find_binary(), timeout):
            raise ServerError(f"the server did not start again within {timeout:g} s", details=self.log())

    def _launch(self, binary: Path, timeout: float) -> bool:
        config = self.folder / "server.conf"
        config.touch(mode=0o600)
        config.write_text(configuration(self.folder, self._port, self._password, self._max_memory))
        command = launch_command(binary, config)
        self._ready = threading.Event()
        self._gone = threading.Event()
        self._starter = os.getpid()
        self._keeper = threading.Thread(target=self._keep, args=(command,), name="playground server", daemon=True)
        self._keeper.start()
        self._ready.wait(timeout)
        return self._ready.is_set() and not self._gone.is_set()

    def _keep(self, command: list[str]) -> None:
        """Start the server and stay until it ends: Linux sends the death signal when the starting *thread* exits."""
        try:
            with (self.folder / "log").open("ab", buffering=0) as log:
                try:
                    self._process = subprocess.Popen(
                        command,
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.PIPE,
                        stderr=subprocess.STDOUT,
                        start_new_session=True,  # Ctrl-C in the terminal is for the notebooks, not for their server
                        cwd="/",
                    )
                except OSError as error:
                    log.write(f"{command[0]} cannot be started: {error}\n".encode())
                    return
                with self._process.stdout or open(os.devnull, "rb") as output:
                    for line in output:
                        log.write(line)
                        if _READY.search(line):
                            self._ready.set()
                self._process.wait()
        finally:
            self._gone.set()
            self._ready.set()  # whoever waits for it to start need not wait any longer

    def wait(self, timeout: float) -> bool:
        """Whether the server has ended, after at most `timeout` seconds."""
        return self._gone.wait(timeout)

    def log(self) -> str:
        """The last lines of the server's own log."""
        try:
            text = (self.folder / "log").read_text(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-LOG_SHOWN:])

    def memory(self) -> int:
        """Bytes in use by the server.

        Raises:
            ServerUnreachable: it is gone.
        """
        with Connection(self.url, name="playground-memory") as connection:
            return int(connection.client.info("memory")["used_memory"])

    def stop(self, timeout: float = 5.0) -> None:
        """End the server, by force after `timeout` seconds, and remove its folder. Once more does nothing."""
        if self._starter not in (0, os.getpid()):
            return  # a forked child: the server is its parent's
        atexit.unregister(self.stop)
        self._end_process(timeout)
        if self._folder is not None:
            self._folder.remove()
            self._folder = None
        self._port = 0

    def _end_process(self, timeout: float) -> None:
        process = self._process
        if process is not None:
            process.send_signal(signal.SIGTERM)
            if not self._gone.wait(timeout):
                process.kill()
        if self._keeper is not None:
            self._keeper.join(timeout)
        self._process = None
        self._keeper = None

    def __enter__(self) -> Self:
        return self if self.running else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _advice(log: str) -> str:
    if _PORT_TAKEN.search(log):
        return "choose another port, or 0 for any free one"
    return "its log is below; with PLAYGROUND_REDIS_URL you can use a server that runs elsewhere"
