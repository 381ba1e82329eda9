"""From a forked zygote to what a process looks like that was started afresh."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from playground_ext.kernel.packets import Spawn

__all__ = ["become_kernel"]

READY = 3  # the descriptor of the pipe that tells the asker that the kernel can be connected to
_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15
_KILLED_FIRST = "200"  # when memory runs out, a kernel goes before the zygote, with which all would go


def become_kernel(wanted: Spawn, descriptors: Sequence[int], zygote: int, blas: Iterable[Any]) -> None:
    """Take on everything that a new process would have got from the asker; called once, right after the fork."""
    os.setsid()
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != zygote:  # it died before that line
        os._exit(1)
    _reset_signals()
    _take_descriptors(descriptors)
    same_processors = os.sched_getaffinity(0) == set(wanted.processors)
    _take_environment(wanted)
    tempfile.tempdir = None
    multiprocessing.current_process().authkey = os.urandom(32)
    _seed()
    _set_threads(wanted.environment, None if same_processors else len(wanted.processors), blas)
    name = wanted.environment.get("PLAYGROUND_PARTY") or "kernel"
    _prctl(_PR_SET_NAME, f"pg:{name}"[:15].encode("utf-8", "replace"))
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write(_KILLED_FIRST)
    gc.enable()


def _reset_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _take_descriptors(descriptors: Sequence[int]) -> None:
    """stdin is empty; stdout, stderr and the ready pipe are the asker's; nothing else of the zygote stays open."""
    kept = [os.dup(descriptor) for descriptor in descriptors]  # out of the way of 0 to 3
    while min(kept) <= READY:
        kept = [os.dup(descriptor) for descriptor in kept]
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    for source, target in zip(kept, (1, 2, READY), strict=True):
        os.dup2(source, target, inheritable=target != READY)
    os.closerange(READY + 1, max(map(int, os.listdir("/proc/self/fd"))) + 1)


def _take_environment(wanted: Spawn) -> None:
    os.environ.clear()
    os.environ.update(wanted.environment)
    time.tzset()
    os.umask(wanted.umask)
    with contextlib.suppress(OSError, ValueError):
        os.sched_setaffinity(0, wanted.processors)
    for limit, values in wanted.limits.items():
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(limit, values)
    try:
        os.chdir(wanted.folder)
    except OSError as error:
        print(f"the kernel's folder cannot be entered: {error}", file=sys.stderr)


def _seed() -> None:
    """`random` seeds itself after a fork; NumPy's and torch's global generators do not."""
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed()
    if (torch := sys.modules.get("torch")) is not None:
        torch.default_generator.seed()  # not torch.seed(): CUDA's generators start with a fixed seed


def _set_threads(environment: Mapping[str, str], processors: int | None, blas: Iterable[Any]) -> None:
    """As many threads as a new process would use.

    `processors`: how many it may run on, if these are not the zygote's. The zygote's torch has counted its own, and its
    BLAS was held to one thread.
    """
    asked = next((n for name in ("MKL_NUM_THREADS", "OMP_NUM_THREADS") if (n := _number(environment.get(name)))), None)
    torch = sys.modules.get("torch")
    if torch is not None and (asked or processors):
        torch.set_num_threads(asked or processors)
    asked = _number(environment.get("OPENBLAS_NUM_THREADS")) or _number(environment.get("OMP_NUM_THREADS"))
    for set_num_threads in blas:
        set_num_threads(asked or processors or len(os.sched_getaffinity(0)))


def _number(text: str | None) -> int | None:
    """OMP_NUM_THREADS may be a list for nested regions: the first counts."""
    first = (text or "").split(",")[0].strip()
    return int(first) if first.isdecimal() and int(first) > 0 else None


def _prctl(option: int, value: int | bytes) -> None:
    ctypes.CDLL(None).prctl(option, value)
