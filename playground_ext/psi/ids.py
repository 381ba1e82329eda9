"""From what a user calls ids to the canonical bytes that both parties hash."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field

from playground_ext.errors import ConfigError

__all__ = ["MAX_IDS", "MAX_ID_BYTES", "IdSet", "canonical", "normalise"]

MAX_ID_BYTES = 1 << 20  # one id, after normalisation
MAX_IDS = 1 << 24  # ids of one party; 16 million


@dataclass(frozen=True)
class IdSet:
    """A party's different ids, in the order of their first appearance. Private to that party, so no repr shows them."""

    values: tuple[bytes, ...] = field(repr=False)  # canonical, all different
    positions: tuple[int, ...] = field(repr=False)  # where each first stood in the user's list
    duplicates: int  # how many entries of the user's list repeated an earlier one

    def __len__(self) -> int:
        return len(self.values)


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
    """Canonical ids without duplicates; of equal ids the first counts.

    Raises:
        ConfigError: an id that `canonical` refuses, named by its position, or more than `MAX_IDS` different ids.
    """
    first_seen: dict[bytes, int] = {}
    total = 0
    for position, value in enumerate(ids):
        try:
            first_seen.setdefault(canonical(value), position)
        except ConfigError as error:
            raise ConfigError(f"id number {position}: {error.what}", next_step=error.next_step) from None
        if len(first_seen) > MAX_IDS:
            raise ConfigError(f"more than {MAX_IDS:,} different ids")
        total = position + 1
    return IdSet(tuple(first_seen), tuple(first_seen.values()), total - len(first_seen))
