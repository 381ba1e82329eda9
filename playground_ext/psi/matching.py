"""What both protocols begin and end with: a secret order of the own ids, and the comparison of two lists of tags."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from playground_ext.errors import ProtocolError
from playground_ext.psi.blocks import BLOCK_IDS, Buffer, check_items

__all__ = ["Intersection", "Shuffled", "intersect", "shuffled"]


@dataclass(frozen=True)
class Shuffled:
    """A party's ids in a secret random order, so that a position in a message says nothing about the id."""

    values: tuple[bytes, ...] = field(repr=False)
    order: tuple[int, ...] = field(repr=False)  # order[i]: where values[i] stood before

    def __len__(self) -> int:
        return len(self.values)

    def blocks(self, size: int = BLOCK_IDS) -> Iterator[tuple[bytes, ...]]:
        """The ids, `size` at a time."""
        for start in range(0, len(self.values), size):
            yield self.values[start : start + size]

    def original(self, positions: Sequence[int]) -> list[int]:
        """Where the ids at these shuffled positions stood before.

        Raises:
            ProtocolError: a position that does not exist, or one that is named twice (another party chose them).
        """
        if len(set(positions)) != len(positions) or any(not 0 <= position < len(self) for position in positions):
            raise ProtocolError(f"positions of common ids must be different and below {len(self):,}")
        return [self.order[position] for position in positions]


def shuffled(values: Sequence[bytes]) -> Shuffled:
    """A uniformly random order from the operating system's generator.

    Raises:
        ProtocolError: the same id twice (`ids.normalise` removes duplicates).
    """
    if len(set(values)) != len(values):
        raise ProtocolError("the ids to intersect are not all different")
    order = list(range(len(values)))
    random.SystemRandom().shuffle(order)
    return Shuffled(tuple(values[position] for position in order), tuple(order))


@dataclass(frozen=True)
class Intersection:
    """Positions of the common ids in both shuffled lists: `mine[k]` and `theirs[k]` are the same id."""

    mine: tuple[int, ...] = field(repr=False)  # increasing
    theirs: tuple[int, ...] = field(repr=False)

    def __len__(self) -> int:
        return len(self.mine)


def intersect(mine: Buffer, theirs: Buffer, *, width: int, mine_count: int, theirs_count: int) -> Intersection:
    """Compare two lists of tags of `width` bytes. Only the initiator holds both lists.

    Raises:
        MalformedPayload: a list that does not hold the number of tags that was announced.
        ProtocolError: the same tag twice in a list; ids are different, so their tags must be.
    """
    ours = _tags(mine, width, mine_count, "own ids")
    others = _tags(theirs, width, theirs_count, "the other party's ids")
    _refuse_duplicates(np.sort(ours), "own ids")
    order = np.argsort(others)
    ordered = others[order]
    _refuse_duplicates(ordered, "the other party's ids")
    if not len(ours) or not len(ordered):
        return Intersection((), ())
    places = np.searchsorted(ordered, ours)
    places[places == len(ordered)] = 0  # larger than all: compared with any, found different
    found = np.flatnonzero(ordered[places] == ours)
    return Intersection(tuple(found.tolist()), tuple(order[places[found]].tolist()))


def _tags(message: Buffer, width: int, count: int, whose: str) -> np.ndarray[tuple[int], np.dtype[np.bytes_]]:
    view = check_items(message, width, count, f"tags of {whose}")
    # A fixed-width byte string drops trailing zeros when it is read, never when two of one width are compared.
    return np.frombuffer(view, dtype=f"S{width}")


def _refuse_duplicates(ordered: np.ndarray[tuple[int], np.dtype[np.bytes_]], whose: str) -> None:
    if np.any(ordered[1:] == ordered[:-1]):
        raise ProtocolError(f"the tags of {whose} are not all different")
