"""What a zygote imports before it forks, and whether forking is still safe after that."""

from __future__ import annotations

import ctypes
import gc
import importlib
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator
from typing import Any

__all__ = ["FOR_USERS", "OF_KERNELS", "blas_thread_setters", "danger", "import_all", "settle", "threads"]

# Imported for the user. Those that are missing, or fail, are left to the kernel that asks for them.
FOR_USERS = (
    "numpy",
    "playground_ext.data",
    "playground_ext.fed_avg",
    "torch",
    "torch.utils.data",
    "torch.utils.tensorboard",
    "torchvision",
    "torchvision.datasets",
    "torchvision.transforms",
)
# Imported lazily by every kernel while it starts, or with its first cell.
OF_KERNELS = (
    "IPython.core.completer",
    "IPython.core.completerlib",
    "IPython.core.debugger",
    "IPython.core.magics",
    "IPython.core.oinspect",
    "IPython.extensions.storemagic",
    "asyncio.unix_events",
    "comm",
    "concurrent.futures.thread",
    "faulthandler",
    "ipykernel.debugger",
    "ipykernel.ipkernel",
    "ipykernel.kernelapp",
    "ipykernel.subshell",
    "ipykernel.subshell_manager",
    "ipykernel.zmqshell",
    "jedi",
    "matplotlib_inline.config",
    "multiprocessing.connection",
    "playground_ext.kernel.app",
    "playground_ext.kernel.magic",
    "psutil",
    "sqlite3",
    "tornado.platform.asyncio",
)
_ballast: list[list[bytes]] = []
_BLAS_SETTERS = (
    "scipy_openblas_set_num_threads64_",
    "scipy_openblas_set_num_threads",
    "openblas_set_num_threads64_",
    "openblas_set_num_threads",
)


def import_all(modules: Iterable[str]) -> dict[str, str]:
    """Why some of them could not be imported, by module."""
    failures = {}
    for name in modules:
        try:
            importlib.import_module(name)
        except Exception as error:
            failures[name] = f"{type(error).__name__}: {error}"
    if "torch" in sys.modules:
        _import_behind_torch()
    return failures


def _import_behind_torch() -> None:
    """The first optimizer imports torch._dynamo: 1.4 s and 70 MB. No backward(): after it autograd refuses forks."""
    import torch

    torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    threads_before = torch.get_num_threads()  # torch decides at the first use
    if (set_threads := _openmp_thread_setter()) is None:
        return
    set_threads(1)
    with torch.no_grad():  # 9 MB that every kernel with a convolution would have of its own
        torch.nn.functional.conv2d(torch.zeros(1, 1, 8, 8), torch.zeros(2, 1, 5, 5))
    set_threads(threads_before)


def danger() -> str | None:
    """Why a fork of this process would not be a sound kernel; None if it would."""
    if len(names := threads()) != 1:
        return f"it has {len(names)} threads: {', '.join(names)}"
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError as error:
        return f"this system has no descriptors of processes: {error}"
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        return "CUDA is initialised in it"
    return None


def threads() -> list[str]:
    """The names of this process' threads, those of libraries included."""
    names = []
    for number in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{number}/comm") as file:
            names.append(file.read().strip())
    return names


def settle() -> None:
    """Give back what is free, and keep the garbage collector off the pages that kernels will share."""
    from jupyter_client import localinterfaces

    localinterfaces.local_ips()  # cached; 25 ms in every kernel otherwise
    _gather_module_names()
    gc.collect()
    _fill_holes()
    ctypes.CDLL(None).malloc_trim(0)
    gc.freeze()


def _gather_module_names() -> None:
    """IPython looks at the name of every module; 6 MB when they lie scattered among what the kernels share."""
    for name in list(sys.modules):
        module = sys.modules.pop(name)
        sys.modules["".join(list(name))] = module


def _openmp_thread_setter() -> Any | None:
    """`omp_set_num_threads` of the OpenMP library that torch has loaded, if that is GNU's."""
    for library in _loaded("libgomp"):
        return ctypes.CDLL(library).omp_set_num_threads
    return None


def _loaded(part: str) -> list[str]:
    """Paths of the libraries in this process whose names contain `part`."""
    with open("/proc/self/maps") as maps:
        paths = {line.split(maxsplit=5)[5].strip() for line in maps if part in line}
    return sorted(path for path in paths if part in os.path.basename(path))


def _fill_holes() -> None:
    """Occupy the free blocks in the interpreter's pools: in a kernel each of them would cost a page of its own."""
    real_stderr = os.dup(2)
    with tempfile.TemporaryFile() as statistics:
        os.dup2(statistics.fileno(), 2)
        sys._debugmallocstats()
        os.dup2(real_stderr, 2)
        os.close(real_stderr)
        statistics.seek(0)
        text = statistics.read().decode("ascii", "replace")
    for size, free in re.findall(r"^\s*\d+\s+(\d+)\s+\d+\s+\d+\s+(\d+)\s*$", text, re.MULTILINE):
        length = int(size) - sys.getsizeof(b"")
        if length > 0:
            _ballast.append([bytes(length) for _ in range(int(free))])


def blas_thread_setters() -> Iterator[Any]:
    """`set_num_threads` of every OpenBLAS that is loaded."""
    for library in _loaded("openblas"):
        try:
            loaded = ctypes.CDLL(library)
        except OSError:
            continue
        for name in _BLAS_SETTERS:
            if hasattr(loaded, name):
                yield getattr(loaded, name)
                break
