"""What hosts and collaborators have in common: hooks, the samples that all parties share, models, checkpoints."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn, optim

from playground_ext.errors import ConfigError
from playground_ext.hetero_nn.alignment import Digester, Id, in_common_order
from playground_ext.hetero_nn.features import Batch, read_batch
from playground_ext.hetero_nn.models import load_models, save_models
from playground_ext.hetero_nn.wire import KINDS, Timings, Wire
from playground_ext.psi.channel import KINDS as PSI_KINDS
from playground_ext.psi.exchange import check_protocol
from playground_ext.psi.ids import normalise
from playground_ext.psi.star import Outcome
from playground_ext.scheduler.attempts import KINDS as ATTEMPT_KINDS
from playground_ext.scheduler.attempts import NOTHING, Attempt, follow, lead
from playground_ext.scheduler.result import TaskResult
from playground_ext.scheduler.seeding import seed_everything
from playground_ext.scheduler.sides import SidedScheduler

__all__ = ["HeteroNNScheduler"]

logger = logging.getLogger("playground")


class HeteroNNScheduler(SidedScheduler):
    """One side of vertical split learning. Users subclass the host's or the collaborator's scheduler.

    Arguments besides those of `Scheduler`:
        feature_key: the name of this party's features in `feature_projection`; no two parties have the same.
        is_feature_trainable: False keeps this party's feature model as it is: in eval mode, without an optimizer.
    """

    family = "HeteroNN"
    initiator_role = "host"
    kinds = (*KINDS, *PSI_KINDS, *ATTEMPT_KINDS)
    durable_messages = False  # a party that comes back makes all begin the round again

    def __init__(
        self,
        feature_key: str,
        *,
        max_rounds: int = 1,
        calculation_timeout: float = 300.0,
        schedule_timeout: float = 30.0,
        log_rounds: int = 0,
        is_feature_trainable: bool = True,
        psi: str = "ecdh",
        seed: int = 0,
    ) -> None:
        super().__init__(
            max_rounds=max_rounds,
            calculation_timeout=calculation_timeout,
            schedule_timeout=schedule_timeout,
            log_rounds=log_rounds,
            seed=seed,
        )
        if not isinstance(feature_key, str) or not feature_key:
            raise ConfigError(f"feature_key={feature_key!r} is no name", next_step="give each party a text of its own")
        self.feature_key = feature_key
        self.is_feature_trainable = is_feature_trainable
        self.psi = check_protocol(psi)
        self.feature_model: nn.Module | None = None
        self.feature_optimizer: optim.Optimizer | None = None
        self.timings: list[Timings] = []  # of training, one a round
        self.psi_outcome: Outcome | None = None

    # -- hooks ------------------------------------------------------------------------------------------------------

    def load_local_ids(self) -> Sequence[Id]:
        """The ids of all samples that this party has, in training and test set; nobody else gets to see them."""
        raise self._hook_missing("load_local_ids")

    def split_dataset(self, id_intersection: set[Id]) -> tuple[Collection[Id], Collection[Id]]:
        """The ids of the training set and of the test set; the same rule at every party."""
        raise self._hook_missing("split_dataset")

    def build_feature_model(self) -> nn.Module:
        """The model that turns this party's part of a sample into features."""
        raise self._hook_missing("build_feature_model")

    def build_feature_optimizer(self, feature_model: nn.Module) -> optim.Optimizer:
        """The optimizer of `feature_model`; it lives through all rounds. Needed if the features are trainable."""
        raise self._hook_missing("build_feature_optimizer")

    def iterate_train_feature(self, feature_model: nn.Module, train_ids: list[Id]) -> Iterator[Any]:
        """Yield `feature_model(…)` for one batch after the other, in the order that all parties agreed on.

        The host yields `(features, labels)`. Every party may add the ids of the samples, as a list, at the end: then a
        different order is found at once. Features are a tensor, or a dict, tuple or list of tensors, batch first.
        """
        raise self._hook_missing("iterate_train_feature")

    def iterate_test_feature(self, feature_model: nn.Module, test_ids: list[Id]) -> Iterator[Any]:
        """The same for the test set, without gradients."""
        raise self._hook_missing("iterate_test_feature")

    # -- lifecycle --------------------------------------------------------------------------------------------------

    def _arguments(self) -> dict[str, Any]:
        return {**super()._arguments(), "psi": self.psi}

    def _prepare(self) -> None:
        self.timings, self.psi_outcome = [], None  # a used scheduler starts afresh
        self.feature_model = self.build_feature_model()
        self.feature_optimizer = self.build_feature_optimizer(self.feature_model) if self.is_feature_trainable else None
        self._begun = False
        self._own_ids = normalise(self.load_local_ids())
        if not len(self._own_ids):
            raise ConfigError("load_local_ids() returned no ids", next_step="return the ids of your samples")

    def _play(self) -> Path:
        take_part = lead if self.leads else follow
        return take_part(self.session, self._begin, self._conclude, timeout=2 * self._round_timeout())

    def _conclude(self) -> Path:
        """The others have done their parts, and so has this party, up to its last checkpoint."""
        if self.session.restored is not None:
            self._go_back(self.session.restored)
        return self._save()

    def _begin(self, attempt: Attempt) -> Path:
        """All rounds from the end of `attempt.round`."""
        self._attempt = attempt.number
        if attempt.round == NOTHING:
            if self.psi_outcome is not None or self._begun:  # not the first time
                seed_everything(self.seed, self.id, 0)
                self.current_round, self._reports = 0, []
                self.session.metrics.keep(0)
                self._prepare()
            self._begun = True
            with self.session.user_code("intersecting ids"):
                self._split(self._intersect())
        else:
            self._go_back(self.session.checkpoints.load(attempt.round))
        if not self.session.replays:  # keys that are drawn anew would fit nothing that was recorded
            self._agree()
        if attempt.round == NOTHING:
            self._checkpoint()
        return self._rounds()

    def _intersect(self) -> Outcome:
        """Find the common samples."""
        raise NotImplementedError

    def _agree(self) -> None:
        """Host and collaborators see that they divide the common samples in the same way."""
        raise NotImplementedError

    def _rounds(self) -> Path:
        """From `current_round` to the end."""
        raise NotImplementedError

    def _check_in(self) -> Mapping[str, Any]:
        return {"feature_key": self.feature_key, "trainable": self.is_feature_trainable}

    @property
    def _feature(self) -> nn.Module:
        if self.feature_model is None:
            raise ConfigError("there is no feature model yet", next_step="call run() first")
        return self.feature_model

    # -- samples ----------------------------------------------------------------------------------------------------

    def _split(self, outcome: Outcome) -> None:
        """Let the user divide the common samples."""
        self.psi_outcome = outcome
        logger.info("%s", outcome.report())
        common = set(outcome.common(self._own_ids))
        if not common:
            raise ConfigError(
                f"the parties have no sample in common ({len(self._own_ids):,} ids here)",
                next_step="compare how the parties write their ids: spaces, leading zeros, capital letters",
            )
        split = self.split_dataset(common)
        if not isinstance(split, tuple | list) or len(split) != 2:
            raise ConfigError("split_dataset() returned no pair", next_step="return (train_ids, test_ids)")
        self.train_ids, self.test_ids = (in_common_order(part) for part in split)
        logger.info("%d common samples: %d to train, %d to test", len(common), len(self.train_ids), len(self.test_ids))

    def _split_digests(self, digester: Digester) -> dict[str, Any]:
        """What the host compares: numbers, and digests that ignore the order."""
        parts = {"train": self.train_ids, "test": self.test_ids}
        digests = {f"{name}_digest": digester.digest(in_common_order(frozenset(ids))) for name, ids in parts.items()}
        return {**{name: len(ids) for name, ids in parts.items()}, **digests}

    # -- batches ----------------------------------------------------------------------------------------------------

    def _train_batches(self, *, with_labels: bool) -> Iterator[Batch]:
        """What `iterate_train_feature` yields, checked."""
        trainable = self.is_feature_trainable
        self._feature.train(trainable)
        items = self.iterate_train_feature(self._feature, list(self.train_ids))
        for batch in self._read(items, "iterate_train_feature", with_labels=with_labels, gradients=trainable):
            if trainable and not any(tensor.requires_grad for tensor in batch.features.tensors.values()):
                raise ConfigError(
                    "a feature of iterate_train_feature carries no gradient, so its model cannot learn",
                    party=self.id,
                    round=self.current_round,
                    next_step="yield what feature_model(…) returned, without detach() or no_grad(); "
                    "or say is_feature_trainable=False",
                )
            yield batch

    def _test_batches(self, *, with_labels: bool) -> Iterator[Batch]:
        self._feature.eval()
        items = self.iterate_test_feature(self._feature, list(self.test_ids))
        return self._read(items, "iterate_test_feature", with_labels=with_labels, gradients=False)

    def _read(self, items: Iterator[Any], hook: str, *, with_labels: bool, gradients: bool) -> Iterator[Batch]:
        iterator = iter(items)
        ended = object()
        while True:
            with nullcontext() if gradients else torch.no_grad():
                item = next(iterator, ended)
            if item is ended:
                return
            yield read_batch(item, with_labels=with_labels, hook=hook)

    # -- rounds -----------------------------------------------------------------------------------------------------

    def _wire(self, round: int) -> Wire:
        return Wire(self.session, timeout=self._round_timeout(), round=round, attempt=self._attempt)

    def _seed_round(self) -> None:
        seed_everything(self.seed, self.id, self.current_round)

    def _trained(self, timings: Timings) -> None:
        self.timings.append(timings)
        logger.info("round %d: %s", self.current_round, timings)

    def _report(self, phase: str, values: Mapping[str, float] | None) -> None:
        """Publish what a hook returned."""
        if not values:
            return
        self.session.metrics.add(self.current_round, {f"{phase}/{name}": value for name, value in values.items()})
        text = ", ".join(f"{name} {float(value):.4f}" for name, value in values.items())
        logger.info("%s of round %d: %s", phase, self.current_round, text)

    def _models(self) -> dict[str, nn.Module]:
        return {"feature_model": self._feature}

    def _optimizers(self) -> dict[str, optim.Optimizer]:
        return {} if self.feature_optimizer is None else {"feature_optimizer": self.feature_optimizer}

    def _parts(self) -> dict[str, nn.Module | optim.Optimizer]:
        return {**self._models(), **self._optimizers()}

    def _state(self) -> Mapping[str, Any]:
        outcome = None if self.psi_outcome is None else self.psi_outcome.state()
        return {"outcome": outcome, **{name: part.state_dict() for name, part in self._parts().items()}}

    def _restore(self, state: Mapping[str, Any]) -> None:
        if self.psi_outcome is None:  # this party was started again
            self._split(Outcome.of_state(state["outcome"]))
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        del self.timings[self.current_round :]

    def _load_result(self, result: TaskResult) -> None:
        if result.model_file is not None:
            states = load_models(result.model_file)
            for name, model in self._models().items():
                model.load_state_dict(states[name])

    def _save(self) -> Path:
        path = self.session.folder.results / "model.safetensors"
        save_models({name: model.state_dict() for name, model in self._models().items()}, path)
        logger.info("my models are in %s", path)
        return path

    def _hook_missing(self, hook: str) -> ConfigError:
        role = self.initiator_role if self.leads else self.collaborator_role
        return ConfigError(
            f"{type(self).__name__} has no {hook}(), which the {role} needs",
            next_step=f"write `def {hook}(self…)` in {type(self).__name__}",
        )
