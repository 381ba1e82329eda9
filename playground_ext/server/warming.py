"""The process that forks kernels is made ready while the user still looks at the launcher.

It takes seconds to import torch; without this the first federation's kernels would wait for it.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterator

from jupyter_client.kernelspec import KernelSpecManager

from playground_ext.errors import PlaygroundError
from playground_ext.kernel.client import NoFork, check_possible, ensure_zygote
from playground_ext.kernel.identity import Parent, sockets_folder
from playground_ext.kernel.provisioner import NAME, ZygoteProvisioner

__all__ = ["Warming"]

logger = logging.getLogger(__name__)


class Warming:
    """Belongs to the event loop's thread."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Have a zygote started for the roles' kernels, unless there is one; returns at once."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=_warm, name="playground-warming", daemon=True)
            self._thread.start()


def _warm() -> None:
    try:
        for parent, idle in _parents():  # usually one for all roles; what is there already is only looked at
            check_possible(parent.environment)
            ensure_zygote(parent, sockets_folder(), idle=idle).close()
    except (NoFork, PlaygroundError, OSError) as reason:
        logger.debug("no zygote is warmed up: %s", reason)  # kernels say so themselves when they start without one


def _parents() -> Iterator[tuple[Parent, float]]:
    """What the kernels that are installed for the roles will ask for, as their provisioner does."""
    for found in KernelSpecManager().get_all_specs().values():
        spec = found["spec"]
        said = (spec.get("metadata") or {}).get("kernel_provisioner") or {}
        if said.get("provisioner_name") == NAME:
            wanted = ZygoteProvisioner(**(said.get("config") or {}))
            interpreter = spec["argv"][0]
            if not os.path.isabs(interpreter):  # jupyter_client starts `python` with its own
                interpreter = sys.executable
            environment = {**os.environ, **(spec.get("env") or {})}
            yield Parent(interpreter, environment, tuple(wanted.preload)), wanted.idle
