"""Where Jupyter starts kernels: forked by a zygote, or as an ordinary process wherever that cannot be."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning.local_provisioner import LocalProvisioner
from traitlets import Float, List, Unicode

from playground_ext.errors import PlaygroundError
from playground_ext.kernel.client import NoFork, Wish, check_possible, fork_kernel
from playground_ext.kernel.identity import sockets_folder
from playground_ext.kernel.process import ForkedProcess

__all__ = ["NAME", "ZygoteProvisioner", "register"]

NAME = "playground-zygote"  # in a kernelspec's metadata, and of the entry point
MODULES = ("playground_ext.kernel", "ipykernel_launcher")  # `python -m` one of these is a kernel we can fork
_MAX_SOCKET_PATH = 100  # bytes; sun_path holds 107, and zmq appends -5


def register() -> str:
    """Make the provisioner known to Jupyter, also where the package's entry points are not installed; its name."""
    from importlib.metadata import EntryPoint

    from jupyter_client.provisioning.factory import KernelProvisionerFactory

    factory = KernelProvisionerFactory.instance()
    group = KernelProvisionerFactory.GROUP_NAME
    factory.provisioners.setdefault(NAME, EntryPoint(NAME, f"{__name__}:ZygoteProvisioner", group))
    return NAME


class ZygoteProvisioner(LocalProvisioner):
    """Jupyter's own way to start kernels, with a shortcut."""

    preload = List(Unicode(), help="modules to import in the zygote, besides torch and what kernels need").tag(
        config=True
    )
    idle = Float(600.0, help="seconds without kernels after which the zygote leaves").tag(config=True)
    transport = Unicode("ipc", help="ipc: sockets in a private folder, as ports would race; manager: its own").tag(
        config=True
    )

    why_plain: str | None = None  # why the last kernel is an ordinary process

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Called by the manager before each start."""
        manager = self.parent
        if (
            self.transport == "ipc"
            and manager is not None
            and manager.transport == "tcp"
            and not manager._connection_file_written
            and (address := _socket_address()) is not None
        ):
            manager.cache_ports = False
            manager.transport = "ipc"
            manager.ip = address
        return await super().pre_launch(**kwargs)

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Called by the manager for each start and restart."""
        self.why_plain = None
        try:
            process = await asyncio.to_thread(self._fork, cmd, kwargs)
        except NoFork as reason:
            self.why_plain = str(reason)
            self.log.warning("This kernel starts as an ordinary process: %s", reason)
            return await super().launch_kernel(cmd, **kwargs)
        self.process = cast(Any, process)
        self.pid = self.pgid = cast(Any, process.pid)  # kernels lead their own session
        self.cwd = kwargs.get("cwd") or os.getcwd()
        return self.connection_info

    async def wait(self) -> int | None:
        """Called by the manager to let a kernel end."""
        process: Any = self.process
        if not isinstance(process, ForkedProcess):
            return await super().wait()
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(process.fileno(), ended.set)
        try:
            while process.poll() is None:
                ended.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(ended.wait(), 1.0)
        finally:
            loop.remove_reader(process.fileno())
        self.process = None
        return process.returncode

    def _fork(self, cmd: list[str], options: dict[str, Any]) -> ForkedProcess:
        environment = dict(options.get("env") or {})
        check_possible(environment)
        if len(cmd) < 3 or cmd[1] != "-m" or cmd[2] not in MODULES:
            raise NoFork(f"{' '.join(cmd[:3])} … is no command that a zygote knows")
        environment["JPY_PARENT_PID"] = str(os.getpid())
        wish = Wish(
            interpreter=cmd[0],
            arguments=cmd[3:],
            environment=environment,
            folder=Path(options.get("cwd") or os.getcwd()),
            preload=tuple(self.preload),
            idle=self.idle,
            litter=self._litter(),
        )
        with _descriptor(options.get("stdout"), 1) as stdout, _descriptor(options.get("stderr"), 2) as stderr:
            return fork_kernel(wish, stdout, stderr)

    def _litter(self) -> list[str]:
        """What nobody removes if this process is killed."""
        manager = self.parent
        if manager is None:
            return []
        sockets = [f"{manager.ip}-{port}" for port in manager.ports] if manager.transport == "ipc" else []
        return [os.path.abspath(path) for path in (manager.connection_file, *sockets)]


@contextlib.contextmanager
def _descriptor(stream: Any, inherited: int) -> Iterator[int]:
    """What Popen would have made of a `stdout=` or `stderr=` argument."""
    if stream in (subprocess.PIPE, subprocess.STDOUT):
        raise NoFork("its output is to go through a pipe")
    if stream is None:
        try:
            os.fstat(inherited)
        except OSError:  # a service without streams
            stream = subprocess.DEVNULL
    if stream == subprocess.DEVNULL:
        with open(os.devnull, "wb") as nowhere:
            yield nowhere.fileno()
    elif stream is None:
        yield inherited
    else:
        yield stream if isinstance(stream, int) else stream.fileno()


def _socket_address() -> str | None:
    """For the sockets of one kernel, which get a number each at the end; None if there is no place for them."""
    try:
        address = str(sockets_folder() / f"k-{secrets.token_hex(6)}")
    except PlaygroundError:
        return None
    return address if len(os.fsencode(address)) <= _MAX_SOCKET_PATH else None
