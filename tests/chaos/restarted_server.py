"""A server that is started again, at the same socket, whenever it is killed: what the runner's supervisor does."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from playground_ext.bus.private_folder import PAYLOADS
from playground_ext.bus.server import find_binary
from playground_ext.bus.server_program import configuration, launch_command

__all__ = ["RestartedServer"]


class RestartedServer:
    """Its process id is in `pid_file`. `keeps_data`: a new life finds the data of the one before.

    `restarts`: False leaves it dead. `pause`: seconds until it is started again. `files`: large payloads lie beside its
    socket, as with the embedded server; else in chunks on it.
    """

    def __init__(
        self,
        folder: Path,
        *,
        keeps_data: bool = False,
        restarts: bool = True,
        pause: float = 0.0,
        files: bool = True,
        max_memory: int = 256 << 20,
    ) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if files:
            (folder / PAYLOADS).mkdir(mode=0o700, exist_ok=True)
        self.folder = folder
        self.url = f"unix://{quote(str(folder / 's'))}"
        self.pid_file = folder / "pid"
        self.lives = 0
        self._restarts, self._pause = restarts, pause
        config = configuration(folder, 0, None, max_memory)
        if keeps_data:
            config = config.replace("appendonly no", "appendonly yes\nappendfsync always")
        (folder / "server.conf").write_text(config)
        self._stopping = threading.Event()
        self._ready = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="restarted server", daemon=True)

    @property
    def pid(self) -> int:
        return int(self.pid_file.read_text())

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def __enter__(self) -> Self:
        self._keeper.start()
        if not self._ready.wait(10):
            raise RuntimeError("the server did not start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopping.set()
        if self._process.poll() is None:
            self._process.kill()
        self._keeper.join(10)

    def _keep(self) -> None:
        """In one thread to the end: the server dies with the thread that started it."""
        command = launch_command(find_binary(), self.folder / "server.conf")
        while not self._stopping.is_set():
            (self.folder / "s").unlink(missing_ok=True)
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd="/"
            )
            self.pid_file.write_text(str(self._process.pid))
            self.lives += 1
            with self._process.stdout or open(os.devnull, "rb") as output:
                for line in output:
                    if b"eady to accept connections" in line:
                        self._ready.set()
            self._process.wait()
            if not self._restarts:
                return
            self._stopping.wait(self._pause)
