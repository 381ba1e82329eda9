"""One zygote for all tests of all workers: what a test starts elsewhere imports torch once, not once for every party.

A test's runtime folder stays its own. A link to the zygote's socket lies in it, where whatever the test starts looks.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from playground_ext.bus.private_folder import make_private
from playground_ext.kernel import provisioner
from playground_ext.kernel.client import ensure_zygote
from playground_ext.kernel.identity import Parent, acts_at_start
from playground_ext.kernel.listing import zygotes

__all__ = ["WarmKernels", "end_zygotes", "shared", "working_in"]

RUNTIME = "WARM_KERNELS"  # the environment variable
IDLE = 1500.0  # seconds after which it leaves, should nobody end it


@contextlib.contextmanager
def shared() -> Iterator[None]:
    """One runtime folder for all workers; an environment variable names it. Its zygotes end with it."""
    folder = Path(tempfile.mkdtemp(prefix="pgw", dir="/tmp"))
    spec = {
        "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": "Python 3",
        "language": "python",
        "metadata": {"kernel_provisioner": {"provisioner_name": provisioner.NAME}},
    }
    (folder / "jupyter" / "kernels" / "python3").mkdir(parents=True)
    (folder / "jupyter" / "kernels" / "python3" / "kernel.json").write_text(json.dumps(spec))
    os.environ[RUNTIME] = str(folder)
    try:
        yield
    finally:
        del os.environ[RUNTIME]
        end_zygotes(folder)


class WarmKernels:
    """Starts a zygote when one is first needed, in the folder of `shared`.

    `jupyter_path`: for JUPYTER_PATH, where also `python3`, the kernel of plain papermill, is forked.
    """

    def __init__(self) -> None:
        self._home = Path(os.environ[RUNTIME])
        self._sockets = make_private(self._home / "kernels")
        self.jupyter_path = self._home / "jupyter"
        self._held: dict[str, socket.socket] = {}  # a zygote leaves when its last asker was killed; tests do that

    def lend(self, runtime: Path, environment: Mapping[str, str]) -> None:
        """Kernels with this environment, whose PLAYGROUND_RUNTIME is `runtime`, will be forked."""
        early = {name: value for name, value in environment.items() if acts_at_start(name)}
        parent = Parent(sys.executable, {"PATH": os.environ["PATH"], "HOME": str(self._home)} | early)
        runtime.mkdir(mode=0o700, exist_ok=True)
        link = parent.socket_in(make_private(runtime / "kernels"))
        if (held := self._held.get(parent.key)) is not None:
            with contextlib.suppress(FileNotFoundError):  # it has retired: somebody edits the package
                os.link(parent.socket_in(self._sockets), link)
                return
            held.close()
        self._held[parent.key] = ensure_zygote(parent, self._sockets, idle=IDLE)
        os.link(parent.socket_in(self._sockets), link)

    @staticmethod
    def take_back(runtime: Path) -> None:
        """Leave the folder as if it had never been there; what else lies in it is somebody's litter."""
        folder = runtime / "kernels"
        for path in folder.glob("z-*"):
            path.unlink()
        with contextlib.suppress(OSError):
            folder.rmdir()

    def close(self) -> None:
        for connection in self._held.values():
            connection.close()


def end_zygotes(runtime: Path) -> None:
    """Kill those of this runtime folder, and remove it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLAYGROUND_RUNTIME", str(runtime))
        for view in zygotes():
            if view.status is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(view.status.pid, signal.SIGKILL)
    shutil.rmtree(runtime, ignore_errors=True)


def working_in(*folders: Path) -> list[str]:
    """Command lines of processes whose current folder is one of these or below. A forked kernel has its zygote's
    command line and environment, so this is how to tell whose it is.
    """
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            place = (process / "cwd").readlink()
            if any(place.is_relative_to(folder) for folder in folders):
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return [command for command in found if command]  # without one: it has ended, and nobody has asked how
