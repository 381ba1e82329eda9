"""Where large payloads lie until they are acknowledged: in files if both sides reach them, else in chunks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from playground_ext.bus.connection import CHUNK_BYTES, Connection
from playground_ext.bus.envelope import Buffer, total_bytes
from playground_ext.bus.keys import RunKeys
from playground_ext.bus.payload_files import PayloadFiles, empty_buffer
from playground_ext.errors import ProtocolError

__all__ = ["Payloads", "Place"]


class Place(NamedTuple):
    """What a payload is called."""

    receiver: str  # ALL for a broadcast, which is stored once
    sender: str
    incarnation: int
    seq: int
    size: int  # bytes

    @property
    def file(self) -> str:
        return f"{self.receiver}.{self.sender}.{self.incarnation}.{self.seq}"

    def chunks(self, keys: RunKeys) -> list[str]:
        count = -(-self.size // CHUNK_BYTES)
        return [keys.chunk(self.receiver, self.sender, self.incarnation, self.seq, index) for index in range(count)]


class Payloads:
    """The large payloads of one run; used by one thread."""

    def __init__(self, connection: Connection, keys: RunKeys) -> None:
        self._connection = connection
        self._keys = keys
        self._files = PayloadFiles.beside(connection.url, keys.task, keys.run)

    def store(self, place: Place, pieces: Sequence[Buffer]) -> None:
        """Returns when receivers can load it.

        Raises:
            ServerFull, ServerUnreachable: from the server.
        """
        if self._files is None or not self._files.store(place.file, pieces):
            self._connection.store(zip(place.chunks(self._keys), _chunked(pieces), strict=True))

    def load(self, place: Place) -> memoryview | None:
        """The whole payload in a buffer of its own; None until all of it is there.

        Nothing is allocated on a sender's word alone. A server that lost its data gets them again from the sender's
        outbox.

        Raises:
            ProtocolError: more is there than `place` says.
            ServerUnreachable: from the server.
        """
        held = self._files.size(place.file) if self._files is not None else None
        if self._files is not None and held == place.size:
            return self._files.read(place.file, held)
        keys = place.chunks(self._keys)
        if held is None:
            held = sum(self._connection.ask(*[("STRLEN", key) for key in keys]))
        if held > place.size:
            raise ProtocolError(
                f"{place.sender} points to a payload of {place.size:,} bytes; the server holds {held:,}",
                party=place.sender,
            )
        if held < place.size:
            return None
        payload = empty_buffer(place.size)
        self._connection.fetch(keys, payload)
        return payload

    def drop(self, places: Iterable[Place]) -> None:
        """Nobody needs them any more."""
        on_server = [place for place in places if self._files is None or not self._files.drop(place.file)]
        if keys := [key for place in on_server for key in place.chunks(self._keys)]:
            self._connection.ask(("UNLINK", *keys))

    def remove(self) -> None:
        """All payloads of the run, whoever stored them."""
        if self._files is not None:
            self._files.remove()
        if keys := list(self._connection.client.scan_iter(match=f"{self._keys.prefix}b:*", count=1000)):
            self._connection.client.unlink(*keys)

    def close(self) -> None:
        """Nothing more will be stored."""
        if self._files is not None:
            self._files.close()


def _chunked(pieces: Iterable[Buffer]) -> Iterator[list[Buffer]]:
    """Cut the concatenation of the pieces into chunks of CHUNK_BYTES without copying."""
    chunk: list[Buffer] = []
    room = CHUNK_BYTES
    for piece in pieces:
        view = memoryview(piece).cast("B")
        while view.nbytes:
            part, view = view[:room], view[room:]
            chunk.append(part)
            room -= part.nbytes
            if not room:
                yield chunk
                chunk, room = [], CHUNK_BYTES
    if total_bytes(chunk):
        yield chunk
