"""Payload bytes over a borrowed socket: gathered from where they lie and received where they belong, uncopied."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Iterable, Iterator, Sequence

from playground_ext.errors import ProtocolError

__all__ = ["Buffer", "ReplyReader", "blocking", "get_command", "send", "set_commands"]

Buffer = bytes | bytearray | memoryview

GATHER = 256  # pieces in one sendmsg; the kernel takes 1024
LINE_BYTES = 1024  # longest reply line that is not a payload: an error with a key's name in it


def set_commands(chunks: Iterable[tuple[str, Sequence[Buffer]]]) -> Iterator[Buffer]:
    """`SET key value` for every chunk, as the pieces to send; a value is the concatenation of its buffers."""
    for key, buffers in chunks:
        name = key.encode()
        length = sum(memoryview(buffer).nbytes for buffer in buffers)
        yield b"*3\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n" % (len(name), name, length)
        yield from buffers
        yield b"\r\n"


def get_command(key: str) -> bytes:
    name = key.encode()
    return b"*2\r\n$3\r\nGET\r\n$%d\r\n%b\r\n" % (len(name), name)


def blocking(sock: socket.socket, timeout: float) -> None:
    """Let the kernel move whole payloads in one call; it gives up after `timeout` seconds of silence.

    TLS sockets stay as they are: there Python moves every record.
    """
    if isinstance(sock, ssl.SSLSocket):
        return
    seconds = struct.pack("@ll", int(timeout), int(timeout % 1 * 1_000_000))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, seconds)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, seconds)
    sock.settimeout(None)


def send(sock: socket.socket, pieces: Iterable[Buffer]) -> None:
    """Send the pieces one after the other, many in one call."""
    if isinstance(sock, ssl.SSLSocket):  # has no sendmsg
        for piece in pieces:
            sock.sendall(piece)
        return
    batch: list[memoryview] = []
    for piece in pieces:
        view = memoryview(piece)
        if view.nbytes:
            batch.append(view.cast("B"))
        if len(batch) == GATHER:
            _send_batch(sock, batch)
            batch = []
    _send_batch(sock, batch)


def _send_batch(sock: socket.socket, views: list[memoryview]) -> None:
    first = 0
    while first < len(views):
        try:
            sent = sock.sendmsg(views[first:])
        except BlockingIOError:  # how SO_SNDTIMEO says that time is up
            raise TimeoutError("it takes no more data") from None
        while first < len(views) and sent >= views[first].nbytes:
            sent -= views[first].nbytes
            first += 1
        if sent:
            views[first] = views[first][sent:]


class ReplyReader:
    """Reads replies that are either one line or a payload; holds at most a few bytes beyond what was asked for."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._flags = 0 if isinstance(sock, ssl.SSLSocket) else socket.MSG_WAITALL
        self._buffer = bytearray(LINE_BYTES)
        self._start = 0
        self._end = 0

    @property
    def empty(self) -> bool:
        return self._start == self._end

    def line(self) -> bytes:
        """The next line, without its end."""
        while (found := self._buffer.find(b"\r\n", self._start, self._end)) < 0:
            if self._start:
                self._buffer[: self._end - self._start] = self._buffer[self._start : self._end]
                self._end -= self._start
                self._start = 0
            if self._end == LINE_BYTES:
                raise ProtocolError("the server sent a line that does not end", next_step="is it a Redis server?")
            self._end += self._receive(memoryview(self._buffer)[self._end :], 0)
        line = bytes(self._buffer[self._start : found])
        self._start = found + 2
        return line

    def payload(self, into: memoryview) -> None:
        """Fill `into` with a payload and read the end of line behind it."""
        filled = min(len(into), self._end - self._start)
        into[:filled] = self._buffer[self._start : self._start + filled]
        self._start += filled
        while filled < len(into):
            filled += self._receive(into[filled:], self._flags)
        if self.line():
            raise ProtocolError("the server sent a payload of another length than announced")

    def _receive(self, into: memoryview, flags: int) -> int:
        try:
            count = self._socket.recv_into(into, 0, flags)
        except BlockingIOError:  # how SO_RCVTIMEO says that time is up
            raise TimeoutError("it stopped in the middle of an answer") from None
        if not count:
            raise ConnectionError("it closed the connection")
        return count
