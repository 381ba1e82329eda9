"""Private set intersection between two processes over an embedded server: wall time, bytes and memory.

    python tests/benchmarks/bench_psi.py [--ids 100000] [--protocol ecdh|rsa] [--million]

Goals (2 cores, both parties on this machine): ECDH 100,000 ids a side in 20 s and 1,000,000 in 200 s with flat memory,
RSA-2048 70,000 in 60 s.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import tempfile
import threading
import time
from typing import Any

from playground_ext.bus.server import EmbeddedServer

NODES = ["initiator", "collaborator-1"]


def play(protocol: str, party: str, count: int, environment: dict[str, str], answers: Any) -> None:
    os.environ.update(environment)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # the parties' logs
    from playground_ext import mock_context
    from playground_ext.psi import scheduler as psi

    side = "Initiator" if party == NODES[0] else "Collaborator"
    start = NODES.index(party) * count // 2  # half of the ids are common
    scheduler = getattr(psi, f"{protocol.upper()}PSI{side}Scheduler")(
        [f"person-{number:09d}" for number in range(start, start + count)], calculation_timeout=600
    )
    import playground_ext.hetero_nn  # noqa: F401  # torch and the like, which a run imports, do not count

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    computed = time.process_time()
    with mock_context(id=party, nodes=NODES, task_id="bench"):
        scheduler.run()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcome = scheduler.outcome
    assert outcome is not None
    assert len(scheduler.intersection or ()) == count - count // 2
    answers.put((party, outcome.seconds, outcome.sent, before / 1024, peak / 1024, time.process_time() - computed))


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
    memory = ", ".join(f"{party} {found[party][2]:.0f} -> {found[party][3]:.0f} MB" for party in NODES)
    print(
        f"{protocol:<5} {count:>9,} ids a side  {seconds:7.1f} s ({computed:.1f} s of processor)  "
        f"{sent / count:6.1f} bytes an id  server at most {highest[0] / 1e6:.0f} MB  {memory}",
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
