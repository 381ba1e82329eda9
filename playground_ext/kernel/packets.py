"""What is said on a zygote's socket: one JSON object a packet, file descriptors beside it. Never pickle.

A connection asks for one kernel and is that kernel's lease from then on: when it closes, because the asker let go of it
or was killed, the kernel is ended. The zygote says how the kernel ended on the same connection.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Sequence

import msgspec

__all__ = [
    "PROTOCOL",
    "Ask",
    "Born",
    "Ended",
    "KernelInfo",
    "Packet",
    "Refused",
    "Spawn",
    "Status",
    "Stop",
    "connect",
    "receive",
    "send",
]

PROTOCOL = 1  # part of the socket's name: zygotes of other versions are never met
MAX_PACKET = 1 << 20  # bytes; the system may allow less, then sending fails
MAX_DESCRIPTORS = 4


class Spawn(msgspec.Struct, frozen=True, tag="spawn"):
    """Wanted: a kernel. Descriptors: its stdout, its stderr, and a pipe to say in when its sockets are bound."""

    arguments: list[str]  # of the kernel application: -f FILE …
    environment: dict[str, str]  # complete
    folder: str  # its current folder
    umask: int
    processors: list[int]  # those it may run on
    limits: dict[int, tuple[int, int]]  # resource: (soft, hard)
    litter: list[str] = []  # files to remove if the asker is killed: connection file and sockets


class Ask(msgspec.Struct, frozen=True, tag="ask"):
    """Wanted: a Status."""


class Stop(msgspec.Struct, frozen=True, tag="stop"):
    """Wanted: no more kernels; leave when the last one has ended. Answered by a Status."""


class Born(msgspec.Struct, frozen=True, tag="born"):
    """A kernel was forked. Descriptor: its pidfd."""

    pid: int


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """No kernel. `retired`: another zygote should be started; otherwise it would refuse just as well."""

    why: str
    retired: bool


class Ended(msgspec.Struct, frozen=True, tag="ended"):
    """The kernel's exit status, negative for a signal."""

    status: int


class KernelInfo(msgspec.Struct, frozen=True):
    """One kernel that runs."""

    pid: int
    party: str
    task: str
    notebook: str
    since: float  # seconds since 1970


class Status(msgspec.Struct, frozen=True, tag="status"):
    """A zygote about itself."""

    pid: int
    interpreter: str
    since: float  # seconds since 1970
    born: int  # kernels forked so far
    kernels: list[KernelInfo]
    retired: str | None = None  # why it forks no more


Packet = Spawn | Ask | Stop | Born | Refused | Ended | Status

# Made once, before there are threads: msgspec 0.22 crashes where two are the first to decode a type.
_PACKETS = msgspec.json.Decoder(Packet)


def connect(path: str, timeout: float) -> socket.socket:
    """A connection to the zygote that listens at `path`. Raises OSError."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MAX_PACKET)
        connection.settimeout(timeout)
        connection.connect(path)
    except BaseException:
        connection.close()
        raise
    return connection


def send(connection: socket.socket, packet: Packet, descriptors: Sequence[int] = ()) -> None:
    """Raises OSError, also if the packet is too large for the system, and UnicodeError for text that is none."""
    data = msgspec.json.encode(packet)
    if len(data) > MAX_PACKET:
        raise OSError(errno.EMSGSIZE, os.strerror(errno.EMSGSIZE))
    if descriptors:
        socket.send_fds(connection, [data], list(descriptors))
    else:
        connection.send(data)


def receive(connection: socket.socket) -> tuple[Packet | None, list[int]]:
    """The next packet, None at the end, and the descriptors that came with it, which are the caller's to close.

    Raises:
        OSError: nothing came in time, or the connection is broken.
        ConnectionError: what came is no packet.
    """
    data, descriptors, _, _ = socket.recv_fds(connection, MAX_PACKET, MAX_DESCRIPTORS)
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    if not data:
        return None, descriptors
    try:
        return _PACKETS.decode(data), descriptors
    except msgspec.MsgspecError as error:
        close_all(descriptors)
        raise ConnectionError(f"not a packet of protocol {PROTOCOL}: {error}") from error


def close_all(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            os.close(descriptor)
