"""How long an intersection takes when each party is a process of its own: `python bench_psi_primitives.py [--help]`.

The processes talk through a pipe, so this is the time of the arithmetic and not of the bus. Half of the ids are common,
and the result is compared with what it must be. Targets on 2 cores, wall: ECDH 100,000 ids a side 20 s, RSA-2048 70,000
ids 60 s, ECDH 1,000,000 ids 200 s with memory that does not grow with the messages.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import queue
import resource
import tempfile
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

from playground_ext.psi import ecdh, rsa
from playground_ext.psi.buckets import Buckets
from playground_ext.psi.hashing import Domain
from playground_ext.psi.ids import IdSet, normalise
from playground_ext.psi.matching import shuffled

DOMAIN = Domain("benchmark", bytes(32), bytes(32))  # a measurement; real attempts take fresh nonces


class Peer:
    """The other process. A thread empties the pipe, so that two parties that both send never block each other."""

    def __init__(self, pipe: Connection) -> None:
        self.pipe = pipe
        self.sent = 0
        self.inbox: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        try:
            while True:
                self.inbox.put(self.pipe.recv_bytes())
        except (EOFError, OSError):
            return

    def send(self, message: bytes) -> None:
        self.sent += len(message)
        self.pipe.send_bytes(message)

    def receive(self) -> bytes:
        return self.inbox.get(timeout=600)

    def blocks(self, count: int, width: int) -> Iterator[bytes]:
        while count:
            message = self.receive()
            count -= len(message) // width
            yield message


def compared(count: int, width: int) -> Buckets:
    return Buckets(Path(tempfile.gettempdir()), width=width, mine_count=count, theirs_count=count)


def ecdh_initiator(peer: Peer, ids: IdSet, threads: int) -> int:
    own, secret, count = shuffled(ids), ecdh.Secret.fresh(), len(ids)
    for block in ecdh.blind_blocks(own, secret, DOMAIN, threads=threads):
        peer.send(block)
    with compared(count, ecdh.POINT_BYTES) as buckets:
        for block in ecdh.reblind_blocks(peer.blocks(count, 32), secret, count=count, threads=threads):
            buckets.add_theirs(block)
        for block in peer.blocks(count, 32):
            buckets.add_mine(block)
        return sum(map(len, buckets.matches()))


def ecdh_collaborator(peer: Peer, ids: IdSet, threads: int) -> None:
    own, secret, count = shuffled(ids), ecdh.Secret.fresh(), len(ids)
    for block in ecdh.blind_blocks(own, secret, DOMAIN, threads=threads):
        peer.send(block)
    for block in ecdh.reblind_blocks(peer.blocks(count, 32), secret, count=count, threads=threads):
        peer.send(block)


def rsa_initiator(peer: Peer, ids: IdSet, threads: int) -> int:
    own, count = shuffled(ids), len(ids)
    key = rsa.PublicKey.from_bytes(peer.receive())
    waiting = []
    for block in own.blocks():
        message, blinding = rsa.blind(block, key, DOMAIN, threads=threads)
        waiting.append(blinding)
        peer.send(message)
    # The collaborator signs first, so that these signatures are checked while it tags its own ids.
    with compared(count, rsa.TAG_BYTES) as buckets:
        for blinding in waiting:
            buckets.add_mine(rsa.unblind(peer.receive(), blinding, key, DOMAIN, threads=threads))
        for block in peer.blocks(count, rsa.TAG_BYTES):
            buckets.add_theirs(block)
        return sum(map(len, buckets.matches()))


def rsa_collaborator(peer: Peer, ids: IdSet, threads: int) -> None:
    own, count, key = shuffled(ids), len(ids), rsa.SigningKey.generate(2048)
    peer.send(key.public.to_bytes())
    for block in rsa.sign_blocks(peer.blocks(count, key.public.width), key, count=count, threads=threads):
        peer.send(block)
    for block in rsa.tag_blocks(own, key, DOMAIN, threads=threads):
        peer.send(block)


ROLES = {"ecdh": (ecdh_initiator, ecdh_collaborator), "rsa": (rsa_initiator, rsa_collaborator)}


def party(protocol: str, role: int, count: int, threads: int, pipe: Connection, results: Connection) -> None:
    """One process: makes its ids, waits for the other, runs its half, reports."""
    first = 0 if role == 0 else count // 2
    ids = normalise(f"person-{i}" for i in range(first, first + count))
    peer = Peer(pipe)
    peer.send(b"ready")
    peer.receive()
    memory, started, cpu = _megabytes(), time.perf_counter(), time.process_time()
    found = ROLES[protocol][role](peer, ids, threads)
    wall, cpu = time.perf_counter() - started, time.process_time() - cpu
    if role == 0 and found != count - count // 2:
        raise SystemExit(f"{found} ids were found common instead of {count - count // 2}")
    results.send((wall, cpu, peer.sent / 1e6, memory, _megabytes()))
    peer.send(b"done")
    while peer.receive() != b"done":
        pass


def measure(protocol: str, count: int, threads: int) -> None:
    """Run both parties and print a line for each."""
    spawn = multiprocessing.get_context("spawn")
    pipes, results = spawn.Pipe(), [spawn.Pipe(duplex=False) for _ in range(2)]
    processes = [
        spawn.Process(target=party, args=(protocol, role, count, threads, pipes[role], results[role][1]))
        for role in range(2)
    ]
    for process in processes:
        process.start()
    for _, writer in results:
        writer.close()
    reports = [reader.recv() for reader, _ in results]
    for process in processes:
        process.join(timeout=60)
    print(f"{protocol} {count:,} ids a side, {threads} threads a party, {os.cpu_count()} cores")
    wall, load = max(report[0] for report in reports), os.getloadavg()[0]
    print(f"  both parties: {wall:.1f} s wall; load of the machine at the end {load:.1f}", flush=True)
    for name, (_, cpu, sent, before, peak) in zip(("initiator", "collaborator"), reports, strict=True):
        print(f"  {name}: {cpu:.1f} s CPU, {sent:.1f} MB sent, memory {before:.0f} MB before, {peak:.0f} MB at most")


def _megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "runs", nargs="*", default=["ecdh:100000", "rsa:70000"], help="protocol:ids (default: %(default)s)"
    )
    parser.add_argument("--threads", type=int, default=2, help="threads of each party (default: %(default)s)")
    options = parser.parse_args()
    for each in options.runs:
        name, ids = each.split(":")
        measure(name, int(ids), options.threads)
