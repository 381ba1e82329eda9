"""Private set intersection between two processes over an embedded server: wall time, bytes and memory.

    python tests/benchmarks/bench_psi.py [--ids 100000] [--protocol ecdh|rsa] [--million]

Goals (2 cores, both parties on this machine): ECDH 100,000 ids a side in 20 s and 1,000,000 in 200 s, RSA-2048 70,000
in 60 s, and flat memory. Flat means that a party's resident set grows by at most what the package's docstring says:
32 bytes an id (GOAL_BYTES) beside 16 MB (FIXED) that do not depend on the number of ids. Counted is the highest
resident set of the run above that before it, when the ids are there and a small intersection has imported everything;
the list of common ids, 8 bytes each, is the user's and taken off.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import multiprocessing
import os
import re
import resource
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from playground_ext.bus.server import EmbeddedServer

NODES = ["initiator", "collaborator-1"]
GOAL_BYTES = 32  # an id
FIXED = 16 << 20  # bytes
WARM_UP = 2_000  # ids


def resident(*, highest: bool = False) -> int:
    """Bytes of this process in memory, now or at most since `forget_highest`."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except FileNotFoundError:  # not Linux: the highest since the start is all there is
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    match = re.search(r"VmHWM:\s+(\d+) kB" if highest else r"VmRSS:\s+(\d+) kB", status)
    assert match is not None
    return int(match[1]) << 10


def forget_highest() -> None:
    with contextlib.suppress(FileNotFoundError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def play(protocol: str, party: str, count: int, environment: dict[str, str], answers: Any) -> None:
    os.environ.update(environment)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # the parties' logs
    from playground_ext import mock_context
    from playground_ext.psi import scheduler as psi

    side = "Initiator" if party == NODES[0] else "Collaborator"
    kind = getattr(psi, f"{protocol.upper()}PSI{side}Scheduler")

    def intersect(ids: list[str], task: str) -> Any:
        scheduler = kind(ids, calculation_timeout=600)
        with mock_context(id=party, nodes=NODES, task_id=task):
            scheduler.run()
        return scheduler

    intersect([f"person-{number}" for number in range(WARM_UP)], "warm-up")
    start = NODES.index(party) * count // 2  # half of the ids are common
    ids = [f"person-{number:09d}" for number in range(start, start + count)]
    gc.collect()
    before = resident()
    forget_highest()
    computed = time.process_time()
    scheduler = intersect(ids, "bench")
    computed = time.process_time() - computed
    grown = resident(highest=True) - before
    outcome = scheduler.outcome
    assert outcome is not None
    assert len(scheduler.intersection or ()) == count - count // 2
    grown -= 8 * len(scheduler.intersection)
    answers.put((party, outcome.seconds, outcome.sent, before, grown, computed))


def measure(protocol: str, count: int) -> None:
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder, EmbeddedServer() as server:
        environment = {"PLAYGROUND_REDIS_URL": server.url, "PLAYGROUND_HOME": folder, "OMP_NUM_THREADS": "1"}
        answers: Any = context.Queue()
        parties = [context.Process(target=play, args=(protocol, party, count, environment, answers)) for party in NODES]
        highest, stopped = [0], threading.Event()

        def watch() -> None:
            while not stopped.wait(0.2):
                highest[0] = max(highest[0], server.memory())

        watcher = threading.Thread(target=watch)
        watcher.start()
        for process in parties:
            process.start()
        found = dict((answer[0], answer[1:]) for answer in (answers.get(timeout=900) for _ in parties))
        for process in parties:
            process.join(30)
        stopped.set()
        watcher.join()
    seconds = max(found[party][0] for party in NODES)
    sent = sum(found[party][1] for party in NODES)
    computed = sum(found[party][4] for party in NODES)
    print(
        f"{protocol:<5} {count:>9,} ids a side  {seconds:7.1f} s ({computed:.1f} s of processor)  "
        f"{sent / count:6.1f} bytes an id  server at most {highest[0] / 1e6:.0f} MB",
        flush=True,
    )
    for party in NODES:
        before, grown = found[party][2:4]
        allowed = FIXED + GOAL_BYTES * count
        print(
            f"      {party}: {before / 1e6:.0f} MB before, grew by {grown / 1e6:.1f} MB, "
            f"{grown / count:.1f} bytes an id, {max(0, grown - FIXED) / count:.1f} without the fixed part: "
            f"{grown / allowed:.2f} of what is allowed ({allowed / 1e6:.0f} MB)",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--protocol", choices=["ecdh", "rsa"])
    parser.add_argument("--ids", type=int)
    parser.add_argument("--million", action="store_true", help="also 1,000,000 ids by ECDH")
    options = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    if options.ids:
        measure(options.protocol or "ecdh", options.ids)
        return
    measure("ecdh", 100_000)
    measure("rsa", 70_000)
    if options.million:
        measure("ecdh", 1_000_000)


if __name__ == "__main__":
    main()
