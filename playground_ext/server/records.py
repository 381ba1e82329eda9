"""Threads and msgspec's record types."""

from __future__ import annotations

import msgspec

__all__ = ["learn_records"]


def learn_records() -> None:
    """Let msgspec learn all record types of this package that are imported, in this one thread.

    It learns a type when that is first decoded, and if two threads are the first, msgspec 0.22 crashes the process. Two
    requests that come together are enough.
    """
    kinds = [msgspec.Struct]
    for kind in kinds:
        kinds += kind.__subclasses__()
        if kind.__module__.startswith("playground_ext."):
            msgspec.json.Decoder(kind)
