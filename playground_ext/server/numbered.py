"""Items numbered from 1 in the order in which they came, as JSON; the oldest go from memory to a file, then away."""

from __future__ import annotations

import os
import tempfile
import threading
from collections import deque
from itertools import islice

__all__ = ["Numbered"]

MOST_ITEMS = 200_000  # in memory
MOST_BYTES = 64 << 20  # in memory
MOST_SPOOLED = 1 << 30  # bytes in the file
SPOOLED_AT_ONCE = 5_000  # items that leave memory together


class Numbered:
    """An append-only list with a window. Any thread may read; one thread adds."""

    def __init__(self, *, most_items: int = MOST_ITEMS, most_bytes: int = MOST_BYTES) -> None:
        self._lock = threading.Lock()
        self._items: deque[bytes] = deque()  # JSON objects without line breaks
        self._bytes = 0
        self._most_items, self._most_bytes = most_items, most_bytes
        self._spool: int | None = None  # descriptor of an unlinked file
        self._spooled: deque[tuple[int, int, int]] = deque()  # first seq, offset, length
        self.last = 0

    @property
    def first(self) -> int:
        """The number of the oldest item in memory; one more than `last` if there is none."""
        return self.last - len(self._items) + 1

    def add(self, items: list[bytes]) -> None:
        """Items with the numbers `last + 1` and so on, which stand in their JSON already."""
        with self._lock:
            self._items.extend(items)
            self._bytes += sum(map(len, items))
            self.last += len(items)
            while len(self._items) > self._most_items or (self._bytes > self._most_bytes and len(self._items) > 1):
                self._shrink()

    def after(self, seq: int, most: int) -> tuple[list[bytes], int]:
        """At most `most` items in memory with higher numbers, and the number of the last of them."""
        with self._lock:
            begin = max(0, seq + 1 - self.first)
            found = list(islice(self._items, begin, begin + most))
            return found, self.first + begin + len(found) - 1 if found else max(seq, self.first - 1)

    def before(self, seq: int, most: int) -> tuple[list[bytes], int]:
        """The newest `most` items with lower numbers, in order, and the number of the first of them."""
        with self._lock:
            end = min(max(0, seq - self.first), len(self._items))
            begin = max(0, end - most)
            found = list(islice(self._items, begin, end))
            limit = self.first + begin if found else min(seq, self.first)
            for first, offset, length in reversed(self._spooled):
                if len(found) >= most or self._spool is None:
                    break
                if first < limit:
                    block = os.pread(self._spool, length, offset).split(b"\n")[: limit - first]
                    taken = block[-(most - len(found)) :]
                    found = taken + found
                    limit = first + len(block) - len(taken)
            return found, limit

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            if self._spool is not None:
                os.close(self._spool)
                self._spool = None
            self._spooled.clear()

    def _shrink(self) -> None:
        first = self.first
        count = min(SPOOLED_AT_ONCE, max(1, len(self._items) // 2))
        block = [self._items.popleft() for _ in range(count)]
        self._bytes -= sum(map(len, block))
        if self._spool is None:
            self._spool, path = tempfile.mkstemp(prefix="playground-lab-")
            os.unlink(path)
        data = b"\n".join(block)
        offset = self._spooled[-1][1] + self._spooled[-1][2] if self._spooled else 0
        if offset + len(data) > MOST_SPOOLED:  # begin the file anew: what was in it stands in the parties' logs.jsonl
            os.ftruncate(self._spool, 0)
            self._spooled.clear()
            offset = 0
        view = memoryview(data)
        written = 0
        while written < len(view):
            written += os.pwrite(self._spool, view[written:], offset + written)
        self._spooled.append((first, offset, len(data)))
