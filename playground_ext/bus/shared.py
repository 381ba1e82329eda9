"""A kernel's side of the shared server: find it, start it, ask it, stop it."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

import playground_ext.errors
from playground_ext import settings
from playground_ext.bus.connection import Connection
from playground_ext.bus.private_folder import OWNER, locked, runtime_folder
from playground_ext.errors import ConfigError, PlaygroundError, ServerError

__all__ = [
    "CONTROL",
    "CONVERSATION",
    "SERVER_FOLDER",
    "SharedServer",
    "lock_of",
    "shared_folder",
    "shared_server",
    "shared_server_status",
    "stop_shared_server",
]

CONTROL = "c"  # the supervisor's socket
SERVER_FOLDER = "r"  # the server's folder within the supervisor's
CONVERSATION = 5.0  # seconds that either side of the control socket gets


@dataclass(frozen=True)
class SharedServer:
    """The shared server of a workspace, as its supervisor sees it."""

    url: str
    pid: int
    supervisor_pid: int
    workspace: Path
    clients: int  # without the supervisor
    memory: int  # bytes in use
    uptime: float  # seconds since the supervisor started


def shared_folder(workspace: Path | None = None) -> Path:
    """Where the supervisor of `workspace` (default: PLAYGROUND_WORKSPACE) lives; one per user and workspace."""
    name = os.path.realpath(workspace or settings.read().workspace)
    return runtime_folder() / f"w-{hashlib.sha256(os.fsencode(name)).hexdigest()[:12]}"


def lock_of(folder: Path) -> Path:
    """Held by whoever starts or stops the supervisor in `folder`; not inside, because the folder comes and goes."""
    return folder.with_name(f"{folder.name}.lock")


def shared_server(*, start_timeout: float = 10.0, idle: float | None = None) -> str:
    """The URL of the server that this user's kernels in this workspace share; started if none runs.

    It stays for at least the supervisor's idle time, so there is no hurry to connect. `idle`: seconds without clients
    after which a server started by this call is stopped (default 900).

    Raises:
        ServerError: it cannot be started within `start_timeout` seconds.
        ConfigError: the folder for its socket is not private, or its path is too long.
    """
    folder = shared_folder()
    with locked(lock_of(folder), timeout=start_timeout):
        if status := _ask(folder, "status", start_timeout):
            return status.url
        _clear(folder, start_timeout)
        _start_supervisor(folder, start_timeout, idle)
        if status := _ask(folder, "status", start_timeout):
            return status.url
    raise ServerError("the shared server started and vanished at once", next_step="is the machine out of memory?")


def shared_server_status() -> SharedServer | None:
    """What the shared server of this workspace does; None if none runs.

    Raises:
        ServerError: its supervisor does not answer.
    """
    return _ask(shared_folder(), "status", CONVERSATION)


def stop_shared_server(timeout: float = 5.0) -> bool:
    """Stop the shared server of this workspace, whoever uses it; False if none ran. Returns when its folder is gone.

    Raises:
        ServerError: its supervisor does not answer within `timeout` seconds.
    """
    folder = shared_folder()
    with locked(lock_of(folder), timeout=timeout):
        stopped = _ask(folder, "stop", timeout) is not None
        _clear(folder, timeout)
    return stopped


def _ask(folder: Path, wish: str, timeout: float) -> SharedServer | None:
    """One conversation with the supervisor, which ends when the wish is fulfilled; None if there is no supervisor."""
    try:
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(timeout)
            control.connect(str(folder / CONTROL))
            control.sendall(f"{wish}\n".encode())
            with control.makefile("rb") as answer:
                text = answer.read()
    except (FileNotFoundError, ConnectionError):
        return None  # none, or one that was killed, or one that was just leaving
    except TimeoutError as error:
        raise ServerError(
            f"the supervisor of the shared server in {folder} did not answer within {timeout:g} s",
            next_step=f"`fuser {folder / 'owner'}` names its process; end that and try again",
        ) from error
    except OSError as error:
        raise ConfigError(
            f"the shared server's socket {folder / CONTROL} cannot be used: {error}",
            next_step="set PLAYGROUND_RUNTIME to a shorter path on a local disk",
        ) from error
    return msgspec.json.decode(text, type=SharedServer, dec_hook=_decode_path) if text else None


def _decode_path(kind: type, value: object) -> object:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise NotImplementedError(f"no {kind.__name__} in the supervisor's answers")


def _clear(folder: Path, timeout: float) -> None:
    """Remove what a killed supervisor left, and end its server where no death signal did (not on Linux)."""
    if not folder.exists():
        return
    with locked(folder / OWNER, timeout=timeout):  # a supervisor that is just leaving holds it until it is gone
        with suppress(PlaygroundError), Connection(f"unix://{folder / SERVER_FOLDER / 's'}", timeout=timeout) as orphan:
            orphan.client.shutdown(nosave=True)
        shutil.rmtree(folder, ignore_errors=True)


def _start_supervisor(folder: Path, timeout: float, idle: float | None) -> None:
    command = [sys.executable, "-m", "playground_ext.bus.supervisor", str(folder)]
    command += ["--workspace", str(settings.read().workspace)]
    command += ["--idle", str(idle)] if idle is not None else []
    package = Path(playground_ext.errors.__file__).parents[1]
    try:
        # From the folder that holds this package, so that modules beside a notebook are never taken for the library's.
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd=package,
            timeout=timeout,
            start_new_session=True,
            text=True,
            errors="replace",
        )
    except subprocess.TimeoutExpired as error:
        raise ServerError(
            f"the shared server did not start within {timeout:g} s", next_step="is the machine very busy? Try again"
        ) from error
    except OSError as error:
        raise ServerError(
            f"the shared server's supervisor cannot be started: {error}",
            next_step=f"does {sys.executable} still exist?",
        ) from error
    if done.returncode:
        raise ServerError("the shared server did not start", details=done.stderr, next_step="see the reason below")
