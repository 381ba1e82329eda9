"""Messages of equally wide items: checked, cut into blocks, worked on by a few threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from playground_ext.errors import MalformedPayload, ProtocolError

__all__ = ["BLOCK_IDS", "THREADS", "Buffer", "Progress", "check_items", "checked_blocks", "in_threads"]

T = TypeVar("T")
Buffer = bytes | bytearray | memoryview
Progress = Callable[[int], None]  # called after each block with the number of ids done so far

BLOCK_IDS = 8192  # ids in one message: 256 KB of curve points, 2 MB of RSA-2048 numbers
THREADS = 2  # the libraries release the GIL
_STEP = 256  # ids that a thread takes at a time, 10 to 200 ms, so that Ctrl-C is heard


def check_items(message: Buffer, width: int, count: int, what: str) -> memoryview:
    """The message as bytes, if it holds exactly `count` items of `width` bytes.

    Raises:
        MalformedPayload: it does not.
    """
    view = memoryview(message).cast("B")
    if len(view) != width * count:
        raise MalformedPayload(f"{what}: {len(view):,} bytes came, but {count:,} items of {width} bytes were expected")
    return view


def checked_blocks(blocks: Iterable[Buffer], width: int, count: int, what: str) -> Iterator[tuple[memoryview, int]]:
    """Each block with its number of items; together they must hold exactly `count`.

    Raises:
        MalformedPayload: a block that is empty or ends within an item.
        ProtocolError: more items than announced (before that block is handed on), or fewer when the blocks end.
    """
    seen = 0
    for block in blocks:
        view = memoryview(block).cast("B")
        items, rest = divmod(len(view), width)
        if rest or not items:
            raise MalformedPayload(f"{what}: a block of {len(view):,} bytes does not hold whole items of {width} bytes")
        seen += items
        if seen > count:
            raise ProtocolError(f"{what}: {seen:,} items came, but only {count:,} were announced")
        yield view, items
    if seen != count:
        raise ProtocolError(f"{what}: {count:,} items were announced, but only {seen:,} came")


def in_threads(work: Callable[[int, int], T], count: int, threads: int) -> list[T]:
    """`work(start, stop)` for consecutive slices of `range(count)`, in order."""
    starts = range(0, count, _STEP)
    stops = [min(count, start + _STEP) for start in starts]
    if threads <= 1 or len(starts) <= 1:
        return list(map(work, starts, stops))
    with ThreadPoolExecutor(threads, thread_name_prefix="psi") as pool:
        return list(pool.map(work, starts, stops))
