"""One party's kernel: started by this interpreter over ipc, watched, interrupted and killed from any thread."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager, NoSuchKernel
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import ensure_event_loop, run_sync

from playground_ext.errors import ConfigError
from playground_ext.kernel.provisioner import register

__all__ = ["PLAIN_KERNEL", "KernelDied", "PartyKernel", "close_event_loop", "exit_reason", "installed_kernels", "quiet"]

PLAIN_KERNEL = "python3"
SHUTDOWN = 4.0  # seconds that a kernel gets to leave after its last cell before it is killed
INTERRUPT = "playground_ext.kernel.interrupt"  # IPython extension
DIALECTS = "playground_ext.compat"  # the same: notebooks written for other systems run unchanged
_MAX_SOCKET_PATH = 100  # bytes; sun_path holds 107 and a socket's number comes behind
_LOG_TAIL = 4000  # characters
_MISSED = 0.3  # seconds that a cell may take from the runner to the kernel

quiet = logging.getLogger("playground_ext.runner.kernel")  # what jupyter_client and nbclient say, we say better
quiet.addHandler(logging.NullHandler())
quiet.propagate = False


class KernelDied(RuntimeError):
    """The kernel's process ended by itself or was killed by somebody else."""

    def __init__(self, returncode: int, log: str) -> None:
        super().__init__(exit_reason(returncode))
        self.returncode = returncode
        self.log = log  # the last things it wrote to its standard error


class _OwnInterpreter(KernelSpecManager):
    """Kernelspecs as installed, but Python kernels run in the runner's own interpreter, whoever wrote them.

    `warm`: those that a zygote can fork are forked, also where the kernelspec does not say so; otherwise none is.
    """

    def __init__(self, *, warm: bool) -> None:
        super().__init__()
        self._warm = warm
        self._provisioner = register()

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        try:
            spec = super().get_kernel_spec(kernel_name)
        except NoSuchKernel:
            if kernel_name != PLAIN_KERNEL:
                raise ConfigError(
                    f"there is no Jupyter kernel named {kernel_name!r}",
                    next_step="`jupyter kernelspec list` shows those that are; --kernel plain uses Python's own",
                ) from None
            spec = KernelSpec(argv=["python", "-m", "ipykernel_launcher", "-f", "{connection_file}"], language="python")
        if spec.argv and Path(spec.argv[0]).name.startswith("python"):
            spec.argv = [sys.executable, *spec.argv[1:]]
        spec.metadata = {
            key: value for key, value in spec.metadata.items() if key != "kernel_provisioner" or self._warm
        }
        if self._warm and _is_ipython(spec):
            spec.metadata.setdefault("kernel_provisioner", {"provisioner_name": self._provisioner, "config": {}})
        return spec


class PartyKernel:
    """A kernel that belongs to the thread that started it; `stop`, `kill` and `wait` may come from any thread.

    `folder` holds its sockets, its connection file and what it writes to standard error. It inherits this process'
    environment with `env` over it and `defaults` under it. `warm`: fork it from the zygote if that is possible;
    otherwise `on_plain` is told why.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        kernel_name: str,
        *,
        cwd: Path,
        env: Mapping[str, str],
        defaults: Mapping[str, str] | None = None,
        warm: bool = True,
        on_plain: Callable[[str], None] = lambda why: None,
    ) -> None:
        address = folder / name
        if len(os.fsencode(address)) > _MAX_SOCKET_PATH:
            raise ConfigError(
                f"the sockets' folder {folder} has too long a path", next_step="set PLAYGROUND_RUNTIME to a short one"
            )
        self.code_cell: int | None = None  # the code cell that runs, from 1
        self.stopping = False
        self._cell_began = 0.0  # on the monotonic clock
        self._stopped_at = 0.0
        self._on_plain = on_plain
        self._process: Any = None  # subprocess.Popen, or a provisioner's look-alike; the manager forgets it at the end
        self.manager = AsyncKernelManager(
            kernel_name=kernel_name,
            kernel_spec_manager=_OwnInterpreter(warm=warm),
            transport="ipc",
            ip=str(address),
            connection_file=f"{address}.json",
            shutdown_wait_time=SHUTDOWN,
            log=quiet,
        )
        self._log = folder / f"{name}.log"
        self._env = dict(env)
        self._defaults = dict(defaults or {})
        self._cwd = cwd

    def start(self) -> None:
        """Start the process; it boots while the caller goes on."""
        with self._log.open("wb") as log:
            # The one place beside settings.py that touches the environment: a kernel inherits all of it.
            environment = {**self._defaults, **os.environ, **self._env}
            run_sync(self.manager.start_kernel)(
                env=environment,
                cwd=str(self._cwd),
                stdout=log,
                stderr=log,
                extra_arguments=self._arguments(),
            )
        self._process = getattr(self.manager.provisioner, "process", None)
        if why := getattr(self.manager.provisioner, "why_plain", None):
            self._on_plain(why)

    @property
    def pid(self) -> int | None:
        return None if self._process is None else int(self._process.pid)

    def begin_cell(self) -> None:
        """Count the code cell that is about to be sent."""
        self.code_cell = (self.code_cell or 0) + 1
        self._cell_began = time.monotonic()

    def stop(self) -> None:
        """Interrupt the cell that runs; no further cell starts."""
        self.stopping = True
        self._stopped_at = time.monotonic()
        self._signal(signal.SIGINT)

    def stop_again(self) -> None:
        """Interrupt a cell that was being sent at `stop` and so missed it; others are left to say goodbye."""
        if self._stopped_at - self._cell_began < _MISSED:
            self._signal(signal.SIGINT)

    def kill(self) -> None:
        self.stopping = True
        self._signal(signal.SIGKILL)

    def wait(self, timeout: float) -> int | None:
        """The exit status, negative for a signal; None if it still runs after `timeout` seconds."""
        process = self._process
        if process is None:
            return None
        try:
            return int(process.wait(timeout))
        except subprocess.TimeoutExpired:
            return None

    def log_tail(self) -> str:
        try:
            return self._log.read_text("utf-8", "replace")[-_LOG_TAIL:].strip()
        except OSError:
            return ""

    async def close(self) -> None:
        """Leave no process, socket or file."""
        if self.manager.has_kernel:
            await self.manager.shutdown_kernel(now=True)
        await self.manager.cleanup_resources()

    def _arguments(self) -> list[str]:
        """Keep histories out of the one SQLite file that all IPython kernels of a user share; answer Ctrl-C at once."""
        spec = self.manager.kernel_spec
        if spec is None or not _is_ipython(spec):
            return []
        extensions = (f"--InteractiveShellApp.extra_extensions={name}" for name in (INTERRUPT, DIALECTS))
        return ["--HistoryManager.hist_file=:memory:", *extensions]

    def _signal(self, number: int) -> None:
        process = self._process
        if process is None or process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)  # kernels lead their own session, so this reaches their workers too


def _is_ipython(spec: KernelSpec) -> bool:
    return list(spec.argv[1:2]) == ["-m"] and any(
        name in spec.argv[2] for name in ("ipykernel", "playground_ext.kernel")
    )


def exit_reason(returncode: int) -> str:
    """An exit status in words."""
    if returncode >= 0:
        return f"the kernel's process ended with exit status {returncode}"
    try:
        name = signal.Signals(-returncode).name
    except ValueError:
        name = f"signal {-returncode}"
    hint = " (if nobody did that, the system ran out of memory)" if name == "SIGKILL" else ""
    return f"the kernel was killed by {name}{hint}"


def installed_kernels() -> set[str]:
    return set(KernelSpecManager().find_kernel_specs())


def close_event_loop() -> None:
    """Close the event loop that jupyter_client made for this thread."""
    ensure_event_loop().close()
