"""Parties of a small split model, with data, optimizers and training styles that the tests choose."""

from __future__ import annotations

import itertools
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn, optim

from playground_ext.hetero_nn import HeteroNNCollaboratorScheduler, HeteroNNHostScheduler
from playground_ext.scheduler import DataChecker, register_metrics

SAMPLES, WIDTH, CLASSES, BATCH = 72, 5, 3, 16  # the last batch is smaller
KEYS = ["host", "collaborator-1", "collaborator-2", "collaborator-3"]


def columns(key: str) -> torch.Tensor:  # (samples, width)
    return torch.randn(SAMPLES, WIDTH, generator=torch.Generator().manual_seed(KEYS.index(key)))


def labels() -> torch.Tensor:  # (samples,)
    return torch.randint(0, CLASSES, (SAMPLES,), generator=torch.Generator().manual_seed(99))


class Feature(nn.Module):
    """A dropout between two layers; `several` gives two tensors that share the first one."""

    def __init__(self, several: bool = False) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(WIDTH, 8), nn.Linear(8, 4), nn.Linear(8, 2)
        self.several = several

    def forward(self, x: torch.Tensor) -> Any:
        hidden = F.dropout(torch.tanh(self.first(x)), 0.3, self.training)
        if self.several:
            return {"a": self.second(hidden), "b": self.third(hidden)}
        return self.second(hidden)


class Infer(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.out = nn.Sequential(nn.Linear(width, 12), nn.ReLU(), nn.Dropout(0.2), nn.Linear(12, CLASSES))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(x)


def optimizer(name: str, model: nn.Module) -> optim.Optimizer:
    """A user's own: `decayed` halves its learning rate every three batches, `clipped` limits the gradient's norm."""
    if name == "adam":
        return optim.Adam(model.parameters(), lr=0.01)
    chosen = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    if name == "decayed":
        schedule = optim.lr_scheduler.StepLR(chosen, step_size=3, gamma=0.5)
        chosen.register_step_post_hook(lambda *_: schedule.step())
    elif name == "clipped":
        chosen.register_step_pre_hook(lambda *_: nn.utils.clip_grad_norm_(model.parameters(), 0.05) and None)
    return chosen


def fuse(projection: dict[str, Any], keys: list[str]) -> torch.Tensor:
    parts = []
    for key in keys:
        value = projection[key]
        if isinstance(value, list):
            parts += [part.float() for part in value]
        else:
            parts += value.values() if isinstance(value, dict) else [value]
    return torch.cat(parts, dim=1)


def train_step(style: str, infer: nn.Module, joint: Any, fused: torch.Tensor, targets: torch.Tensor) -> float:
    """One batch in one of the ways in which people write it; the oracle uses the same with its own optimizers."""
    if style == "step before zero":
        loss = F.cross_entropy(infer(fused), targets)
        loss.backward()
        joint.step()
        joint.zero_grad()
        return loss.item()
    joint.zero_grad()
    loss = F.cross_entropy(infer(fused), targets)
    if style == "two backward calls":
        (0.7 * loss).backward(retain_graph=True)
        (0.3 * loss + fused.square().mean()).backward()
    else:
        loss.backward()
    if style == "clipped":
        nn.utils.clip_grad_norm_(infer.parameters(), 0.05)
    joint.step()
    return loss.item()


class _Party:
    """What host and collaborators share. `options` come from the test."""

    options: dict[str, Any]

    def load_local_ids(self) -> list[str]:
        # every party has ids that the others lack; the common ones are 0 to SAMPLES - 1
        return [str(i) for i in range(SAMPLES)] + [f"only {self.feature_key} {i}" for i in range(5)]

    def split_dataset(self, common: set[str]) -> tuple[set[str], set[str]]:
        test = {value for value in common if int(value) >= SAMPLES - 8}
        return common - test, test

    def build_feature_model(self) -> nn.Module:
        return Feature(self.options.get("several", False))

    def build_feature_optimizer(self, feature_model: nn.Module) -> optim.Optimizer:
        return optimizer(self.options.get("optimizer", "sgd"), feature_model)

    def batches(self, ids: list[str]):
        rows = sorted(map(int, ids))
        for start in range(0, len(rows), self.options.get("batch", BATCH)):
            yield rows[start : start + self.options.get("batch", BATCH)]


class Host(_Party, HeteroNNHostScheduler):
    def _yield(self, feature_model, ids):
        for rows in self.batches(ids):
            extra = ([str(row) for row in rows],) if self.options.get("ids") else ()
            yield (feature_model(columns(self.feature_key)[rows]), labels()[rows], *extra)

    iterate_train_feature = iterate_test_feature = _yield

    def build_infer_model(self) -> nn.Module:
        width = 6 if self.options.get("several") else 4
        return Infer(width * len(self.nodes))

    def build_infer_optimizer(self, infer_model: nn.Module) -> optim.Optimizer:
        return optimizer(self.options.get("optimizer", "sgd"), infer_model)

    def train_a_batch(self, feature_projection, labels):
        fused = fuse(feature_projection, list(self.nodes))
        style = self.options.get("style", "plain")
        return {"loss": train_step(style, self.infer_model, self.optimizer, fused, labels)}

    def run_test(self, batched_feature_projections, batched_labels):
        right = seen = 0
        for projection, targets in zip(batched_feature_projections, batched_labels, strict=True):
            scores = self.infer_model(fuse(projection, list(self.nodes)))
            right += (scores.argmax(1) == targets).sum().item()
            seen += len(targets)
        return {"accuracy": right / seen}


class Collaborator(_Party, HeteroNNCollaboratorScheduler):
    def _yield(self, feature_model, ids):
        for rows in self.batches(ids):
            features = feature_model(columns(self.feature_key)[rows])
            yield (features, [str(row) for row in rows]) if self.options.get("ids") else features

    iterate_train_feature = iterate_test_feature = _yield


def play(cls: type, key: str, arguments: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    scheduler = cls(feature_key=key, **arguments)
    scheduler.options = options
    result = scheduler.run()
    models = scheduler._models()
    return {
        "states": {name: {k: v.clone() for k, v in model.state_dict().items()} for name, model in models.items()},
        "metrics": [(point.name, point.round, point.value) for point in result.metrics],
        "model_file": str(result.model_file),
        "rounds": result.rounds,
        "folder": str(result.folder),
        "learned": scheduler.psi_outcome.learned,
        "timings": [str(timings) for timings in scheduler.timings],
        "training": {name: model.training for name, model in models.items()},
    }


def host(key: str = "host", options: dict[str, Any] | None = None, **arguments: Any) -> dict[str, Any]:
    arguments = {"max_rounds": 2, "calculation_timeout": 20, "schedule_timeout": 10, "log_rounds": 1, **arguments}
    return play(Host, key, arguments, options or {})


def collaborator(key: str, options: dict[str, Any] | None = None, **arguments: Any) -> dict[str, Any]:
    return play(Collaborator, key, arguments, options or {})


# -- misuse and extras: each changes one thing of the parties above


class OtherSplit:
    def split_dataset(self, common):
        train, test = super().split_dataset(common)
        return train - {"0", "1"}, test


class SwappedSplit:
    """As many samples as the others have, but not the same."""

    def split_dataset(self, common):
        train, test = super().split_dataset(common)
        moved = min(train), min(test)
        return train - {moved[0]} | {moved[1]}, test - {moved[1]} | {moved[0]}


class Detached:
    def _yield(self, feature_model, ids):
        for features in super()._yield(feature_model, ids):
            yield features.detach()

    iterate_train_feature = iterate_test_feature = _yield


class Short:
    def iterate_train_feature(self, feature_model, ids):
        yield from itertools.islice(self._yield(feature_model, ids), 3)


class Reversed:
    def batches(self, ids):
        for rows in super().batches(ids):
            yield rows[::-1]


class NothingInCommon:
    def load_local_ids(self):
        return [f"mine {i}" for i in range(10)]


class Uneven:
    def iterate_train_feature(self, feature_model, ids):
        yield {"a": torch.zeros(4, 2), "b": torch.zeros(5, 2)}, torch.zeros(4)


class Unused:
    def train_a_batch(self, feature_projection, labels):
        fused = torch.cat([feature_projection["host"], torch.zeros(len(labels), 4)], dim=1)
        return {"loss": train_step("plain", self.infer_model, self.optimizer, fused, labels)}


class Checked:
    def validate_context(self):
        super().validate_context()
        answer = self.options["check"]

        class ColumnChecker(DataChecker):
            def verify_data(self):
                if answer == "raises":
                    raise FileNotFoundError("no scan.csv")
                return answer

        if self.options.get("by hand"):
            ColumnChecker(task_id=self.task_id).execute_verification()
        else:
            self.data_checker = ColumnChecker()


class Measured:
    @register_metrics(name="timer", keys=["run_time"])
    @register_metrics(name="test_results", keys=["average_loss", "accuracy"])
    def run_test(self, batched_feature_projections, batched_labels):
        values = super().run_test(batched_feature_projections, batched_labels)
        self.get_metrics("timer").append_metrics_item({"run_time": 0.5})
        item = {"average_loss": torch.tensor(1.25), "accuracy": values["accuracy"]}
        self.get_metrics(self.options.get("set", "test_results")).append_metrics_item(item | self.options["item"])


class Early:
    def is_task_finished(self):
        return self.current_round == 2


class BFloat:
    """Features of half precision, in a list."""

    def iterate_train_feature(self, feature_model, ids):
        for features in self._yield(feature_model, ids):
            yield [features[:, :1].bfloat16(), features[:, 1:].double()]


class Named:
    """Samples whose ids are names that nobody else should read."""

    def load_local_ids(self):
        return [f"secret-patient-{i:04d}" for i in range(SAMPLES)] + [
            f"secret-{self.feature_key}-{i}" for i in range(5)
        ]

    def split_dataset(self, common):
        test = {name for name in common if int(name[-4:]) >= SAMPLES - 8}
        return common - test, test

    def batches(self, ids):
        return super().batches([name[-4:] for name in ids])

    def _yield(self, feature_model, ids):
        for rows in self.batches(ids):
            features, names = (
                feature_model(columns(self.feature_key)[rows]),
                [f"secret-patient-{row:04d}" for row in rows],
            )
            yield (features, labels()[rows], names) if self.is_initiator else (features, names)

    iterate_train_feature = iterate_test_feature = _yield


CHANGES = {
    cls.__name__: cls
    for cls in (
        *(OtherSplit, SwappedSplit, Detached, Short, Reversed, NothingInCommon, Uneven, Unused, Checked, Measured),
        *(Early, BFloat, Named),
    )
}


def changed(base: str, change: str, key: str, options: dict[str, Any] | None = None, **arguments: Any) -> Any:
    cls = type(change, (CHANGES[change], {"host": Host, "collaborator": Collaborator}[base]), {})
    if base == "host":
        arguments = {"max_rounds": 1, "calculation_timeout": 20, "schedule_timeout": 10, "log_rounds": 1, **arguments}
    return play(cls, key, arguments, options or {})
