"""What the parties of the chaos suite run, each in a process of its own, and where they are struck."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import traceback
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from deeds import DEEDS
from torch import nn, optim
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from playground_ext import mock_context
from playground_ext.bus import mailbox, steps
from playground_ext.errors import PlaygroundError
from playground_ext.fed_avg import FedAvgScheduler, FedSGDScheduler, SecureFedAvgScheduler
from playground_ext.hetero_nn import HeteroNNCollaboratorScheduler, HeteroNNHostScheduler
from playground_ext.party import voice
from playground_ext.psi.scheduler import (
    ECDHPSICollaboratorScheduler,
    ECDHPSIInitiatorScheduler,
    RSAPSICollaboratorScheduler,
    RSAPSIInitiatorScheduler,
)
from playground_ext.scheduler.base import Scheduler
from playground_ext.scheduler.result import TaskResult

__all__ = ["main"]

TASK = "chaos"
PATIENCE = {"calculation_timeout": 20, "schedule_timeout": 10}  # seconds; far more than a round takes


def main(plan: dict[str, Any]) -> None:
    """Take part as the plan says, and write down what came of it.

    `deeds`: what else it does, as (name in `deeds`, *arguments). `mended`: after a failure it is run again in this same
    process, without them, as people do who have mended a cell.
    """
    _strike(plan)
    if plan["impatient"]:  # with the server gone for good, waiting for it is waiting for nothing
        mailbox._RECONNECT = voice.PATIENCE = voice.FAREWELL = 1.0
    scheduler = _scheduler(plan, plan.get("deeds", ()))
    try:
        try:
            result = _run(scheduler, plan)
        except Exception:
            if not plan.get("mended"):
                raise
            traceback.print_exc()
            scheduler = _scheduler(plan, ())
            result = _run(scheduler, plan)
    except PlaygroundError as error:
        shown = "\n".join(error._render_traceback_())
        Path(plan["error"]).write_text(json.dumps({"kind": type(error).__name__, "text": str(error), "shown": shown}))
        raise
    Path(plan["answer"]).write_text(json.dumps(answer(scheduler, result)))


def _scheduler(plan: dict[str, Any], deeds: Iterable[Sequence[Any]]) -> Scheduler:
    scheduler = SCENARIOS[plan["scenario"]](plan["party"], plan.get("options", {}))
    scheduler.on_party_failure = plan["on_party_failure"]
    for name, *arguments in deeds:
        DEEDS[name](scheduler, *arguments)
    return scheduler


def _run(scheduler: Scheduler, plan: dict[str, Any]) -> TaskResult:
    with mock_context(id=plan["party"], nodes=plan["nodes"], task_id=TASK):
        return scheduler.run()


def answer(scheduler: Scheduler, result: TaskResult) -> dict[str, Any]:
    """What must be the same, bit for bit, whatever happened on the way."""
    found: dict[str, Any] = {
        "rounds": result.rounds,
        "metrics": sorted([point.round, point.name, float(point.value).hex()] for point in result.metrics),
        "participants": [[report.round, sorted(report.participants)] for report in result.round_reports],
    }
    if result.model_file is not None:
        found["model"] = hashlib.sha256(result.model_file.read_bytes()).hexdigest()[:16]
    if hasattr(scheduler, "intersection"):
        found["intersection"] = scheduler.intersection
    return found


def _strike(plan: dict[str, Any]) -> None:
    """Write down every step; at the one that the plan names kill this process, or the server."""
    passed = 0
    log = os.open(plan["steps"], os.O_CREAT | os.O_WRONLY | os.O_APPEND)

    def on_step(step: str) -> None:
        nonlocal passed
        passed += 1
        os.write(log, f"{step}\n".encode())
        if passed != plan.get("at"):
            return
        if plan["target"] == "server":
            os.kill(int(Path(plan["server_pid"]).read_text()), signal.SIGKILL)
        else:
            os.kill(os.getpid(), signal.SIGKILL)

    steps.observe(on_step)


# -- federated averaging ----------------------------------------------------------------------------------------------


class _Small:
    """A model with every source of randomness that a round may have: dropout, shuffling, momentum."""

    width = 8

    def build_model(self) -> nn.Module:
        return nn.Sequential(nn.Linear(8, self.width), nn.Dropout(0.2), nn.ReLU(), nn.Linear(self.width, 3))

    def build_optimizer(self, model: nn.Module) -> optim.Optimizer:
        return optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    def build_train_dataloader(self) -> DataLoader[Any]:
        place = self.nodes.index(self.id)  # type: ignore[attr-defined]
        generator = torch.Generator().manual_seed(place)
        size = 32 + 16 * place
        data = TensorDataset(
            torch.randn(size, 8, generator=generator), torch.randint(0, 3, (size,), generator=generator)
        )
        return DataLoader(data, batch_size=self.batch_size(size), shuffle=True)

    def batch_size(self, samples: int) -> int:
        return 16

    def train_an_epoch(self) -> dict[str, float]:
        self.model.train()
        loss = torch.zeros(())
        for inputs, labels in self.train_loader:
            self.optimizer.zero_grad()
            loss = F.cross_entropy(self.model(inputs), labels)
            loss.backward()
            self.optimizer.step()
        return {"loss": loss.item()}

    def run_test(self) -> dict[str, float]:
        return {"norm": sum(weight.norm().item() for weight in self.model.parameters())}


class Avg(_Small, FedAvgScheduler):
    width = 2048  # 99 KB of weights: payloads that do not fit into a stream entry


class Secure(_Small, SecureFedAvgScheduler):
    pass


class SGD(_Small, FedSGDScheduler):
    def batch_size(self, samples: int) -> int:
        return samples


def fed_avg(party: str, options: dict[str, Any]) -> Scheduler:
    return Avg(**{"max_rounds": 3, "log_rounds": 1, **PATIENCE, **options})


def fed_avg_quorum(party: str, options: dict[str, Any]) -> Scheduler:
    """Rounds may be skipped; whoever is lost is waited for all the same, so that the model is defined."""
    return fed_avg(party, {"quorum": 2, **options})


def secure_fed_avg(party: str, options: dict[str, Any]) -> Scheduler:
    return Secure(**{"max_rounds": 3, "log_rounds": 1, "t": 2, **PATIENCE, **options})


def fed_sgd(party: str, options: dict[str, Any]) -> Scheduler:
    return SGD(**{"max_rounds": 3, "log_rounds": 1, **PATIENCE, **options})


# -- split learning ---------------------------------------------------------------------------------------------------

SAMPLES = 60


class _Side:
    """Both sides; each has other columns, and ids that the other lacks."""

    def load_local_ids(self) -> list[str]:
        first = 10 * self.place
        return [f"id-{i}" for i in range(first, SAMPLES + first)]

    def split_dataset(self, ids: set[str]) -> tuple[list[str], list[str]]:
        ordered = sorted(ids)
        return ordered[:32], ordered[32:]

    def build_feature_model(self) -> nn.Module:
        return nn.Sequential(nn.Linear(4, 6), nn.Dropout(0.2), nn.ReLU())

    def build_feature_optimizer(self, model: nn.Module) -> optim.Optimizer:
        return optim.SGD(model.parameters(), lr=0.05, momentum=0.9)

    def _batches(self, model: nn.Module, ids: list[str]) -> Iterator[tuple[torch.Tensor, list[str]]]:
        columns = torch.randn(2 * SAMPLES, 4, generator=torch.Generator().manual_seed(self.place))
        for start in range(0, len(ids), 16):
            part = ids[start : start + 16]
            yield model(columns[[int(name[3:]) for name in part]]), part


class Host(_Side, HeteroNNHostScheduler):
    place = 0

    def iterate_train_feature(self, model: nn.Module, ids: list[str]) -> Iterator[Any]:
        for features, part in self._batches(model, ids):
            yield features, torch.tensor([int(name[3:]) % 2 for name in part]), part

    iterate_test_feature = iterate_train_feature

    def build_infer_model(self) -> nn.Module:
        return nn.Linear(12, 2)

    def build_infer_optimizer(self, model: nn.Module) -> optim.Optimizer:
        return optim.Adam(model.parameters(), lr=0.01)

    def _scores(self, projection: dict[str, Any]) -> torch.Tensor:
        return self.infer_model(torch.cat([projection["host"], projection["collaborator"]], dim=1))

    def train_a_batch(self, feature_projection: dict[str, Any], labels: torch.Tensor) -> dict[str, float]:
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self._scores(feature_projection), labels)
        loss.backward()
        self.optimizer.step()
        return {"loss": loss.item()}

    def run_test(self, batched_feature_projections: list[Any], batched_labels: list[torch.Tensor]) -> dict[str, float]:
        losses = [
            F.cross_entropy(self._scores(projection), labels)
            for projection, labels in zip(batched_feature_projections, batched_labels, strict=True)
        ]
        return {"loss": sum(loss.item() for loss in losses)}


class Collaborator(_Side, HeteroNNCollaboratorScheduler):
    place = 1

    def iterate_train_feature(self, model: nn.Module, ids: list[str]) -> Iterator[Any]:
        yield from self._batches(model, ids)

    iterate_test_feature = iterate_train_feature


def hetero_nn(party: str, options: dict[str, Any]) -> Scheduler:
    if party == "host":
        return Host("host", **{"max_rounds": 3, "log_rounds": 1, **PATIENCE, **options})
    return Collaborator("collaborator", **{**PATIENCE, **options})


# -- private set intersection -----------------------------------------------------------------------------------------


def _ids(party: str) -> list[str]:
    first = {"initiator": 0, "collaborator-1": 10, "collaborator-2": 20}[party]
    return [f"person-{i}" for i in range(first, first + 60)]


def psi_ecdh(party: str, options: dict[str, Any]) -> Scheduler:
    side = ECDHPSIInitiatorScheduler if party == "initiator" else ECDHPSICollaboratorScheduler
    return side(_ids(party), **PATIENCE)


def psi_rsa(party: str, options: dict[str, Any]) -> Scheduler:
    side: Any = RSAPSIInitiatorScheduler if party == "initiator" else RSAPSICollaboratorScheduler
    return side(_ids(party), **PATIENCE)


SCENARIOS = {
    "fed_avg": fed_avg,
    "fed_avg_quorum": fed_avg_quorum,
    "fed_sgd": fed_sgd,
    "secure_fed_avg": secure_fed_avg,
    "hetero_nn": hetero_nn,
    "psi_ecdh": psi_ecdh,
    "psi_rsa": psi_rsa,
}
