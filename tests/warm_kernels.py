"""One zygote for all tests of a worker: what a test starts elsewhere imports torch once, not once for every party.

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
from collections.abc import Mapping
from pathlib import Path

from playground_ext.bus.private_folder import make_private
from playground_ext.kernel import provisioner
from playground_ext.kernel.client import ensure_zygote
from playground_ext.kernel.identity import Parent, acts_at_start

__all__ = ["WarmKernels", "working_in"]

IDLE = 1500.0  # seconds after which it leaves, should nobody end it


class WarmKernels:
    """Starts a zygote when one is first needed.

    `jupyter_path`: for JUPYTER_PATH, where also `python3`, the kernel of plain papermill, is forked.
    """

    def __init__(self) -> None:
        self._folder = make_private(Path(tempfile.mkdtemp(prefix="pgw", dir="/tmp")))
        self.jupyter_path = self._folder / "jupyter"
        spec = {
            "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            "display_name": "Python 3",
            "language": "python",
            "metadata": {"kernel_provisioner": {"provisioner_name": provisioner.NAME}},
        }
        (self.jupyter_path / "kernels" / "python3").mkdir(parents=True)
        (self.jupyter_path / "kernels" / "python3" / "kernel.json").write_text(json.dumps(spec))
        self._held: dict[str, socket.socket] = {}  # a zygote leaves when its last asker was killed; tests do that

    def lend(self, runtime: Path, environment: Mapping[str, str]) -> None:
        """Kernels with this environment, whose PLAYGROUND_RUNTIME is `runtime`, will be forked."""
        early = {name: value for name, value in environment.items() if acts_at_start(name)}
        parent = Parent(sys.executable, {"PATH": os.environ["PATH"], "HOME": str(self._folder)} | early)
        runtime.mkdir(mode=0o700, exist_ok=True)
        link = parent.socket_in(make_private(runtime / "kernels"))
        if (held := self._held.get(parent.key)) is not None:
            with contextlib.suppress(FileNotFoundError):  # it has retired: somebody edits the package
                os.link(parent.socket_in(self._folder), link)
                return
            held.close()
        self._held[parent.key] = ensure_zygote(parent, self._folder, idle=IDLE)
        os.link(parent.socket_in(self._folder), link)

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
            pid = int.from_bytes(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 4), sys.byteorder)
            connection.close()
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self._folder, ignore_errors=True)


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
