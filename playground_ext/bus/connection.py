"""One socket to the server: small commands through redis-py, payloads by scatter and gather."""

from __future__ import annotations

import os
import socket
import ssl
import time
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self, cast

import hiredis
import redis
from redis.connection import DefaultParser

from playground_ext.bus.client import Client, explain, mask_password, open_client, refusal, unreachable
from playground_ext.bus.payload_socket import Buffer, ReplyReader, blocking, get_command, send, set_commands
from playground_ext.errors import ProtocolError, ServerError

__all__ = ["CHUNK_BYTES", "Buffer", "Connection", "mask_password"]

CHUNK_BYTES = 4 << 20  # bytes of a payload under one key
GETS_IN_FLIGHT = 2  # chunks asked for and not yet read; servers that copy replies hold this many for every reader
_READ_BYTES = 1 << 16  # in one go
_CAN_SPIN = hasattr(os, "sched_yield") and hasattr(socket, "MSG_DONTWAIT")  # not on Windows
_INCOMPLETE = object()  # what a reader gives before a reply has come completely

_open: weakref.WeakSet[Connection] = weakref.WeakSet()
_fork_handler: list[None] = []  # not empty once the handler is registered


class Connection:
    """One socket to the server, for one thread.

    `client` is redis-py's client on that socket: bytes in, bytes out, RESP2 replies, no retries. Its connection errors,
    a refused password and a full server are raised as ours; replies about one command stay `redis.ResponseError`. After
    an error the next command connects again by itself, or call `reconnect` to know at once.

    `name` is shown by `CLIENT LIST`. `timeout`: seconds of silence after which the server counts as gone; longer than
    any BLOCK. `spin`: seconds for which `call` looks out for a reply before it sleeps, leaving the processor to whoever
    else wants it; being woken takes longer than most replies. For a thread on which others wait.

    Raises:
        ConfigError: `url` is not the address of a server.
        ServerUnreachable: nobody answers there, or the password is wrong.
    """

    client: redis.Redis

    def __init__(self, url: str, *, name: str = "", timeout: float = 15.0, spin: float = 0.0) -> None:
        self.url = url
        self._timeout = timeout
        self._spin = spin
        self.client: Client = open_client(url, name=name, timeout=timeout)
        self._reader = _reply_reader()
        self._buffer = bytearray(_READ_BYTES)
        _open.add(self)
        if not _fork_handler:
            os.register_at_fork(after_in_child=_drop_all)
            _fork_handler.append(None)

    def call(self, *commands: Sequence[str | bytes | int]) -> list[Any]:
        """Send some commands at once and return their replies, error replies among them as `redis.ResponseError`.

        For the few commands that every message takes: it skips redis-py, which takes more time than the server.

        Raises:
            ServerUnreachable: the connection broke.
        """
        replies: list[Any] = []
        try:
            sock, reader, buffer = self._socket(), self._reader, self._buffer
            sock.sendall(b"".join([hiredis.pack_command(command) for command in commands]))  # type: ignore[arg-type]
            for _ in commands:
                while (reply := reader.gets()) is _INCOMPLETE:
                    if not (count := self._receive(sock, buffer)):
                        raise redis.ConnectionError("the server has closed the connection")
                    reader.feed(buffer, 0, count)  # type: ignore[arg-type]
                if isinstance(reply, redis.ConnectionError):  # the server does not talk to us at all
                    raise reply
                replies.append(reply)
        except BaseException as error:
            self._drop(error)
            raise
        return replies

    def ask(self, *commands: Sequence[str | bytes | int]) -> list[Any]:
        """`call`, where an error reply is raised.

        Raises:
            redis.ResponseError: the first of them, if it is about its command.
            ServerError, ServerFull, ServerUnreachable: it is about the server; or the connection broke.
        """
        replies = self.call(*commands)
        for reply in replies:
            if isinstance(reply, redis.ResponseError):
                raise explain(reply, self.url) or reply
        return replies

    def store(self, chunks: Iterable[tuple[str, Sequence[Buffer]]]) -> None:
        """`SET key value` for every chunk, all in one go; a value is the concatenation of its buffers, sent uncopied.

        Raises:
            ServerFull: the server refused some of them for lack of memory; others may be stored.
            ServerUnreachable: the connection broke, or nothing moved for `timeout` seconds.
        """
        keys: list[str] = []

        def noted() -> Iterator[tuple[str, Sequence[Buffer]]]:
            for key, buffers in chunks:
                keys.append(key)
                yield key, buffers

        refused: list[tuple[str, str]] = []
        with self._borrowed_socket() as sock:
            send(sock, set_commands(noted()))
            reader = ReplyReader(sock)
            for key in keys:
                reply = reader.line()
                if reply[:1] == b"-":
                    refused.append((key, reply[1:].decode(errors="replace")))
                elif reply != b"+OK":
                    raise ProtocolError(f"the server answered {reply[:40]!r} to SET {key}")
        if refused:
            key, reason = refused[0]
            raise refusal(reason, self.url) or ServerError(f"the server refuses to store {key}: {reason}")

    def fetch(self, keys: Sequence[str], into: memoryview) -> None:
        """Fill `into` with the values of `keys`, one after the other, received where they belong.

        Raises:
            ProtocolError: a key does not exist, or all values together are not exactly as long as `into`.
            ServerUnreachable: the connection broke, or nothing moved for `timeout` seconds.
        """
        target = into.cast("B") if into.nbytes else memoryview(bytearray())
        filled = 0
        with self._borrowed_socket() as sock:
            reader = ReplyReader(sock)
            send(sock, [get_command(key) for key in keys[:GETS_IN_FLIGHT]])
            for index, key in enumerate(keys):
                length = self._payload_length(reader.line(), key)
                if filled + length > len(target):
                    raise ProtocolError(
                        f"{key} holds {length} bytes, but only {len(target) - filled} of {len(target)} are still due"
                    )
                reader.payload(target[filled : filled + length])
                filled += length
                if index + GETS_IN_FLIGHT < len(keys):
                    send(sock, [get_command(keys[index + GETS_IN_FLIGHT])])
            if not reader.empty:
                raise ProtocolError("the server sent more than was asked for")
        if filled != len(target):
            names = ", ".join(keys[:3]) + (", …" if len(keys) > 3 else "")
            raise ProtocolError(f"{names or 'no chunks'} hold {filled} bytes instead of {len(target)}")

    def reconnect(self) -> None:
        """Drop the socket and connect again.

        Raises:
            ServerUnreachable: nobody answers.
        """
        self.close()
        try:
            self._connected()
        except redis.RedisError as error:
            if ours := explain(error, self.url):
                raise ours from error
            raise

    def close(self) -> None:
        """Drop the socket; a later command would connect again."""
        self.client.connection_pool.disconnect()
        self._reader = _reply_reader()  # what had come of a reply belongs to that socket

    def interrupt(self) -> None:
        """Let a command in which another thread waits end at once with ServerUnreachable. For any thread."""
        cast(Any, self.client.connection_pool).interrupt()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Connection to {mask_password(self.url)}>"

    def _connected(self) -> Any:
        """redis-py's connection, connected."""
        return self.client.connection_pool.get_connection()

    def _socket(self) -> socket.socket:
        """redis-py's socket, connected. The kernel watches over its timeout: Python would ask before every move."""
        sock: socket.socket = self._connected()._get_socket()
        if sock.gettimeout() is not None:  # redis-py has just connected, or looked for something to read
            blocking(sock, self._timeout)
        return sock

    def _receive(self, sock: socket.socket, buffer: bytearray) -> int:
        """Whatever has come of a reply, at least a byte; 0 at the end of the connection."""
        if self._spin and _CAN_SPIN and not isinstance(sock, ssl.SSLSocket):
            until = time.perf_counter() + self._spin
            while time.perf_counter() < until:
                try:
                    return sock.recv_into(buffer, 0, socket.MSG_DONTWAIT)
                except BlockingIOError:
                    os.sched_yield()
        return sock.recv_into(buffer)

    @contextmanager
    def _borrowed_socket(self) -> Iterator[socket.socket]:
        """redis-py's socket while no reply is pending on it; whatever goes wrong inside drops it."""
        try:
            connection = self._connected()
            if self._is_stale(connection):  # the caller must know: the server may have come back without its data
                raise redis.ConnectionError("the server has closed the connection")
            yield self._socket()
        except BaseException as error:
            self._drop(error)
            raise

    def _drop(self, error: BaseException) -> None:
        """A reply that is still due would be taken for the next command's. Raises the error of ours, if it is one."""
        self.close()
        if isinstance(error, redis.RedisError) and (ours := explain(error, self.url)):
            raise ours from error
        if isinstance(error, OSError):
            raise unreachable(self.url, error) from error

    @staticmethod
    def _is_stale(connection: Any) -> bool:
        """Is there a reply nobody read, or the server's goodbye?"""
        try:
            if isinstance(connection._get_socket(), ssl.SSLSocket):  # readable after a handshake, too: session tickets
                connection.send_command("PING")
                return bool(connection.read_response() != b"PONG")
            return bool(connection.can_read(timeout=0))
        except redis.ConnectionError:
            return True

    def _payload_length(self, reply: bytes, key: str) -> int:
        if reply in (b"$-1", b"_"):
            raise ProtocolError(
                f"the payload chunk {key} is not on the server",
                next_step="was the server restarted, or was the chunk collected? The sender has to send it again",
            )
        if reply[:1] == b"-":
            reason = reply[1:].decode(errors="replace")
            raise refusal(reason, self.url) or ProtocolError(f"the server refuses to give {key}: {reason}")
        if reply[:1] != b"$" or not reply[1:].isdigit():
            raise ProtocolError(f"the server answered {reply[:40]!r} to GET {key}")
        return int(reply[1:])


def _reply_reader() -> hiredis.Reader:
    """Replies as bytes; error replies as redis-py's exceptions."""
    return hiredis.Reader(
        protocolError=redis.InvalidResponse, replyError=DefaultParser.parse_error, notEnoughData=_INCOMPLETE
    )


def _drop_all() -> None:
    """In a forked child: close our copies of the sockets, or two processes would share one conversation."""
    for connection in list(_open):
        connection.close()
