"""`playground kernels`: the zygotes of this user, their kernels, and what memory they take."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from playground_ext.kernel.identity import sockets_folder
from playground_ext.kernel.packets import Ask, Packet, Status, Stop, connect, receive, send

__all__ = ["ZygoteView", "listing_text", "stop_zygotes", "zygotes"]

ANSWER = 2.0  # seconds


@dataclass(frozen=True)
class ZygoteView:
    """One zygote, asked just now. `status` is None if it does not answer."""

    socket: Path
    status: Status | None


def zygotes() -> list[ZygoteView]:
    """All zygotes of this user that take new kernels. Raises ConfigError: the folder of sockets is not private."""
    return _ask_all(Ask())


def stop_zygotes() -> list[ZygoteView]:
    """Let them leave when their last kernel has ended."""
    return _ask_all(Stop())


def _ask_all(packet: Packet) -> list[ZygoteView]:
    found = []
    for path in sorted(sockets_folder().glob("z-*")):
        if path.is_socket():
            try:
                with contextlib.closing(connect(str(path), ANSWER)) as connection:
                    send(connection, packet)
                    answer, _ = receive(connection)
            except (FileNotFoundError, ConnectionRefusedError):
                continue  # killed, and not replaced yet
            except OSError:
                answer = None
            found.append(ZygoteView(path, answer if isinstance(answer, Status) else None))
    return found


def listing_text(found: list[ZygoteView], *, as_json: bool = False) -> str:
    """For people, or for programs."""
    if as_json:
        views = [{"socket": str(view.socket), "status": view.status} for view in found]
        return msgspec.json.format(msgspec.json.encode(views), indent=2).decode()
    if not found:
        return "No zygote runs. The first party kernel starts one."
    return "\n".join(line for view in found for line in _lines(view))


def _lines(view: ZygoteView) -> list[str]:
    status = view.status
    if status is None:
        return [f"zygote at {view.socket} does not answer"]
    memory = f"{_megabytes(status.pid)} private"
    lines = [f"zygote {status.pid}, {_duration(status.since)}, {memory}, {status.born} kernels so far"]
    lines.append(f"  {status.interpreter}")
    for kernel in status.kernels:
        who = " ".join(word for word in (kernel.party, kernel.task and f"in {kernel.task}", kernel.notebook) if word)
        lines.append(
            f"  kernel {kernel.pid}, {_duration(kernel.since)}, {_megabytes(kernel.pid)} private  {who}".rstrip()
        )
    return lines


def private_bytes(pid: int) -> int | None:
    """Memory that no other process shares; None if the process is gone or may not be looked at."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return None
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))


def _megabytes(pid: int) -> str:
    size = private_bytes(pid)
    return "? MB" if size is None else f"{size / 1e6:.0f} MB"


def _duration(since: float) -> str:
    seconds = time.time() - since
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
