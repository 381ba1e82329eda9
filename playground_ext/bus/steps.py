"""The steps of the protocol, named at the moment they are passed.

Every send, receive, checkpoint and aggregation is announced here before and after it happens, so that the chaos suite
enumerates the places where it strikes instead of listing them by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["around", "observe"]

Observer = Callable[[str], None]

_observers: list[Observer] = []


def observe(observer: Observer) -> None:
    """Call `observer` with the name of every step, in the thread that passes it: `before send update round 3`."""
    _observers.append(observer)


@contextmanager
def around(step: str) -> Iterator[None]:
    """Announce a step before and, if it succeeds, after."""
    for observer in _observers:
        observer(f"before {step}")
    yield
    for observer in _observers:
        observer(f"after {step}")
