"""What a party of the chaos suite does besides its part: falls asleep, raises, lies, loses its disk or its clock."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import nn

from playground_ext.bus.connection import Connection
from playground_ext.bus.outgoing import Sender
from playground_ext.scheduler import farewell

__all__ = ["DEEDS"]


def in_round(scheduler: Any, round: int, act: Callable[[], object], *, after: bool = False) -> None:
    """Let a FedAvg party do something before (or after) it trains in that round."""
    train = scheduler.train_an_epoch

    def train_an_epoch() -> Any:
        if scheduler.current_round != round:
            return train()
        if after:
            values = train()
            act()
            return values
        act()
        return train()

    scheduler.train_an_epoch = train_an_epoch


def sleeps(scheduler: Any, round: int, seconds: float) -> None:
    in_round(scheduler, round, lambda: threading.Event().wait(seconds))


def says_when(scheduler: Any, round: int, file: str) -> None:
    """Tell the test that this round has come, and wait until it removes the file."""

    def wait() -> None:
        Path(file).touch()
        while Path(file).exists():
            threading.Event().wait(0.05)

    in_round(scheduler, round, wait)


def raises(scheduler: Any, round: int) -> None:
    def fail() -> None:
        raise ValueError("my data have a hole")

    in_round(scheduler, round, fail)


def misses_the_end(scheduler: Any) -> None:
    """It fails when it has the result, as all others have by then, but has not saved it."""

    def fail() -> None:
        threading.Event().wait(1.0)
        raise ValueError("no place for the model")

    scheduler._save_model = fail


def waits_for_last_lines(scheduler: Any, seconds: float) -> None:
    farewell.LAST_LINES = seconds


def poisons(scheduler: Any, round: int, value: float) -> None:
    """Its weights become NaN or infinite."""

    def fill() -> None:
        with torch.no_grad():
            scheduler.model[0].bias.fill_(value)

    in_round(scheduler, round, fill, after=True)


def widens(scheduler: Any, round: int) -> None:
    """Its model has another shape from that round on (0: from the beginning)."""
    if round == 0:
        scheduler.width = scheduler.width + 1
        return

    def swap() -> None:
        scheduler.model[3] = nn.Linear(scheduler.width, 5)

    in_round(scheduler, round, swap, after=True)


def clock_jumps(scheduler: Any, round: int, seconds: float) -> None:
    """Somebody sets this machine's clock; the monotonic one goes on."""
    real = time.time

    def jump() -> None:
        time.time = lambda: real() + seconds

    in_round(scheduler, round, jump)


def disk_fills(scheduler: Any, place: str, marker: str) -> None:
    """While the file `marker` exists, nothing more fits into folders of that name."""
    real = {name: getattr(os, name) for name in ("fsync", "fdatasync")}

    def guarded(name: str) -> Callable[[int], None]:
        def sync(descriptor: int) -> None:
            if f"/{place}/" in os.readlink(f"/proc/self/fd/{descriptor}") and Path(marker).exists():
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            real[name](descriptor)

        return sync

    for name in real:
        setattr(os, name, guarded(name))


def repeats_itself(scheduler: Any) -> None:
    """Every message comes twice, and the very first comes again after each later one: repeated and out of order."""
    transmit = Sender._transmit
    first: list[tuple[Any, Any]] = []

    def noisy(self: Sender, outgoing: Any, pieces: Any) -> None:
        transmit(self, outgoing, pieces)
        outbox: Any = self._outbox
        for message, content in [(outgoing, pieces), *first]:
            transmit(self, msgspec.structs.replace(message, seq=outbox.next_seq), content)
            outbox.next_seq += 1
        if not first:
            first.append((outgoing, [b"".join(pieces)]))

    Sender._transmit = noisy  # type: ignore[method-assign]


def swaps_chunks(scheduler: Any) -> None:
    """The first two parts of every large payload change places on the way."""
    store = Connection.store

    def swapped(self: Connection, chunks: Any) -> None:
        listed = [(key, list(buffers)) for key, buffers in chunks]
        store(self, listed)
        if len(listed) > 1:
            one, two = listed[0][0], listed[1][0]
            self.client.rename(one, f"{one}-aside")
            self.client.rename(two, one)
            self.client.rename(f"{one}-aside", two)

    Connection.store = swapped  # type: ignore[method-assign]


def is_wide(scheduler: Any, width: int) -> None:
    """A model of about 44 bytes times the width."""
    scheduler.width = width


DEEDS: dict[str, Callable[..., None]] = {
    deed.__name__: deed
    for deed in (
        sleeps,
        says_when,
        raises,
        misses_the_end,
        waits_for_last_lines,
        poisons,
        widens,
        clock_jumps,
        disk_fills,
        repeats_itself,
        swaps_chunks,
        is_wide,
    )
}
