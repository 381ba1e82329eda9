"""A round of split training over the bus against the same split model in one process, one torch thread a process.

    python tests/benchmarks/bench_hetero_nn.py                             # 6,000 + 1,000 samples, 5 repetitions
    PLAYGROUND_DATA=… python tests/benchmarks/bench_hetero_nn.py --full    # 60,000 + 10,000 samples, 3 repetitions

The guide's demo (document 004): ConvNet halves, host and one collaborator, each image decoded once per party in the
in-process loop too. Goals: at most 0.75 of its time at batch 128, 0.9 at batch 32. One federation trains rounds of both
batch sizes in turn, and between its rounds the in-process loop trains the same epoch, so that a machine that drifts
treats both alike; medians are compared. The last round ends with the test set, at both. With feature models that sleep
20 ms instead of computing, a batch with three collaborators takes at most 1.15 times one with one.

The ratios need a free core a party: what else the machine does counts against the federation, which uses two cores at
once. The processor time of each process is printed too, which other work disturbs less.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any

import torch
import torch.nn.functional as F
from measure import table
from torch import nn, optim
from torch.utils.data import DataLoader, Dataset, Subset

from playground_ext.bus.server import EmbeddedServer
from playground_ext.hetero_nn import HeteroNNCollaboratorScheduler, HeteroNNHostScheduler

GOALS = {128: 0.75, 32: 0.9}  # batch size: of the time of one process
WARM_UP = 1_024  # samples of the first round of each batch size, which is not counted
SLEEPING_BATCHES = 60
PARTS = ("computing", "serialising", "transferring", "waiting")
_spawn = multiprocessing.get_context("spawn")
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


@dataclass(frozen=True)
class Plan:
    """What the parties and the in-process loop do; round 1 is the first."""

    samples: int
    tests: int
    rounds: int
    batches: tuple[int, ...]  # the rounds' batch sizes, in turn
    sleep: bool = False

    def batch(self, round: int) -> int:
        return self.batches[(round - 1) % len(self.batches)]

    def taken(self, round: int) -> int:
        return min(self.samples, WARM_UP) if round <= len(self.batches) else self.samples


class Digits:
    """MNIST as the guide loads it, opened once."""

    def __init__(self) -> None:
        from torchvision import transforms

        from playground_ext.data import mnist

        change = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))])
        self.sets: dict[bool, Dataset[Any]] = {train: mnist(train=train, transform=change) for train in (True, False)}

    def loader(self, samples: int, batch: int, *, train: bool = True) -> DataLoader[Any]:
        return DataLoader(Subset(self.sets[train], range(samples)), batch_size=batch, shuffle=False)


def halves(key: str, x: torch.Tensor) -> torch.Tensor:  # (batch, 1, 28, 14)
    return x[:, :, :, :14] if key == "host" else x[:, :, :, 14:]


def sgd(model: nn.Module) -> optim.Optimizer:
    return optim.SGD(model.parameters(), lr=0.01, momentum=0.5)


def infer_model(parties: int) -> nn.Module:
    return nn.Sequential(nn.Linear(10 * parties, 10), nn.LogSoftmax(dim=-1))


# -- the federation -----------------------------------------------------------------------------------------------


class _Bench:
    plan: Plan
    digits: Digits | None
    current_round: int

    def load_local_ids(self) -> list[str]:
        return [f"train-{number}" for number in range(self.plan.samples)] + [
            f"test-{number}" for number in range(self.plan.tests)
        ]

    def split_dataset(self, common: set[str]) -> tuple[set[str], set[str]]:
        train = {name for name in common if name.startswith("train")}
        return train, common - train

    def build_feature_model(self) -> nn.Module:
        self.processor: list[float] = []  # seconds of processor time a round
        return Sleeping() if self.plan.sleep else ConvNet()

    def build_feature_optimizer(self, feature_model: nn.Module) -> optim.Optimizer:
        return sgd(feature_model)

    def strips(self, key: str, *, train: bool) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        batch = self.plan.batch(self.current_round)
        if self.digits is None:
            for _ in range(SLEEPING_BATCHES):
                yield torch.zeros(batch, 5, 5, 4), torch.zeros(batch, dtype=torch.int64)
            return
        samples = self.plan.taken(self.current_round) if train else self.plan.tests
        began = time.process_time()
        for data, labels in self.digits.loader(samples, batch, train=train):
            yield halves(key, data), labels
        if train:
            self.processor.append(time.process_time() - began)


class Host(_Bench, HeteroNNHostScheduler):
    between_rounds: Callable[[int], None]
    testing = accuracy = 0.0  # seconds, share

    def iterate_train_feature(self, feature_model: nn.Module, train_ids: list[Any]) -> Iterator[Any]:
        for data, labels in self.strips(self.feature_key, train=True):
            yield feature_model(data), labels

    def iterate_test_feature(self, feature_model: nn.Module, test_ids: list[Any]) -> Iterator[Any]:
        self.testing = time.monotonic()
        for data, labels in self.strips(self.feature_key, train=False):
            yield feature_model(data), labels

    def build_infer_model(self) -> nn.Module:
        return infer_model(len(self.nodes))

    def build_infer_optimizer(self, infer_model: nn.Module) -> optim.Optimizer:
        return sgd(infer_model)

    def joined(self, projection: dict[str, Any]) -> torch.Tensor:
        return self.infer_model(torch.concat([projection[node] for node in self.nodes], dim=1))

    def train_a_batch(self, feature_projection: dict[str, Any], labels: torch.Tensor) -> None:
        self.optimizer.zero_grad()
        F.nll_loss(self.joined(feature_projection), labels).backward()
        self.optimizer.step()

    def run_test(self, batched_feature_projections: list[Any], batched_labels: list[Any]) -> None:
        pairs = zip(batched_feature_projections, batched_labels, strict=True)
        right = sum(int((self.joined(one).argmax(1) == labels).sum()) for one, labels in pairs)
        self.accuracy = right / sum(map(len, batched_labels))
        self.testing = time.monotonic() - self.testing

    def is_task_finished(self) -> bool:
        self.between_rounds(self.current_round)
        return super().is_task_finished()


class Collaborator(_Bench, HeteroNNCollaboratorScheduler):
    def iterate_train_feature(self, feature_model: nn.Module, train_ids: list[Any]) -> Iterator[Any]:
        for data, _ in self.strips(self.feature_key, train=True):
            yield feature_model(data)

    def iterate_test_feature(self, feature_model: nn.Module, test_ids: list[Any]) -> Iterator[Any]:
        for data, _ in self.strips(self.feature_key, train=False):
            yield feature_model(data)


def play(key: str, nodes: list[str], plan: Plan, environment: dict[str, str], go: Any, over: Any, answers: Any) -> None:
    """One party; the host tells `over` each round's number, and goes on when it hears `go`."""
    os.environ.update(environment)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # the parties' logs
    torch.set_num_threads(1)
    from playground_ext import mock_context

    def between_rounds(round: int) -> None:
        over.send(round)
        go.get()

    options: dict[str, Any] = {"calculation_timeout": 0}
    if key == "host":
        options |= {"max_rounds": plan.rounds, "log_rounds": plan.rounds if plan.tests else 0}
    scheduler: Any = (Host if key == "host" else Collaborator)(key, **options)
    scheduler.plan, scheduler.digits = plan, None if plan.sleep else Digits()
    if key == "host":
        scheduler.between_rounds = between_rounds
    with mock_context(id=key, nodes=nodes, task_id="bench"):
        scheduler.run()
    tested = (scheduler.testing, scheduler.accuracy) if key == "host" else None
    answers.put((key, scheduler.timings, scheduler.processor, scheduler.psi_outcome.seconds, tested))


class Federation:
    """Trains a round whenever it is asked."""

    def __init__(self, collaborators: int, plan: Plan, environment: dict[str, str]) -> None:
        self.nodes = KEYS[: collaborators + 1]
        self._go, self._answers = _spawn.Queue(), _spawn.Queue()
        self._over, over = _spawn.Pipe(duplex=False)
        self._parties = [
            _spawn.Process(target=play, args=(node, self.nodes, plan, environment, self._go, over, self._answers))
            for node in self.nodes
        ]
        for process in self._parties:
            process.start()
        self._heard()  # round 1 begins by itself

    def train(self) -> None:
        """The next round, to its end."""
        self._go.put(None)
        self._heard()

    def finish(self) -> dict[str, tuple[Any, ...]]:
        """After the last round: timings and seconds of processor a round, seconds of the intersection, the test."""
        self._go.put(None)
        found = dict((answer[0], answer[1:]) for answer in (self._answers.get(timeout=300) for _ in self.nodes))
        for process in self._parties:
            process.join(30)
        return found

    def _heard(self) -> None:
        wait([self._over, *(process.sentinel for process in self._parties)], timeout=1800)
        if not self._over.poll():
            raise SystemExit("a party ended, or a round took more than half an hour")
        self._over.recv()


@contextmanager
def server() -> Iterator[dict[str, str]]:
    """An embedded server, and the environment of its parties."""
    with tempfile.TemporaryDirectory() as folder, EmbeddedServer() as running:
        yield {"PLAYGROUND_REDIS_URL": running.url, "PLAYGROUND_HOME": folder, "OMP_NUM_THREADS": "1"}


# -- one process --------------------------------------------------------------------------------------------------


def one_process(plan: Plan, asked: Any, answers: Any) -> None:
    """The in-process loop: an epoch for each round number, the test set for None."""
    torch.set_num_threads(1)
    digits = Digits()
    features = {key: ConvNet() for key in KEYS[:2]}
    infer = infer_model(2)
    optimizers = [sgd(model) for model in (infer, *features.values())]

    def scored(samples: int, batch: int, *, train: bool) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        ours, theirs = (digits.loader(samples, batch, train=train) for _ in features)
        for (left, labels), (right, _) in zip(ours, theirs, strict=True):
            if train:
                for optimizer in optimizers:
                    optimizer.zero_grad()
            parts = [model(halves(key, x)) for (key, model), x in zip(features.items(), (left, right), strict=True)]
            yield infer(torch.concat(parts, dim=1)), labels

    for round in iter(asked.get, None):
        started, began = time.monotonic(), time.process_time()
        for scores, labels in scored(plan.taken(round), plan.batch(round), train=True):
            F.nll_loss(scores, labels).backward()
            for optimizer in optimizers:
                optimizer.step()
        answers.put((time.monotonic() - started, time.process_time() - began))
    started, right = time.monotonic(), 0
    for model in (infer, *features.values()):
        model.eval()
    with torch.no_grad():
        for scores, labels in scored(plan.tests, plan.batch(plan.rounds), train=False):
            right += int((scores.argmax(1) == labels).sum())
    answers.put((time.monotonic() - started, right / plan.tests))


# -- what is measured ---------------------------------------------------------------------------------------------


def digits(plan: Plan) -> list[tuple[str, str, str, str]]:
    asked, answers = _spawn.Queue(), _spawn.Queue()
    alone = _spawn.Process(target=one_process, args=(plan, asked, answers))
    alone.start()
    base: list[tuple[float, float]] = []
    with server() as environment:
        federation = Federation(1, plan, environment)
        for round in range(1, plan.rounds + 1):
            asked.put(round)
            base.append(answers.get(timeout=1800))
            if round > 1:
                federation.train()
        asked.put(None)
        tested = answers.get(timeout=1800)
        found = federation.finish()
    alone.join(30)
    timings, _, intersected, together = found["host"]
    print(f"{plan.samples + plan.tests:,} ids intersected in {intersected:.1f} s")
    rows = []
    for index, batch in enumerate(plan.batches):
        counted = [round for round in range(len(plan.batches), plan.rounds) if round % len(plan.batches) == index]
        batches = -(-plan.samples // batch)
        ours = statistics.median(timings[round].total for round in counted) / batches
        theirs = statistics.median(base[round][0] for round in counted) / batches
        processor = statistics.median(base[round][1] for round in counted) / batches
        goal = f"at most {GOALS[batch]} x" if batch in GOALS else ""
        rows.append((f"round at batch {batch}", ms(ours), f"{ms(theirs)} in one process: {ours / theirs:.2f} x", goal))
        print(f"batch {batch}: {len(counted)} rounds of {batches} batches, medians a batch")
        print(f"    one process: {ms(theirs)}, processor {ms(processor)}")
        for party, (timings_there, processors, *_) in found.items():
            parts = ((name, statistics.median(getattr(timings_there[r], name) for r in counted)) for name in PARTS)
            split = ", ".join(f"{name} {ms(seconds / batches)}" for name, seconds in parts)
            used = statistics.median(processors[round] for round in counted) / batches
            print(f"    {party}: {split}; processor {ms(used)}", flush=True)
    seconds, accuracy = together
    print(f"accuracy on the test set: {accuracy:.3f} together, {tested[1]:.3f} in one process")
    what = f"test of {plan.tests:,} at batch {plan.batch(plan.rounds)}"
    rows.append((what, f"{seconds:.2f} s", f"{tested[0]:.2f} s in one process: {seconds / tested[0]:.2f} x", ""))
    return rows


def sleeping(repetitions: int) -> tuple[str, str, str, str]:
    plan = Plan(samples=64, tests=0, rounds=repetitions + 1, batches=(32,), sleep=True)
    a_batch: dict[int, float] = {}
    for collaborators in (1, 3):
        with server() as environment:
            federation = Federation(collaborators, plan, environment)
            for _ in range(repetitions):
                federation.train()
            timings = federation.finish()["host"][0]
        a_batch[collaborators] = statistics.median(timing.total for timing in timings[1:]) / SLEEPING_BATCHES
    ratio = a_batch[3] / a_batch[1]
    return ("models that sleep 20 ms", ms(a_batch[3]), f"{ms(a_batch[1])} with one: {ratio:.2f} x", "at most 1.15 x")


def ms(seconds: float) -> str:
    return f"{1000 * seconds:.2f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="60,000 training and 10,000 test samples")
    parser.add_argument("--samples", type=int, help="for training (default: 6,000)")
    parser.add_argument("--tests", type=int, help="for the test (default: a sixth of those for training)")
    parser.add_argument("--batches", type=int, nargs="+", default=list(GOALS), help="batch sizes (default: 128 32)")
    parser.add_argument(
        "--repetitions", type=int, help="rounds of each batch size (default: 5; 3 above 10,000 samples)"
    )
    options = parser.parse_args()
    samples = options.samples or (60_000 if options.full else 6_000)
    repetitions = options.repetitions or (5 if samples <= 10_000 else 3)
    rounds = (repetitions + 1) * len(options.batches)
    plan = Plan(samples, options.tests or samples // 6, rounds, tuple(options.batches))
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; {repetitions} repetitions", flush=True)
    table("split training, time a batch", [*digits(plan), sleeping(repetitions)])


if __name__ == "__main__":
    main()
