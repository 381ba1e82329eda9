"""A round of split training over the bus against the same split model in one process, one torch thread a process.

    PLAYGROUND_DATA=… python tests/benchmarks/bench_hetero_nn.py [--samples 6000] [--repetitions 3]

The guide's demo (document 004): ConvNet halves, host and one collaborator, each image decoded once per party in the
in-process loop too. Goals: at most 0.75 of its time at batch 128, 0.9 at batch 32. With feature models that sleep 20 ms
instead of computing, a batch with three collaborators takes at most 1.15 times one with one. The ratios need a free
core a party: what else the machine does counts against the federation, which uses two cores at once. The processor time
of each process is printed too, which other work disturbs less.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn, optim
from torch.utils.data import DataLoader, Subset

from playground_ext.bus.server import EmbeddedServer
from playground_ext.hetero_nn import HeteroNNCollaboratorScheduler, HeteroNNHostScheduler

KEYS = ["host", "collaborator-1", "collaborator-2", "collaborator-3"]


class ConvNet(nn.Module):
    """Half a digit; as in document 004."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels=1, out_channels=10, kernel_size=(5, 3))
        self.conv2 = nn.Conv2d(in_channels=10, out_channels=20, kernel_size=5)
        self.conv2_drop = nn.Dropout2d()
        self.fc1 = nn.Linear(in_features=80, out_features=50)
        self.fc2 = nn.Linear(in_features=50, out_features=10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(F.max_pool2d(self.conv1(x), 2))
        x = F.relu(F.max_pool2d(self.conv2_drop(self.conv2(x)), 2))
        x = x.view(-1, 80)
        x = F.relu(self.fc1(x))
        x = F.dropout(x, training=self.training)
        return self.fc2(x)


class Sleeping(nn.Module):
    """Takes 20 ms for its forward pass, without a processor."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(4, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        time.sleep(0.02)
        return self.out(x.mean(dim=(1, 2))[:, :4])


def loader(samples: int, batch: int) -> DataLoader[Any]:
    from torchvision import transforms

    from playground_ext.data import mnist

    change = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))])
    digits = mnist(train=True, transform=change)
    return DataLoader(Subset(digits, range(min(samples, len(digits)))), batch_size=batch, shuffle=False)


def halves(key: str, x: torch.Tensor) -> torch.Tensor:
    return x[:, :, :, :14] if key == "host" else x[:, :, :, 14:]


def sgd(model: nn.Module) -> optim.Optimizer:
    return optim.SGD(model.parameters(), lr=0.01, momentum=0.5)


class _Bench:
    processor: tuple[float, ...] | list[float] = ()  # seconds of processor time a round
    sleep: bool
    samples: int
    batch: int

    def load_local_ids(self) -> list[str]:
        return [str(number) for number in range(self.samples)]

    def split_dataset(self, common: set[str]) -> tuple[set[str], set[str]]:
        return common, set()

    def build_feature_model(self) -> nn.Module:
        return Sleeping() if self.sleep else ConvNet()

    def build_feature_optimizer(self, feature_model: nn.Module) -> optim.Optimizer:
        return sgd(feature_model)

    def strips(self, key: str) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        if self.sleep:
            for _ in range(self.samples // self.batch):
                yield torch.zeros(self.batch, 5, 5, 4), torch.zeros(self.batch, dtype=torch.int64)
        else:
            for data, labels in loader(self.samples, self.batch):
                yield halves(key, data), labels


class Host(_Bench, HeteroNNHostScheduler):
    def iterate_train_feature(self, feature_model: nn.Module, train_ids: list[Any]) -> Iterator[Any]:
        began = time.process_time()
        for data, labels in self.strips(self.feature_key):
            yield feature_model(data), labels
        self.processor = [*self.processor, time.process_time() - began]

    def build_infer_model(self) -> nn.Module:
        return nn.Sequential(nn.Linear(10 * len(self.nodes), 10), nn.LogSoftmax(dim=-1))

    def build_infer_optimizer(self, infer_model: nn.Module) -> optim.Optimizer:
        return sgd(infer_model)

    def train_a_batch(self, feature_projection: dict[str, Any], labels: torch.Tensor) -> None:
        self.optimizer.zero_grad()
        out = self.infer_model(torch.concat([feature_projection[node] for node in self.nodes], dim=1))
        F.nll_loss(out, labels).backward()
        self.optimizer.step()


class Collaborator(_Bench, HeteroNNCollaboratorScheduler):
    def iterate_train_feature(self, feature_model: nn.Module, train_ids: list[Any]) -> Iterator[Any]:
        began = time.process_time()
        for data, _ in self.strips(self.feature_key):
            yield feature_model(data)
        self.processor = [*self.processor, time.process_time() - began]


def one_process(samples: int, batch: int, repetitions: int, answers: Any) -> None:
    """The in-process loop; seconds of each epoch."""
    torch.set_num_threads(1)
    features = {key: ConvNet() for key in KEYS[:2]}
    infer = nn.Sequential(nn.Linear(20, 10), nn.LogSoftmax(dim=-1))
    optimizers = [sgd(model) for model in (infer, *features.values())]
    found: list[tuple[float, float]] = []
    for _ in range(repetitions + 1):
        started, began = time.monotonic(), time.process_time()
        for (left, labels), (right, _) in zip(loader(samples, batch), loader(samples, batch), strict=True):
            for optimizer in optimizers:
                optimizer.zero_grad()
            parts = [features["host"](halves("host", left)), features["collaborator-1"](halves("other", right))]
            F.nll_loss(infer(torch.concat(parts, dim=1)), labels).backward()
            for optimizer in optimizers:
                optimizer.step()
        found.append((time.monotonic() - started, time.process_time() - began))
    answers.put(found[1:])


def play(key: str, nodes: list[str], settings: dict[str, Any], environment: dict[str, str], answers: Any) -> None:
    os.environ.update(environment)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # the parties' logs
    torch.set_num_threads(1)
    from playground_ext import mock_context

    rounds = settings["repetitions"] + 1
    scheduler: Any = Host(key, max_rounds=rounds) if key == "host" else Collaborator(key)
    scheduler.sleep, scheduler.samples, scheduler.batch = (settings[name] for name in ("sleep", "samples", "batch"))
    with mock_context(id=key, nodes=nodes, task_id="bench"):
        scheduler.run()
    timings = scheduler.timings[1:]  # the first one warms up
    middle = sorted(timings, key=lambda timing: timing.total)[len(timings) // 2]
    processor = statistics.median(scheduler.processor[1:]) * 1000 / max(1, middle.batches)
    answers.put((key, [timing.total for timing in timings], f"{middle}; processor {processor:.1f} ms a batch"))


def federation(collaborators: int, **settings: Any) -> dict[str, tuple[list[float], str]]:
    context = multiprocessing.get_context("spawn")
    nodes = KEYS[: collaborators + 1]
    with tempfile.TemporaryDirectory() as folder, EmbeddedServer() as server:
        environment = {"PLAYGROUND_REDIS_URL": server.url, "PLAYGROUND_HOME": folder, "OMP_NUM_THREADS": "1"}
        answers: Any = context.Queue()
        parties = [context.Process(target=play, args=(node, nodes, settings, environment, answers)) for node in nodes]
        for process in parties:
            process.start()
        found = [answers.get(timeout=900) for _ in nodes]
        for process in parties:
            process.join(30)
    return {key: (seconds, text) for key, seconds, text in found}


def alone(samples: int, batch: int, repetitions: int) -> list[tuple[float, float]]:
    context = multiprocessing.get_context("spawn")
    answers: Any = context.Queue()
    process = context.Process(target=one_process, args=(samples, batch, repetitions, answers))
    process.start()
    found: list[tuple[float, float]] = answers.get(timeout=900)
    process.join(30)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=6000)
    parser.add_argument("--repetitions", type=int, default=3)
    options = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
    for batch, goal in ((128, 0.75), (32, 0.9)):
        base = alone(options.samples, batch, options.repetitions)
        split = federation(1, sleep=False, samples=options.samples, batch=batch, repetitions=options.repetitions)
        base += alone(options.samples, batch, options.repetitions)
        ours, theirs = statistics.median(split["host"][0]), statistics.median(seconds for seconds, _ in base)
        batches = -(-options.samples // batch)
        print(
            f"batch {batch:<4} one process {1000 * theirs / batches:6.1f} ms a batch, federation "
            f"{1000 * ours / batches:6.1f}: {ours / theirs:.2f} x (goal {goal})"
        )
        processor = statistics.median(seconds for _, seconds in base)
        print(f"           one process: processor {1000 * processor / batches:.1f} ms a batch")
        for party, (_, text) in split.items():
            print(f"           {party}: {text}", flush=True)
    sleeping: dict[int, float] = {}
    for collaborators in (1, 3):
        found = federation(collaborators, sleep=True, samples=32 * 60, batch=32, repetitions=options.repetitions)
        sleeping[collaborators] = statistics.median(found["host"][0]) / 60
    print(
        f"sleep 20 ms: {1000 * sleeping[1]:.1f} ms a batch with one collaborator, {1000 * sleeping[3]:.1f} with three: "
        f"{sleeping[3] / sleeping[1]:.2f} x (goal 1.15)"
    )


if __name__ == "__main__":
    main()
