"""Reading streams, with the types that redis-py leaves open."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, cast

import redis

from playground_ext.bus.connection import Connection

__all__ = ["Entry", "last_id", "read"]


class Entry(NamedTuple):
    """One entry of one stream."""

    key: str
    id: str
    fields: dict[bytes, bytes]


def read(
    connection: Connection, cursors: Mapping[str, str], *, block: float | None, count: int = 256
) -> Iterator[Entry]:
    """What came after the cursors; waits at most `block` seconds for the first entry (None: not at all)."""
    waiting = () if block is None else ("BLOCK", max(1, int(1000 * block)))
    (reply,) = connection.ask(("XREAD", "COUNT", count, *waiting, "STREAMS", *cursors, *cursors.values()))
    for key, entries in reply or ():
        for entry_id, flat in entries:
            yield Entry(key.decode(), entry_id.decode(), dict(zip(flat[::2], flat[1::2], strict=True)))


def last_id(connection: Connection, key: str) -> str:
    """The highest id the stream ever had, `0-0` if there is no such stream."""
    try:
        return cast(Any, connection.client).xinfo_stream(key)["last-generated-id"].decode()  # type: ignore[no-any-return]
    except redis.ResponseError as error:
        if "no such key" not in str(error):
            raise
        return "0-0"
