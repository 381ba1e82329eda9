"""Real kernels of the provisioner, and a zygote of their own that all tests of this folder share."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import KernelManager
from paths import MODULES
from warm_kernels import end_zygotes

from playground_ext.kernel.provisioner import register


class _Spec(KernelSpecManager):
    """One kernelspec, whatever is installed."""

    config_of_provisioner: dict[str, Any] = {}  # noqa: RUF012
    module = "playground_ext.kernel"

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        argv = [sys.executable, "-m", self.module, "-f", "{connection_file}"]
        metadata = {"kernel_provisioner": {"provisioner_name": register(), "config": self.config_of_provisioner}}
        return KernelSpec(argv=argv, language="python", display_name="party", metadata=metadata)


class Kernel:
    """A kernel that a test has started, with a client."""

    def __init__(self, manager: KernelManager, **options: Any) -> None:
        self.manager = manager
        began = time.monotonic()
        manager.start_kernel(**options)
        self.client = manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)
        self.seconds = time.monotonic() - began

    @property
    def pid(self) -> int:
        return int(self.manager.provisioner.pid)

    @property
    def zygote(self) -> int:
        """The process that has forked it."""
        return int(Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[1])

    @property
    def why_plain(self) -> str | None:
        return self.manager.provisioner.why_plain

    def run(self, code: str, timeout: float = 60) -> str:
        """What the code prints, and the name of the error it ends with."""
        return self.result(self.client.execute(code), timeout)

    def result(self, request: str, timeout: float = 60) -> str:
        said = ""
        while True:
            message = self.client.get_iopub_msg(timeout=timeout)
            if message["parent_header"].get("msg_id") != request:
                continue
            content = message["content"]
            said += content.get("text", "") + content.get("ename", "")
            if message["msg_type"] == "error":
                said += "\n".join(content["traceback"])
            if content.get("execution_state") == "idle":
                return said

    def wait_for(self, request: str, text: str, timeout: float = 60) -> None:
        while text not in self.client.get_iopub_msg(timeout=timeout)["content"].get("text", ""):
            pass

    def stop(self) -> None:
        self.client.stop_channels()
        if self.manager.has_kernel:
            self.manager.shutdown_kernel(now=True)
        self.manager.context.destroy(linger=0)


def new_manager(config: dict[str, Any] | None = None, module: str = "playground_ext.kernel") -> KernelManager:
    specs = _Spec()
    specs.config_of_provisioner = {"idle": 120.0, **(config or {})}
    specs.module = module
    return KernelManager(kernel_spec_manager=specs, kernel_name="party")


@pytest.fixture(scope="session")
def shared_runtime() -> Iterator[Path]:
    """A short folder for sockets, of this session alone; its zygotes are ended with it."""
    folder = Path(tempfile.mkdtemp(prefix="pgk", dir="/tmp"))
    yield folder
    end_zygotes(folder)


@pytest.fixture
def runtime(shared_runtime: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this session's zygotes are; the environment says so."""
    monkeypatch.setenv("PLAYGROUND_RUNTIME", str(shared_runtime))
    monkeypatch.setenv("PYTHONPATH", MODULES)
    monkeypatch.setenv("IPYTHONDIR", str(shared_runtime / "ipython"))
    monkeypatch.delenv("PLAYGROUND_WARM", raising=False)
    return shared_runtime


@pytest.fixture
def without_torch(runtime: Path, tmp_path: Path) -> dict[str, str]:
    """An environment whose zygote, one of its own, is there in a second: it finds no torch to import."""
    folder = tmp_path / "without"
    folder.mkdir()
    (folder / "torch.py").write_text("raise ImportError('hidden')")
    return {"PYTHONPATH": f"{os.environ['PYTHONPATH']}:{folder}"}


@pytest.fixture
def start(runtime: Path) -> Iterator[Callable[..., Kernel]]:
    """Starts kernels: `start(env={…}, config={…}, cwd=…)`."""
    started: list[Kernel] = []

    def start_one(*, env: dict[str, str] | None = None, config: dict[str, Any] | None = None, **options: Any) -> Kernel:
        environment = {**os.environ, **(env or {})}
        module = options.pop("module", "playground_ext.kernel")
        kernel = Kernel(new_manager(config, module), env=environment, **options)
        started.append(kernel)
        return kernel

    yield start_one
    for kernel in started:
        kernel.stop()


@pytest.fixture
def log_lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What was said about kernels that started as ordinary processes."""
    logger = logging.getLogger("traitlets")
    before = logger.propagate
    logger.propagate = True
    caplog.set_level(logging.INFO, logger="traitlets")
    yield lambda: [record.getMessage() for record in caplog.records if "ordinary process" in record.getMessage()]
    logger.propagate = before


def kill(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def gone(pid: int, timeout: float = 10.0) -> bool:
    """Whether the process ends within `timeout` seconds; a zombie that nobody reaps counts as ended."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False
