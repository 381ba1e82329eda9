"""Which zygote may bear a kernel: one of the same interpreter, whose start saw the same environment.

Most of the environment can be changed after the fork. Some variables act only when a process or a library starts; a
kernel that needs another value of one of them gets another zygote.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import playground_ext.errors
from playground_ext.bus.private_folder import make_private, runtime_folder
from playground_ext.kernel.packets import PROTOCOL

__all__ = ["Parent", "acts_at_start", "sockets_folder"]

# Read by the interpreter, the loader, the C library, BLAS, OpenMP, torch or numpy while they start.
_PREFIXES = (
    *("PYTHON", "LD_", "MALLOC_", "LC_"),
    *("OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "DNNL_", "ONEDNN_", "NPY_", "NUMPY_"),
    *("TORCH", "PYTORCH_", "ATEN_", "CUDA_", "CUBLAS_", "NVIDIA_", "HIP_"),
)
_NAMES = frozenset({"GLIBC_TUNABLES", "LANG", "LANGUAGE", "MATPLOTLIBRC", "MPLCONFIGDIR"})
# Despite their names: the number of threads can be set later, folders are looked up when they are used.
_LATER = frozenset(
    {"OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TORCH_HOME", "TORCHINDUCTOR_CACHE_DIR"}
)


def sockets_folder() -> Path:
    """Where zygotes and their kernels have their sockets. Raises ConfigError: it is not private."""
    return make_private(runtime_folder() / "kernels")


def acts_at_start(name: str) -> bool:
    """Whether a changed environment variable would come too late after a fork."""
    return (name.startswith(_PREFIXES) or name in _NAMES) and name not in _LATER


@dataclass(frozen=True)
class Parent:
    """What a zygote has to be to bear a certain kernel."""

    interpreter: str
    environment: Mapping[str, str]  # of the kernel
    preload: Sequence[str] = field(default=())  # modules to import besides the usual ones

    @property
    def key(self) -> str:
        """Names the zygote's files: 12 hexadecimal digits."""
        early = sorted((name, value) for name, value in self.environment.items() if acts_at_start(name))
        package = os.path.dirname(os.path.abspath(playground_ext.errors.__file__))
        parts = (PROTOCOL, os.path.abspath(self.interpreter), package, early, list(self.preload))
        return hashlib.sha256(repr(parts).encode("utf-8", "surrogateescape")).hexdigest()[:12]

    def socket_in(self, folder: Path) -> Path:
        return folder / f"z-{self.key}"

    def start_environment(self) -> dict[str, str]:
        """For the zygote: the kernel's, without what names one kernel or one party."""
        foreign = ("JPY_", "PLAYGROUND_", "OMP_NUM", "MKL_NUM")
        kept = {name: value for name, value in self.environment.items() if not name.startswith(foreign)}
        return kept | {"OPENBLAS_NUM_THREADS": "1"}  # its threads start with the library, and threads forbid to fork
