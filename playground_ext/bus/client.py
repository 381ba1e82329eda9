"""redis-py, held to one socket, no retries, and errors that say what to do."""

from __future__ import annotations

import errno
import os
import re
import socket
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.client import Pipeline
from redis.connection import ConnectionPool
from redis.retry import Retry

from playground_ext.errors import ConfigError, PlaygroundError, ServerError, ServerFull, ServerUnreachable

__all__ = ["Client", "explain", "mask_password", "open_client", "refusal", "unreachable"]

CONNECT_TIMEOUT = 5.0  # seconds for the TCP and TLS handshakes, for each address of the host
SCHEMES = ("redis", "rediss", "unix")
_PASSWORD_IN_QUERY = re.compile(r"([?&](?:ssl_)?password=)[^&#]*", re.IGNORECASE)


def mask_password(url: str) -> str:
    """The URL as it may be shown: `redis://:***@host:6379/0`."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return _PASSWORD_IN_QUERY.sub(r"\1***", url)
    credentials, at, place = rest.rpartition("@")
    if at and ":" in credentials:
        credentials = credentials.partition(":")[0] + ":***"
    return _PASSWORD_IN_QUERY.sub(r"\1***", f"{scheme}://{credentials}{at}{place}")


def open_client(url: str, *, name: str, timeout: float) -> Client:
    """Connect at once.

    `timeout`: seconds of silence after which the server counts as gone; longer than any BLOCK.

    Raises:
        ConfigError: not a redis://, rediss:// or unix:// URL, or an option in it that does not exist.
        ServerUnreachable: nobody answers there, or the password is wrong.
    """
    if urlsplit(url).scheme not in SCHEMES:
        raise ConfigError(
            f"{mask_password(url)!r} is not the address of a server",
            next_step="give redis://[user:password@]host:port/0, rediss://… for TLS, or unix:///path/to/socket",
        )
    try:
        pool = _OneSocket.from_url(
            url,
            client_name=name or None,
            decode_responses=False,
            driver_info=None,  # no CLIENT SETINFO: two round trips that older servers refuse
            health_check_interval=0,
            protocol=2,  # no push messages between the replies
            retry=Retry(NoBackoff(), 0),  # a retried XADD could be applied twice
            socket_connect_timeout=min(timeout, CONNECT_TIMEOUT),
            socket_timeout=timeout,
        )
        client = Client(pool, url)
        pool.get_connection()
    except redis.RedisError as error:
        raise explain(error, url) or unreachable(url, error) from error
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"the server's address {mask_password(url)!r} cannot be used: {error}",
            next_step="check PLAYGROUND_REDIS_URL: only options of redis-py may follow the '?'",
        ) from error
    return client


def explain(error: redis.RedisError, url: str) -> PlaygroundError | None:
    """The error of ours that this is; None for replies about one command (WRONGTYPE, a refused stream id, …)."""
    if isinstance(error, redis.AuthenticationError):
        return ServerUnreachable(
            f"the server at {mask_password(url)} refuses the password: {error}",
            next_step="put the right user and password into the URL: redis://user:password@host:port/0",
        )
    if isinstance(error, redis.ConnectionError | redis.TimeoutError):
        return unreachable(url, error)
    if isinstance(error, redis.ResponseError):
        return refusal(str(error), url)
    return None


def refusal(reply: str, url: str) -> PlaygroundError | None:
    """The error of ours for an error reply that has nothing to do with one command; None if it has."""
    if "OOM command not allowed" in reply or "used memory > 'maxmemory'" in reply:
        return ServerFull(
            f"the server at {mask_password(url)} is full: its memory limit is reached",
            next_step="let slow receivers catch up, end tasks that nobody runs any more, or give it more memory",
        )
    if reply.startswith("NOAUTH") or "Authentication required" in reply:
        return ServerUnreachable(
            f"the server at {mask_password(url)} wants a password",
            next_step="put user and password into the URL: redis://user:password@host:port/0",
        )
    if reply.startswith("NOPERM") or "has no permissions" in reply:
        return ServerError(
            f"the server at {mask_password(url)} does not permit this: {reply}",
            next_step="ask whoever runs the server for the rights of this party (ACL)",
        )
    if reply.startswith(("READONLY", "MISCONF", "NOREPLICAS")):
        return ServerError(
            f"the server at {mask_password(url)} takes no writes: {reply}",
            next_step="use the primary server, one whose disk is not full",
        )
    return None


def unreachable(url: str, error: Exception) -> ServerUnreachable:
    """Nobody answers at `url`, and why."""
    reason = (getattr(error, "strerror", None) or str(error)).strip().rstrip(".") or type(error).__name__
    if os.strerror(errno.EAGAIN) in reason:  # how a socket's SO_RCVTIMEO says it
        reason = "timed out"
    where = "that machine is reachable" if url.startswith("redis") else "the server that made this socket still runs"
    return ServerUnreachable(
        f"no server answers at {mask_password(url)}: {reason}",
        next_step=f"check that {where}, or unset PLAYGROUND_REDIS_URL to let Playground start its own server",
    )


class _OneSocket(ConnectionPool):
    """A pool of one connection, never checked out: commands, pipelines and payloads take turns on one socket."""

    _only: Any = None

    def get_connection(self, command_name: object = None, *keys: object, **options: object) -> Any:
        if self._only is None:
            self._only = self.make_connection()
        if not self._only.is_connected:
            self._only.connect()
        return self._only

    def release(self, connection: object) -> None:
        """Nothing was checked out."""

    def disconnect(self, inuse_connections: bool = True) -> None:
        """Close our copy of the socket; in a forked child the parent's conversation goes on."""
        if self._only is not None:
            self._only.disconnect()

    def interrupt(self) -> None:
        """Let a read in which another thread waits end at once, as if the server had closed the connection."""
        sock = getattr(self._only, "_sock", None)
        if sock is not None:
            with suppress(OSError):  # it is closed already
                sock.shutdown(socket.SHUT_RDWR)


class Client(redis.Redis):
    """redis-py's client with our errors; bytes in, bytes out. For one thread."""

    def __init__(self, pool: ConnectionPool, url: str) -> None:
        super().__init__(connection_pool=pool)
        self.url = url

    def execute_command(self, *args: Any, **options: Any) -> Any:
        try:
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except redis.RedisError as error:
            if ours := explain(error, self.url):
                raise ours from error
            raise

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> _Pipeline:
        """Commands sent together, on the same socket."""
        return _Pipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint, url=self.url)


class _Pipeline(Pipeline):
    def __init__(self, *args: Any, url: str) -> None:
        super().__init__(*args)
        self.url = url

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        try:
            return super().execute(raise_on_error)
        except redis.RedisError as error:
            if ours := explain(error, self.url):
                raise ours from error
            raise

    def immediate_execute_command(self, *args: Any, **options: Any) -> Any:
        try:
            return super().immediate_execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except redis.RedisError as error:
            if ours := explain(error, self.url):
                raise ours from error
            raise
