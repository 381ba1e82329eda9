"""Warm party kernels against plain ones, in the same run: time to a first training step, memory, bursts, whole runs.

    python tests/benchmarks/bench_kernels.py [--bursts 10] [--skip-run]

Prints one line for each promise, with the ratio. Everything runs in a runtime folder of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient

from playground_ext.kernel.listing import private_bytes, zygotes
from playground_ext.kernel.provisioner import register

STEP = """
import torch
from torch import nn
net = nn.Sequential(nn.Conv2d(1, 10, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(1440, 10))
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
nn.functional.cross_entropy(net(torch.rand(64, 1, 28, 28)), torch.randint(10, (64,))).backward()
optimizer.step()
import time
print(time.time())
"""
TRAINS = "I trained on"  # the template's first line after the first training call


class Specs(KernelSpecManager):
    """One kernelspec: forked by the provisioner, or plain."""

    warm = True

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        argv = [sys.executable, "-m", "playground_ext.kernel", "-f", "{connection_file}"]
        metadata = {"kernel_provisioner": {"provisioner_name": register(), "config": {}}} if self.warm else {}
        return KernelSpec(argv=argv, language="python", display_name="bench", metadata=metadata)


def manager(warm: bool, folder: Path) -> KernelManager:
    specs = Specs()
    specs.warm = warm
    options: dict[str, Any] = {} if warm else {"transport": "ipc", "ip": str(folder / os.urandom(6).hex())}
    return KernelManager(kernel_spec_manager=specs, kernel_name="bench", **options)


def first_step(warm: bool, folder: Path) -> tuple[float, int]:
    """Seconds from the start of a kernel to the end of its first training step, and its private memory then."""
    one, began = manager(warm, folder), time.time()
    one.start_kernel(env={**os.environ, "OMP_NUM_THREADS": "1"})
    if warm and one.provisioner.why_plain:
        raise RuntimeError(one.provisioner.why_plain)
    client = one.blocking_client()
    client.start_channels()
    client.wait_for_ready(timeout=300)
    said: list[str] = []
    client.execute_interactive(STEP, timeout=300, output_hook=lambda message: said.append(_text(message)))
    seconds, memory = float("".join(said)) - began, private_bytes(one.provisioner.pid) or 0
    client.stop_channels()
    one.shutdown_kernel(now=True)
    one.context.destroy(linger=0)
    return seconds, memory


def _text(message: dict[str, Any]) -> str:
    return str(message["content"].get("text", ""))


def at_once(count: int, warm: bool, folder: Path) -> tuple[float, float]:
    """Seconds until the slowest of `count` kernels has trained, and the mean private memory in MB."""
    with ThreadPoolExecutor(count) as pool:
        done = list(pool.map(lambda _: first_step(warm, folder), range(count)))
    return max(seconds for seconds, _ in done), sum(memory for _, memory in done) / count / 1e6


def burst(count: int) -> tuple[float, int]:
    """Seconds for `count` notebooks of three cells from this process, and how many of them failed."""

    def execute(_: int) -> bool:
        notebook = nbformat.v4.new_notebook()
        cells = ("import torch", "net = torch.nn.Linear(3, 3)", "print(net(torch.rand(2, 3)).shape)")
        notebook.cells = [nbformat.v4.new_code_cell(cell) for cell in cells]
        one = manager(True, Path("/unused"))
        client = NotebookClient(notebook, km=one, kernel_name="bench", timeout=120)
        client.execute(cleanup_kc=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        return one.provisioner is None or not getattr(one.provisioner, "why_plain", None)

    began = time.time()
    with ThreadPoolExecutor(count) as pool:
        outcomes = [pool.submit(execute, number) for number in range(count)]
        failed = sum(outcome.exception() is not None or not outcome.result() for outcome in outcomes)
    return time.time() - began, failed


def run_command(kernel: str, folder: Path) -> tuple[float, float]:
    """Seconds from the command `playground run fed_avg` to the first training call that ended, and to its exit."""
    target, began = folder / f"run-{kernel}-{time.time_ns()}", time.time()
    command = [sys.executable, "-m", "playground_ext.runner", "run", "fed_avg", "--kernel", kernel, "-o", str(target)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=folder)
    total = time.time() - began
    lines = [json.loads(line) for line in (target / "logs.jsonl").read_text().splitlines()]
    here = min((line["time"] for line in lines if "parties are here" in line["text"]), default=began)
    trained = min((line["time"] for line in lines if TRAINS in line["text"]), default=here)
    print(f"    {kernel}: all here {here - began:.2f} s, first epoch ended {trained - began:.2f} s, exit {total:.2f} s")
    return here - began, total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--bursts", type=int, default=10)
    parser.add_argument("--skip-run", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pgb", dir="/tmp") as name:
        folder = Path(name)
        os.environ |= {"PLAYGROUND_RUNTIME": str(folder / "r"), "IPYTHONDIR": str(folder / "ipython")}
        cold, _ = at_once(1, True, folder)
        print(f"first kernel, which starts the zygote: {cold:.2f} s")
        for count, promise in ((1, 10), (8, 15)):
            warm, memory = at_once(count, True, folder)
            plain, plain_memory = at_once(count, False, folder)
            print(
                f"{count} kernels to a first step: {warm:.2f} s, plain {plain:.2f} s: {plain / warm:.1f} x ({promise})"
            )
            print(f"    private memory each: {memory:.0f} MB (<= 50), plain {plain_memory:.0f} MB")
        bursts = [burst(32) for _ in range(options.bursts)]
        failed, slowest = sum(failed for _, failed in bursts), max((seconds for seconds, _ in bursts), default=0.0)
        print(f"bursts of 32 notebooks: {len(bursts)}, slowest {slowest:.2f} s (< 6), failed starts {failed} (0)")
        if not options.skip_run:
            run_command("warm", folder)  # its environment may need another zygote
            ready, warm = run_command("warm", folder)
            _, plain = run_command("plain", folder)
            print(f"playground run fed_avg: all here after {ready:.2f} s (first training call < 2.5)")
            print(f"    to its exit {warm:.2f} s, plain {plain:.2f} s: {plain / warm:.1f} x (>= 2)")
        for view in zygotes():
            if view.status is not None:
                os.kill(view.status.pid, 9)


if __name__ == "__main__":
    main()
