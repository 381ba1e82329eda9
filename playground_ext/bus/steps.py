"""The steps of the protocol, named at the moment they are passed.

Every send, receive, checkpoint and aggregation is announced here before and after it happens, so that the chaos suite
enumerates the places where it strikes instead of listing them by hand.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["around", "observe"]

Observer = Callable[[str], None]

_observers: list[Observer] = []


def observe(observer: Observer) -> None:
    """Call `observer` with the name of every step, in the thread that passes it: `before send update round 3`."""
    _observers.append(observer)


class around:
    """`with around(lambda: "send update round 3"):` announces a step before and, if it succeeds, after.

    The name is asked for only where somebody observes: every message passes here, twice.
    """

    __slots__ = ("_name", "_step")

    def __init__(self, step: Callable[[], str]) -> None:
        self._step = step
        self._name = ""

    def __enter__(self) -> None:
        if _observers:
            self._name = self._step()
            self._announce("before")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._name and kind is None:
            self._announce("after")

    def _announce(self, when: str) -> None:
        for observer in _observers:
            observer(f"{when} {self._name}")
