"""From what a user calls ids to the canonical bytes that both parties hash."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from playground_ext.errors import ConfigError

__all__ = ["MAX_IDS", "MAX_ID_BYTES", "IdSet", "Positions", "canonical", "normalise"]

MAX_ID_BYTES = 1 << 20  # one id, after normalisation
MAX_IDS = 1 << 24  # ids of one party; 16 million
_STEP = 8192  # ids hashed at a time

Positions = npt.NDArray[np.uint32]


@dataclass(frozen=True, eq=False)
class IdSet:
    """A party's different ids, in the order of their first appearance. Private to that party, so no repr shows them.

    Ids stay as the user gave them, and are made canonical whenever they are read: what lies beside them is 4 bytes an
    id.
    """

    given: tuple[str | int, ...] = field(repr=False)  # by the user, with duplicates
    positions: Positions = field(repr=False)  # where each first stood there; increasing
    duplicates: int  # how many entries repeated an earlier one

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, index: int) -> bytes:
        """The canonical form of one of the different ids."""
        return canonical(self.given[self.positions[index]])

    def __iter__(self) -> Iterator[bytes]:
        return (self[index] for index in range(len(self)))

    def at(self, positions: Positions) -> IdSet:
        """Only those that first stood at these positions; increasing."""
        return IdSet(self.given, positions, 0)


def canonical(value: str | int) -> bytes:
    """The id as UTF-8 bytes in Unicode's normal form C, so that a composed and a decomposed "é" are one id.

    An int counts as its decimal text: 17 here meets "17" there. Case, spaces and leading zeros make a difference, and
    the empty string is an id like any other.

    Raises:
        ConfigError: not text, not encodable, or longer than `MAX_ID_BYTES`. The message never quotes the id, because
            the other parties read it too.
    """
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ConfigError(
            f"an id is a {type(value).__name__}, not text",
            next_step="give ids as str (decode bytes, convert numpy values with .item())",
        )
    try:
        encoded = unicodedata.normalize("NFC", str(value)).encode()
    except ValueError as error:  # lone surrogates; or an int beyond Python's limit of digits
        raise ConfigError("an id cannot be written as UTF-8 text", next_step="read ids with the right encoding") from (
            None if isinstance(error, UnicodeError) else error
        )
    if len(encoded) > MAX_ID_BYTES:
        raise ConfigError(f"an id has {len(encoded):,} bytes; at most {MAX_ID_BYTES:,} are supported")
    return encoded


def normalise(ids: Iterable[str | int]) -> IdSet:
    """The different ids; of equal ones the first counts. Exact: equal hashes only say which ids to compare.

    Takes 8 bytes an id for references (none, if `ids` is a tuple), and at most 14 more until it returns.

    Raises:
        ConfigError: an id that `canonical` refuses, named by its position, or more than `MAX_IDS` different ids.
    """
    given = tuple(ids)
    hashes = np.fromiter(_hashes(given), dtype=np.int64, count=len(given))
    hashes.sort()
    again = hashes[1:][hashes[1:] == hashes[:-1]]
    repeated = np.concatenate([again[:1], again[1:][again[1:] != again[:-1]]])  # each once
    del hashes, again
    positions = np.arange(len(given), dtype=np.uint32)
    if len(repeated):
        first = np.ones(len(given), dtype=np.bool_)
        for position in _repetitions(given, repeated):
            first[position] = False
        positions = positions[first]
    if len(positions) > MAX_IDS:
        raise ConfigError(f"more than {MAX_IDS:,} different ids")
    return IdSet(given, positions, len(given) - len(positions))


def _hashes(given: Iterable[str | int]) -> Iterator[int]:
    """64 bits for each canonical id, equal for equal ones in this process."""
    for position, value in enumerate(given):
        try:
            yield hash(canonical(value))
        except ConfigError as error:
            raise ConfigError(f"id number {position}: {error.what}", next_step=error.next_step) from None


def _repetitions(given: tuple[str | int, ...], repeated: npt.NDArray[np.int64]) -> Iterator[int]:
    """Positions of ids that are equal to one before them. `repeated`: the hashes that came more than once, sorted."""
    first = np.full(len(repeated), len(given), dtype=np.uint32)  # where the first id with this hash stands
    others: dict[int, list[int]] = {}  # different ids with one hash: where the second and later ones stand
    for start in range(0, len(given), _STEP):
        hashes = np.fromiter(_hashes(given[start : start + _STEP]), dtype=np.int64)
        places = np.minimum(np.searchsorted(repeated, hashes), len(repeated) - 1)
        for offset in np.flatnonzero(repeated[places] == hashes).tolist():
            position, place = start + offset, int(places[offset])
            if first[place] == len(given):
                first[place] = position
                continue
            before = [int(first[place]), *others.get(place, ())]
            value = canonical(given[position])
            if any(canonical(given[earlier]) == value for earlier in before):
                yield position
            else:
                others.setdefault(place, []).append(position)
