"""FedAvg against the same training without federation: time of a round, fixed cost of a round, start, memory.

    PLAYGROUND_DATA=… python tests/benchmarks/bench_fed_avg.py [--repetitions 5] [--skip start]

One aggregator and two collaborators, one torch thread each, MNIST (the full set if it is found). The baseline trains
the same two epochs concurrently in two processes, then runs the same test in a third, without any of our code.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
import torch
from measure import table
from torch import nn, optim
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from playground_ext import mock_context
from playground_ext.bus.server import EmbeddedServer
from playground_ext.data import mnist, split_iid
from playground_ext.fed_avg import FedAvgScheduler

NODES = ["aggregator", "collaborator-1", "collaborator-2"]
ROUNDS = 3
SLEEP = 0.1  # seconds that stand for training when only the fixed cost counts
SLEEP_ROUNDS = 40

spawn = multiprocessing.get_context("spawn")


class ConvNet(nn.Module):
    """The network of the template."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 10, 5), nn.Conv2d(10, 20, 5)
        self.fc1, self.fc2 = nn.Linear(320, 50), nn.Linear(50, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(F.max_pool2d(self.conv1(x), 2))
        x = F.relu(F.max_pool2d(self.conv2(x), 2))
        return F.log_softmax(self.fc2(F.relu(self.fc1(x.flatten(1)))), dim=-1)


def tensors(train: bool, part: int | None) -> TensorDataset:
    data = mnist(train)
    images, labels = data.data, data.targets
    if part is not None:
        chosen = split_iid(len(labels), 2, seed=0)[part]
        images, labels = images[chosen], labels[chosen]
    return TensorDataset(images.unsqueeze(1) / 255, labels)


def epoch(model: nn.Module, optimizer: optim.Optimizer, loader: DataLoader[Any]) -> None:
    model.train()
    for images, labels in loader:
        optimizer.zero_grad()
        F.nll_loss(model(images), labels).backward()
        optimizer.step()


@torch.no_grad()
def test(model: nn.Module, loader: DataLoader[Any]) -> dict[str, float]:
    model.eval()
    right = sum(int((model(images).argmax(1) == labels).sum()) for images, labels in loader)
    return {"accuracy": right / len(loader.dataset)}  # type: ignore[arg-type]


class Federated(FedAvgScheduler):
    def build_model(self) -> nn.Module:
        return ConvNet()

    def build_optimizer(self, model: nn.Module) -> optim.Optimizer:
        return optim.SGD(model.parameters(), lr=0.05)

    def build_train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(tensors(True, self.collaborators.index(self.id)), batch_size=64, shuffle=True)

    def build_test_dataloader(self) -> DataLoader[Any]:
        return DataLoader(tensors(False, None), batch_size=500)

    def train_an_epoch(self) -> None:
        epoch(self.model, self.optimizer, self.train_loader)

    def run_test(self) -> dict[str, float]:
        return test(self.model, self.test_loader)


class Sleeping(Federated):
    def build_train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(TensorDataset(torch.zeros(1, 1)))

    def build_test_dataloader(self) -> DataLoader[Any]:
        return self.build_train_dataloader()

    def train_an_epoch(self) -> None:
        time.sleep(SLEEP)

    def run_test(self) -> None:
        return None


def federated_party(me: str, url: str, home: str, sleeping: bool, answers: Any) -> None:
    torch.set_num_threads(1)
    os.environ |= {"PLAYGROUND_REDIS_URL": url, "PLAYGROUND_HOME": home}
    rounds = SLEEP_ROUNDS if sleeping else ROUNDS
    scheduler = (Sleeping if sleeping else Federated)(max_rounds=rounds, log_rounds=1, calculation_timeout=600)
    with mock_context(id=me, nodes=NODES, task_id="bench"):
        result = scheduler.run()
    if me == "aggregator":
        answers.put([report.seconds for report in result.round_reports])


def plain_party(part: int | None, barrier: Any, answers: Any) -> None:
    torch.set_num_threads(1)
    model = ConvNet()
    optimizer = optim.SGD(model.parameters(), lr=0.05)
    loader = DataLoader(
        tensors(part is not None, part), batch_size=500 if part is None else 64, shuffle=part is not None
    )
    seconds = []
    for _ in range(ROUNDS):
        barrier.wait()
        started = time.monotonic()
        if part is not None:
            epoch(model, optimizer, loader)
        barrier.wait()
        if part is None:
            test(model, loader)
            seconds.append(time.monotonic() - started)
    if part is None:
        answers.put(seconds)


def rounds_of(
    targets: list[tuple[Callable[..., None], tuple[Any, ...]]],
    answers: Any,
    memory: list[float],
    *,
    trainers: int,
    others: Sequence[int] = (),
) -> list[float]:
    """Seconds of each round; `memory` gets what the first `trainers` processes and `others` take while they train."""
    processes = [spawn.Process(target=target, args=arguments) for target, arguments in targets]
    for process in processes:
        process.start()
    samples: list[float] = []
    while any(process.is_alive() for process in processes):
        for process in processes:
            process.join(0.2)
        samples += together([process.pid or 0 for process in processes[:trainers]] + [*others])
    memory.append(statistics.median(samples))
    return list(answers.get(timeout=10))


def together(pids: Sequence[int]) -> list[float]:
    """MB of these processes: what each has for itself, and once what they share, which is torch's libraries.

    Not their PSS: this process and the one that only tests have the same libraries, and would take a share of them.
    """
    try:
        each = [psutil.Process(pid).memory_full_info() for pid in pids]
    except psutil.Error:  # one has ended
        return []
    return [(sum(one.uss for one in each) + max(one.rss - one.uss for one in each)) / 1e6]


def federated(sleeping: bool, memory: list[float]) -> list[float]:
    answers = spawn.Queue()
    with EmbeddedServer() as server, tempfile.TemporaryDirectory() as home:
        parties = [(federated_party, (node, server.url, home, sleeping, answers)) for node in NODES]
        return rounds_of(parties, answers, memory, trainers=3, others=[server.pid])


def plain(memory: list[float]) -> list[float]:
    answers, barrier = spawn.Queue(), spawn.Barrier(3)
    sides = [(plain_party, (part, barrier, answers)) for part in (0, 1, None)]
    return rounds_of(sides, answers, memory, trainers=2)


def start_seconds() -> float:
    """From the command to the first training call, with plain kernels."""
    with tempfile.TemporaryDirectory() as folder:
        cli = [sys.executable, "-m", "playground_ext.runner"]
        subprocess.run([*cli, "new", "fed_avg", "task"], cwd=folder, check=True, capture_output=True)
        notebook = Path(folder) / "task" / "collaborator.ipynb"
        content = json.loads(notebook.read_text())
        for cell in content["cells"]:
            source = re.sub(
                r"(    def train_an_epoch\(self\)[^\n]*\n)",
                r'\1        print("called at", __import__("time").time())\n',
                "".join(cell["source"]),
            )
            cell["source"] = source
        notebook.write_text(json.dumps(content))
        started = time.time()
        command = [*cli, "run", "./task", "-p", "max_rounds=1", "--kernel", "plain", "--output", f"{folder}/run"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        calls = re.findall(r"called at ([0-9.]+)", (Path(folder) / "run" / "logs.jsonl").read_text())
    return float(min(calls)) - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--skip", choices=["start", "rounds", "sleep"], action="append", default=[])
    options = parser.parse_args()
    rows = []
    if "rounds" not in options.skip:
        ours: list[list[float]] = []
        theirs: list[list[float]] = []
        our_memory: list[float] = []
        their_memory: list[float] = []
        for _ in range(options.repetitions):
            theirs.append(plain(their_memory))
            ours.append(federated(False, our_memory))
        for name, pick in (("first round", lambda s: s[0]), ("later rounds", lambda s: statistics.median(s[1:]))):
            mine, base = (statistics.median(pick(seconds) for seconds in side) for side in (ours, theirs))
            rows.append(
                (name, f"{mine:.2f} s", f"{mine / base:.3f} x plain epochs and test ({base:.2f} s)", "at most 1.02")
            )
        mine, base = statistics.median(our_memory), statistics.median(their_memory)
        rows.append(("memory", f"{mine:.0f} MB", f"{mine / base:.2f} x plain ({base:.0f} MB)", "at most 1.5"))
    if "sleep" not in options.skip:
        seconds = [statistics.median(federated(True, [])) for _ in range(options.repetitions)]
        rows.append(
            ("training replaced by 0.1 s", f"{statistics.median(seconds):.4f} s a round", "-", "at most 0.12 s")
        )
    if "start" not in options.skip:
        start = statistics.median(start_seconds() for _ in range(options.repetitions))
        rows.append(("command to first training", f"{start:.1f} s", "plain kernels", "at most 10 s"))
    table(f"FedAvg, 1 + 2 parties, medians of {options.repetitions} interleaved repetitions", rows)


if __name__ == "__main__":
    main()
