"""A task that trains in milliseconds, for tests of schedulers: a party calls `play` in a process of its own."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn, optim
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from playground_ext.fed_avg import (
    DPFedAvgScheduler,
    FedAvgScheduler,
    FedProxScheduler,
    SecureFedAvgScheduler,
    Update,
)
from playground_ext.scheduler.seeding import seed_everything

RATE, MOMENTUM, BATCH = 0.1, 0.9, 16
WIDTH = 200  # of the hidden layer: 2,003 weights


def names(collaborators: int) -> list[str]:
    return ["aggregator", *(f"collaborator-{n}" for n in range(1, collaborators + 1))]


def model() -> nn.Module:
    return nn.Sequential(nn.Linear(6, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 3))


def samples(place: int) -> TensorDataset:
    """Those of the party at this place in `nodes`; each has another number."""
    count = 40 + 24 * place
    generator = torch.Generator().manual_seed(place)
    return TensorDataset(torch.randn(count, 6, generator=generator), torch.randint(0, 3, (count,), generator=generator))


class Small:
    """Hooks that all the schedulers below share."""

    misbehave: dict[int, str] = {}  # round -> what this party does when it should train  # noqa: RUF012
    die_once_in: str = ""  # "test 2", "masked 2": the first process of this party dies there

    def build_model(self) -> nn.Module:
        return model()

    def build_optimizer(self, net: nn.Module) -> optim.Optimizer:
        return optim.SGD(net.parameters(), lr=RATE, momentum=MOMENTUM)

    def build_train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(samples(self.nodes.index(self.id)), batch_size=BATCH, shuffle=True)

    def run_test(self) -> dict[str, float]:
        norm = sum(float(weight.detach().double().norm()) for weight in self.model.parameters())
        with Path(f"{self.id}.tests").open("a") as file:
            file.write(f"{self.current_round} {norm!r}\n")
        self.die_once("test")
        return {"norm": norm}

    def die_once(self, place: str) -> None:
        """As if killed, in the first of two processes."""
        died = Path(f"{self.id}.died")
        if self.die_once_in == f"{place} {self.current_round}" and not died.exists():
            died.touch()
            os._exit(9)

    def train_a_batch(self, x: torch.Tensor, y: torch.Tensor) -> None:
        self.optimizer.zero_grad()
        self.loss(self.model(x), y).backward()
        self.optimizer.step()

    def loss(self, scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(scores, labels)

    def _train(self) -> None:
        match self.misbehave.get(self.current_round, "").split():
            case ["sleep", seconds]:
                with self.session.user_code("sleeping", self.current_round):  # a failure elsewhere ends it
                    threading.Event().wait(float(seconds))
            case ["die"]:
                os._exit(9)
            case ["raise"]:
                raise RuntimeError("my data are gone")
        super()._train()
        if not self.is_aggregator:
            trained = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}
            self.trained[self.current_round] = (self.num_samples(), trained)
        self.die_once("train")


class Epochs(Small):
    def train_an_epoch(self) -> dict[str, float]:
        self.model.train()
        for batch in self.train_loader:
            self.train_a_batch(*batch)
        return {"loss": 1.0}


class Plain(Epochs, FedAvgScheduler):
    pass


class Prox(Epochs, FedProxScheduler):
    def loss(self, scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return self.calc_prox_loss(F.cross_entropy, scores, labels)


class Private(Small, DPFedAvgScheduler):
    def aggregate(self, updates: list[Update]) -> dict[str, torch.Tensor]:
        state, again = super().aggregate(updates), super().aggregate(updates)
        self.seen.append({"same": any((state[name] == again[name]).any() for name in state)})
        return state


class PrivateEpochs(Epochs, DPFedAvgScheduler):
    """A user who writes the epoch: its numbers are not published, and it is clipped all the same."""


class Secure(Epochs, SecureFedAvgScheduler):
    def _gather(self, kind: str, *arguments: Any) -> Any:
        envelopes = super()._gather(kind, *arguments)
        self.die_once(kind)
        if kind == "masked":
            self.seen.append({party: bytes(envelope.payload) for party, envelope in envelopes.items()})
        return envelopes


class SecureWithUpdates(Secure):
    def aggregate(self, updates: list[Update]) -> dict[str, torch.Tensor]:
        self.seen.append([(update.party, update.samples) for update in updates])
        state = super().aggregate(updates)
        self.averages.append(arrays(state))
        return state


class Diverging(Epochs, SecureFedAvgScheduler):
    def _train(self) -> None:
        with torch.no_grad():
            self.model[2].bias.fill_(float("nan"))


def play(
    kind: str, *, misbehave: dict[int, str] | None = None, die_once_in: str = "", wait: bool = False, **options: Any
) -> dict[str, Any]:
    """Take part as a `kind` of scheduler. Arrays, because tensors do not travel well between processes."""
    torch.set_num_threads(1)
    if options.pop("without_opacus", False):
        for name in ["opacus", *(name for name in sys.modules if name.startswith("opacus."))]:
            sys.modules[name] = None  # type: ignore[assignment]  # what Python does for a package that is not there
    options = {"calculation_timeout": 30, "max_rounds": 2, **options}
    scheduler = globals()[kind](**options)
    scheduler.misbehave, scheduler.trained, scheduler.seen, scheduler.averages = misbehave or {}, {}, [], []
    scheduler.die_once_in = die_once_in
    scheduler.on_party_failure = "wait" if wait else None
    result = scheduler.run()
    return {
        "model": arrays(scheduler.model.state_dict()),
        "rounds": result.rounds,
        "metrics": {point.name for point in result.metrics},
        "epsilon": result.series("privacy/epsilon"),
        "trained": {round: (count, arrays(state)) for round, (count, state) in scheduler.trained.items()},
        "participants": [report.participants for report in result.round_reports],
        "seen": scheduler.seen,
        "averages": scheduler.averages,
        "private": sorted(path.name for path in result.folder.parent.rglob("*.json") if path.parent.name == "secure"),
    }


def arrays(state: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    return {name: tensor.detach().numpy().copy() for name, tensor in state.items()}


def start() -> dict[str, torch.Tensor]:
    """The global weights before the first round."""
    seed_everything(0, "aggregator", 0)
    return {name: tensor.clone() for name, tensor in model().state_dict().items()}


def fed_avg(collaborators: int, rounds: int) -> dict[str, torch.Tensor]:
    """The global weights after so many rounds of plain FedAvg, in one process."""
    torch.set_num_threads(1)
    weights = start()
    locals_ = [Local(name, place) for place, name in enumerate(names(collaborators)) if place]
    for round in range(1, rounds + 1):
        states = [(local.samples, local.train(weights, round)) for local in locals_]
        total = sum(count for count, _ in states)
        weights = {name: sum(count * state[name] for count, state in states) / total for name in weights}
    return weights


class Local:
    """One party's training without any of our schedulers: the oracle."""

    def __init__(self, node: str, place: int) -> None:
        self.node, self.samples = node, len(samples(place))
        self.net = model()
        self.optimizer = optim.SGD(self.net.parameters(), lr=RATE, momentum=MOMENTUM)
        self.loader = DataLoader(samples(place), BATCH, shuffle=True)

    def train(
        self, received: dict[str, torch.Tensor], round: int, *, mu: float = 0.0, clip: float | None = None
    ) -> dict[str, torch.Tensor]:
        self.net.load_state_dict(received)
        seed_everything(0, self.node, round)
        weights = dict(self.net.named_parameters())
        for x, y in self.loader:
            self.optimizer.zero_grad()
            loss = F.cross_entropy(self.net(x), y)
            if mu:
                loss = loss + mu / 2 * sum(((weights[name] - received[name]) ** 2).sum() for name in weights)
            loss.backward()
            self.optimizer.step()
            if clip is not None:
                with torch.no_grad():
                    moved = torch.cat([(weights[name] - received[name]).reshape(-1) for name in weights]).norm()
                    for name in weights:
                        step = (weights[name] - received[name]) * min(1.0, clip / float(moved))
                        weights[name].copy_(received[name] + step)
        return {name: tensor.clone() for name, tensor in self.net.state_dict().items()}
