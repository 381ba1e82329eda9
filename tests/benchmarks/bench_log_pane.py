"""What the log pane costs: three kernels say 10,000 lines a second each, and every notebook shows them all.

The same paced loop (NumPy work, 100 lines, wait for the next step) runs in all kernels at once, logging either to a
file (`logging.FileHandler`) or through a `LogSession` with its pane. Compared is the time that the steps take, without
the waiting. Interleaved repetitions, medians over repetitions of the mean over kernels.

    python tests/benchmarks/bench_log_pane.py [--seconds 4] [--repetitions 5]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager

from playground_ext.bus.server import EmbeddedServer

NODES = ["aggregator", "collaborator-1", "collaborator-2"]
RATE = 10_000  # lines a second and party
PERIOD = 0.01  # seconds a step
TARGET = 1.05

SETUP = """
import json, logging, os, time
from pathlib import Path
import numpy as np
from playground_ext.bus.connection import Connection
from playground_ext.bus.keys import RunKeys
from playground_ext.logs import LogSession, logger

party, nodes, url, folder = {party!r}, {nodes!r}, {url!r}, Path({folder!r})
matrix = np.random.default_rng(0).random((160, 160))
values = np.random.default_rng(1).random(60_000)

def meet(name):
    with Connection(url) as connection:
        for node in nodes:
            connection.client.rpush(name + node, party)
        for _ in nodes:
            connection.client.blpop(name + party, timeout=10)

def loop(log, seconds):
    lines = int({rate} * {period})
    busy, start = 0.0, time.perf_counter()
    cpu, own = time.process_time(), time.thread_time()
    for step in range(int(seconds / {period})):
        began = time.perf_counter()
        for _ in range(4):
            matrix @ matrix
            np.tanh(values)
        for line in range(lines):
            log("step %d line %d loss %.4f", step, line, 0.25)
        ended = time.perf_counter()
        busy += ended - began
        wait = start + (step + 1) * {period} - ended
        if wait > 0:
            time.sleep(wait)
    return dict(
        busy=busy, wall=time.perf_counter() - start, cpu=time.process_time() - cpu, own=time.thread_time() - own
    )

def to_file(name, seconds):
    plain = logging.getLogger("bench-file")
    plain.setLevel("INFO")
    plain.propagate = False
    handler = logging.FileHandler(folder / f"{{party}}.log")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    plain.addHandler(handler)
    meet(name)
    result = loop(plain.info, seconds)
    plain.removeHandler(handler)
    handler.close()
    return result

def to_pane(name, seconds):
    session = LogSession(party, folder / party / f"{{name}}.jsonl")
    session.start()
    session.publish(url, RunKeys("bench", name), nodes)
    session.round = 1
    meet(name)
    result = loop(logger.info, seconds)
    last = session.drain()
    with Connection(url) as connection:
        connection.client.hset(name + "-last", party, last)
    meet(name + "-end")
    with Connection(url) as connection:
        everyone = {{key.decode(): int(value) for key, value in connection.client.hgetall(name + "-last").items()}}
    result["lines"] = last
    result["missing"] = session.wait_for(everyone, 10.0)
    session.stop()
    return result
"""


class Kernel:
    """One party's kernel, driven without a notebook."""

    def __init__(self, folder: Path, party: str) -> None:
        self.party = party
        self._manager = AsyncKernelManager(transport="ipc", ip=str(folder / f"k-{party}"))
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--HistoryManager.enabled=False"]
        self._manager._kernel_spec = KernelSpec(argv=argv, display_name="bench", language="python")
        self._client: Any = None

    async def start(self) -> None:
        await self._manager.start_kernel()
        self._client = self._manager.client()
        self._client.start_channels()
        await self._client.wait_for_ready(timeout=60)

    async def run(self, code: str) -> str:
        """Run a cell like papermill, return what it printed; panes are drawn but not kept."""
        printed: list[str] = []

        def output(message: dict[str, Any]) -> None:
            if message["msg_type"] == "stream" and message["content"]["name"] == "stdout":
                printed.append(message["content"]["text"])

        reply = await self._client.execute_interactive(code, allow_stdin=False, output_hook=output, timeout=120)
        if reply["content"]["status"] != "ok":
            raise RuntimeError("\n".join(reply["content"]["traceback"]))
        return "".join(printed)

    async def stop(self) -> None:
        self._client.stop_channels()
        await self._manager.shutdown_kernel(now=True)


async def measure(seconds: float, repetitions: int) -> list[tuple[str, str, float, float, float]]:
    """Rows: what, measure, file, pane, ratio."""
    runs: dict[str, list[dict[str, float]]] = {"file": [], "pane": []}
    with tempfile.TemporaryDirectory(prefix="pg-") as name, EmbeddedServer() as server:
        folder = Path(name)
        kernels = [Kernel(folder, party) for party in NODES]
        try:
            await asyncio.gather(*(kernel.start() for kernel in kernels))
            values = {"nodes": NODES, "url": server.url, "folder": name, "rate": RATE, "period": PERIOD}
            await asyncio.gather(*(kernel.run(SETUP.format(party=kernel.party, **values)) for kernel in kernels))
            for repetition in range(-1, repetitions):  # the first one warms up
                for kind in ("file", "pane") if repetition % 2 else ("pane", "file"):
                    code = f"print(json.dumps(to_{kind}('{kind}{repetition}', {seconds if repetition >= 0 else 0.5})))"
                    printed = await asyncio.gather(*(kernel.run(code) for kernel in kernels))
                    results = [json.loads(text.strip().splitlines()[-1]) for text in printed]
                    if kind == "pane" and any(result["missing"] for result in results):
                        raise RuntimeError(f"lines are missing: {results}")
                    if repetition >= 0:
                        means = {
                            key: statistics.mean(r[key] for r in results) for key in ("busy", "wall", "cpu", "own")
                        }
                        runs[kind].append(means)
        finally:
            await asyncio.gather(*(kernel.stop() for kernel in kernels))
    rows = []
    for key, what in (
        ("busy", "steps, wall s"),
        ("own", "steps, CPU s of the main thread"),
        ("cpu", "kernel, CPU s of all threads"),
        ("wall", "loop with waiting, wall s"),
    ):
        file, pane = (statistics.median(run[key] for run in runs[kind]) for kind in ("file", "pane"))
        rows.append((what, key, file, pane, pane / file))
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--repetitions", type=int, default=5)
    arguments = parser.parse_args()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, (str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH")))
    )
    rows = asyncio.run(measure(arguments.seconds, arguments.repetitions))
    print(f"{len(NODES)} kernels, {RATE} lines/s each, {arguments.repetitions} repetitions of {arguments.seconds:g} s")
    print(f"{'':34}{'file':>9}{'pane':>9}{'ratio':>8}")
    for what, _, file, pane, ratio in rows:
        print(f"{what:34}{file:9.3f}{pane:9.3f}{ratio:8.3f}")
    ratio = rows[0][-1]
    print(f"target <= {TARGET}: {'met' if ratio <= TARGET else 'MISSED'} ({ratio:.3f})")
    return 0 if ratio <= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
