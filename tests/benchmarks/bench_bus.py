"""Round trips between two processes, against a raw unix socket that moves the same bytes; and what a broadcast costs.

    python tests/benchmarks/bench_bus.py

The baseline receives into a fresh buffer, because a state dict that was received belongs to the receiver. Every size is
shown three times: the bus alone, with what was sent kept in memory; the same with payloads in chunks on the server, as
over TCP, instead of in files beside its socket; and as parties run it, with the outbox on disk, fsynced.
"""

from __future__ import annotations

import multiprocessing
import socket
import statistics
import struct
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import interleaved, table

from playground_ext.bus.connection import Connection
from playground_ext.bus.keys import RunKeys
from playground_ext.bus.mailbox import Mailbox
from playground_ext.bus.payload_files import PayloadFiles
from playground_ext.bus.private_folder import PAYLOADS
from playground_ext.bus.server import EmbeddedServer
from playground_ext.bus.tensors import decode, encode
from playground_ext.party.outbox import MemoryOutbox, Outbox

KEYS = RunKeys("bench", "run")
SMALL = 100_000  # bytes; below it plain bytes travel, as control messages of an algorithm do, above it a state dict
SIZES = {"5 KB": 5_000, "10 MB": 10_000_000, "100 MB": 100_000_000}
TRIPS = {"5 KB": 200, "10 MB": 10, "100 MB": 3}


class NoGuard:
    def check(self) -> None:
        return None

    def is_lost(self, party: str) -> bool:
        return False

    def calm_since(self) -> float:
        return 0.0

    def last_word(self, party: str) -> str:
        return ""

    def wait(self, timeout: float) -> None:
        time.sleep(timeout)


def mailbox(url: str, me: str, peer: str, folder: Path, *, durable: bool) -> Mailbox:
    outbox = Outbox(folder / me) if durable else MemoryOutbox()
    return Mailbox(url, KEYS, me, [peer], incarnation=1, outbox=outbox, guard=NoGuard(), kinds=("ping",))


def state_dict(size: int) -> dict[str, torch.Tensor]:
    return {f"layer{n}.weight": torch.randn(size // 4 // 40) for n in range(40)}


def echo_mailbox(url: str, folder: Path, durable: bool, trips: int) -> None:
    """The other side: receive a state dict, send it back."""
    torch.set_num_threads(1)
    box = mailbox(url, "bob", "alice", folder, durable=durable)
    for trip in range(1, trips + 1):
        payload = box.receive("alice", "ping", round=trip, timeout=60).payload
        box.acknowledged("alice", 1, trip - 1)  # who sends the next message has the last one
        box.send("alice", "ping", payload if len(payload) < SMALL else encode(decode(payload)), round=trip)


def time_mailbox(server: EmbeddedServer, size: str, durable: bool) -> float:
    """Median seconds of a round trip."""
    Connection(server.url).client.flushall()
    trips = TRIPS[size] + 3
    small = SIZES[size] < SMALL
    message = bytes(SIZES[size]) if small else state_dict(SIZES[size])
    with tempfile.TemporaryDirectory() as folder:
        process = _fork(echo_mailbox, server.url, Path(folder), durable, trips)
        box = mailbox(server.url, "alice", "bob", Path(folder), durable=durable)
        seconds = []
        for trip in range(1, trips + 1):
            started = time.perf_counter()
            box.send("bob", "ping", message if isinstance(message, bytes) else encode(message), round=trip)
            payload = box.receive("bob", "ping", round=trip, timeout=60).payload
            if not small:
                decode(payload)
            seconds.append(time.perf_counter() - started)
            box.acknowledged("bob", 1, trip)
        process.join()
        box.close()
    if files := PayloadFiles.beside(server.url, KEYS.task):
        files.remove()
    return statistics.median(seconds[3:])


def exchange(sock: socket.socket) -> np.ndarray[Any, Any]:
    """Receive one message into a buffer of its own."""
    head = sock.recv(8, socket.MSG_WAITALL)
    buffer = np.empty(struct.unpack("<Q", head)[0], dtype=np.uint8)
    view, filled = buffer.data, 0
    while filled < len(buffer):
        filled += sock.recv_into(view[filled:])
    return buffer


def echo_raw(path: str, trips: int) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        for _ in range(trips):
            message = exchange(sock)
            sock.sendall(struct.pack("<Q", len(message)))
            sock.sendall(message)


def time_raw(size: str) -> float:
    """Median seconds of a round trip of as many bytes."""
    trips = TRIPS[size] + 3
    payload = np.random.default_rng(0).bytes(SIZES[size])
    seconds = []
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        path = str(Path(folder) / "s")
        listener.bind(path)
        listener.listen()
        process = _fork(echo_raw, path, trips)
        sock, _ = listener.accept()
        with sock:
            for _ in range(trips):
                started = time.perf_counter()
                sock.sendall(struct.pack("<Q", len(payload)))
                sock.sendall(payload)
                exchange(sock)
                seconds.append(time.perf_counter() - started)
        process.join()
    return statistics.median(seconds[3:])


def echo_streams(url: str, trips: int) -> None:
    connection = Connection(url)
    for trip in range(1, trips + 1):
        connection.call(("XREAD", "BLOCK", 10_000, "STREAMS", "ping", f"{trip - 1}-0"))
        connection.call(("XADD", "pong", f"{trip}-0", "p", bytes(SIZES["5 KB"])))


def time_streams(server: EmbeddedServer) -> float:
    """Median seconds of a round trip of two bare stream commands each way: what no bus on this server can beat."""
    connection = Connection(server.url)
    connection.client.flushall()
    trips = TRIPS["5 KB"] + 3
    process = _fork(echo_streams, server.url, trips)
    seconds = []
    for trip in range(1, trips + 1):
        started = time.perf_counter()
        connection.call(("XADD", "ping", f"{trip}-0", "p", bytes(SIZES["5 KB"])))
        connection.call(("XREAD", "BLOCK", 10_000, "STREAMS", "pong", f"{trip - 1}-0"))
        seconds.append(time.perf_counter() - started)
    process.join()
    return statistics.median(seconds[3:])


def broadcast_memory(server: EmbeddedServer, receivers: int = 16, size: int = 10_000_000) -> float:
    """How much the server's memory and the files beside its socket grow, in payloads."""
    Connection(server.url).client.flushall()
    names = [f"party-{n}" for n in range(receivers)]
    if files := PayloadFiles.beside(server.url, KEYS.task):
        files.remove()
    outbox = MemoryOutbox()
    box = Mailbox(server.url, KEYS, "alice", names, incarnation=1, outbox=outbox, guard=NoGuard(), kinds=("ping",))
    before = server.memory() + files_of(server)
    box.send(names, "ping", encode(state_dict(size)), round=1)
    after = server.memory() + files_of(server)
    box.close()
    return (after - before) / size


def files_of(server: EmbeddedServer) -> int:
    """Bytes in the files beside its socket."""
    return sum(path.stat().st_size for path in (server.folder / PAYLOADS).rglob("*") if path.is_file())


def _fork(target: Any, *arguments: Any) -> Any:
    process = multiprocessing.get_context("fork").Process(target=target, args=arguments)
    process.start()
    return process


def main() -> None:
    torch.set_num_threads(1)
    rows = []
    with EmbeddedServer() as server, EmbeddedServer() as without_files:
        (without_files.folder / PAYLOADS).rmdir()
        for size in SIZES:
            medians = interleaved(
                {
                    "raw": lambda size=size: time_raw(size),  # type: ignore[misc]
                    "bus": lambda size=size: time_mailbox(server, size, False),  # type: ignore[misc]
                    "chunks": lambda size=size: time_mailbox(without_files, size, False),  # type: ignore[misc]
                    "durable": lambda size=size: time_mailbox(server, size, True),  # type: ignore[misc]
                }
            )
            raw, bus, chunks, durable = (medians[side] * 1000 for side in ("raw", "bus", "chunks", "durable"))
            goal = {"5 KB": "at most 0.35 ms", "10 MB": "at most 2.0", "100 MB": "at most 2.5"}[size]
            rows.append((f"{size} round trip", f"{bus:.3f} ms", f"{bus / raw:.2f} x raw socket ({raw:.3f} ms)", goal))
            if SIZES[size] > SMALL:
                through = f"{chunks / raw:.2f} x raw socket"
                rows.append((f"{size}, through the server", f"{chunks:.3f} ms", through, "-"))
            rows.append((f"{size}, kept on disk", f"{durable:.3f} ms", f"{durable / raw:.2f} x raw socket", "-"))
        bare = interleaved({"bare": lambda: time_streams(server)})["bare"] * 1000
        rows.append(("5 KB, bare XADD and XREAD", f"{bare:.3f} ms", "the same without the bus", "-"))
        for where, asked in (("", server), (", through the server", without_files)):
            growth = statistics.median(broadcast_memory(asked) for _ in range(3))
            rows.append((f"10 MB to 16 receivers{where}", f"{growth:.2f} x payload", "memory and files", "at most 1.5"))
    table("bus: two processes over the unix socket of the embedded server, medians of 5 interleaved repetitions", rows)


if __name__ == "__main__":
    main()
