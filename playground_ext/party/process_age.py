"""How long this process has lived: what was said before it was born is not news to it."""

from __future__ import annotations

import sys
import time

import psutil

__all__ = ["process_age"]


def process_age() -> float:
    """Seconds since this process was started or forked, exact to a clock tick (10 ms).

    Linux knows when a process started after boot, and the time of boot in whole seconds only, which psutil adds: by the
    clock on the wall a process would seem up to a second too old.
    """
    boot = psutil.boot_time()
    born = psutil.Process().create_time()
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME) - (born - boot)
    return time.time() - born
