"""The protocol of federated averaging.

round r   aggregator    --global(r)-->  every collaborator    the global weights, and whether it rests in this round
          collaborator  --update(r)-->  aggregator            its weights after local training, and its sample count
          aggregator    averages, tests, and goes on
at last   aggregator    --global(r+1, final)-->  every collaborator
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, cast

import torch
from torch import nn, optim
from torch.utils.data import DataLoader

from playground_ext.bus.envelope import Envelope
from playground_ext.bus.steps import around
from playground_ext.bus.tensors import (
    TensorSpec,
    decode,
    describe_difference,
    encode,
    load_file,
    save_file,
    signature,
)
from playground_ext.errors import AggregationError, ConfigError, MalformedPayload, ModelMismatch
from playground_ext.fed_avg.aggregation import StateDict, Update, weighted_average
from playground_ext.party.disk import storage_error
from playground_ext.scheduler.base import Scheduler
from playground_ext.scheduler.result import TaskResult
from playground_ext.scheduler.seeding import seed_everything

__all__ = ["FedAvgScheduler"]

logger = logging.getLogger("playground")


class FedAvgScheduler(Scheduler):
    """Federated averaging (McMahan et al., 2017). Subclass it and write the hooks that your role uses.

    Arguments besides those of `Scheduler`:
        merge_epochs: local epochs of a round, at least 1 (`train_an_epoch` is called so often).
        involve_aggregator: the aggregator trains too, on its own data.
        quorum: how many collaborators suffice for a round, as a number (2) or a fraction of them (0.5). A round closes
            when all have answered, or with a quorum at its deadline, or as soon as those that are missing are lost. Who
            comes too late takes part in the next round. None means everyone.
        allow_non_finite: average updates with NaN or infinite weights too, instead of refusing them.

    What each party learns: the aggregator sees every collaborator's weights after local training and its number of
    samples; collaborators see the averaged weights. Weights tell something about the data they were trained on.
    """

    initiator_role = "aggregator"
    kinds: ClassVar[tuple[str, ...]] = ("global", "update")

    def __init__(
        self,
        *,
        max_rounds: int = 1,
        merge_epochs: int = 1,
        calculation_timeout: float = 300.0,
        schedule_timeout: float = 30.0,
        log_rounds: int = 0,
        involve_aggregator: bool = False,
        quorum: int | float | None = None,
        allow_non_finite: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(
            max_rounds=max_rounds,
            calculation_timeout=calculation_timeout,
            schedule_timeout=schedule_timeout,
            log_rounds=log_rounds,
            seed=seed,
        )
        if not isinstance(merge_epochs, int) or merge_epochs < 1:
            raise ConfigError(f"merge_epochs={merge_epochs!r} is not a number of epochs", next_step="give 1 or more")
        if quorum is not None and not (quorum >= 1 if isinstance(quorum, int) else 0 < quorum <= 1):
            raise ConfigError(
                f"quorum={quorum!r} is neither a number of collaborators nor a fraction of them",
                next_step="give a whole number such as 2, or a fraction such as 0.5",
            )
        self.quorum = quorum
        self.allow_non_finite = allow_non_finite
        self.merge_epochs = merge_epochs
        self.involve_aggregator = involve_aggregator
        self._model: nn.Module | None = None
        self._optimizer: optim.Optimizer | None = None
        self._loaders: dict[str, DataLoader[Any]] = {}
        self._took_part: tuple[str, ...] = ()  # in the newest round

    # -- hooks ------------------------------------------------------------------------------------------------------

    def build_model(self) -> nn.Module:
        """The model; the same architecture at every party."""
        raise self._hook_missing("build_model")

    def build_optimizer(self, model: nn.Module) -> optim.Optimizer:
        """The optimizer of `model`; it lives through all rounds. Parties that train need it."""
        raise self._hook_missing("build_optimizer")

    def build_train_dataloader(self) -> DataLoader[Any]:
        """This party's training data. Parties that train need it."""
        raise self._hook_missing("build_train_dataloader")

    def build_validation_dataloader(self) -> DataLoader[Any]:
        """Only if your own code uses `self.validation_loader`."""
        raise self._hook_missing("build_validation_dataloader")

    def build_test_dataloader(self) -> DataLoader[Any]:
        """Only if `run_test` uses `self.test_loader`."""
        raise self._hook_missing("build_test_dataloader")

    def train_an_epoch(self) -> Mapping[str, float] | None:
        """Train `self.model` with `self.optimizer` on `self.train_loader` once; may return numbers such as the loss."""
        raise self._hook_missing("train_an_epoch")

    def run_test(self) -> Mapping[str, float] | None:
        """Test `self.model`, at the aggregator, every `log_rounds` rounds; may return numbers such as the accuracy."""
        raise self._hook_missing("run_test")

    def num_samples(self) -> int:
        """This party's weight in the average; the default is the number of samples that its train loader draws."""
        loader = self.train_loader
        try:
            return len(cast(Any, loader.sampler if loader.sampler is not None else loader.dataset))
        except TypeError:
            raise ConfigError(
                "the train loader does not know its number of samples", next_step="override num_samples()"
            ) from None

    def aggregate(self, updates: Sequence[Update]) -> StateDict:
        """The next global weights, from the participants' updates in a fixed order; override it to change that."""
        return weighted_average(updates)

    # -- state ------------------------------------------------------------------------------------------------------

    @property
    def is_aggregator(self) -> bool:
        return self.is_initiator

    @property
    def model(self) -> nn.Module:
        """The global model between rounds, this party's own during training."""
        if self._model is None:
            raise ConfigError("there is no model yet", next_step="call run() first")
        return self._model

    @property
    def optimizer(self) -> optim.Optimizer:
        if self._optimizer is None:
            self._optimizer = self.build_optimizer(self.model)
        return self._optimizer

    @property
    def train_loader(self) -> DataLoader[Any]:
        return self._loader("train", self.build_train_dataloader)

    @property
    def validation_loader(self) -> DataLoader[Any]:
        return self._loader("validation", self.build_validation_dataloader)

    @property
    def test_loader(self) -> DataLoader[Any]:
        return self._loader("test", self.build_test_dataloader)

    @property
    def collaborators(self) -> list[str]:
        return [node for node in self.nodes if node != self.session.party.initiator]

    @property
    def is_trainer(self) -> bool:
        return not self.is_aggregator or self.involve_aggregator

    def _trainers_of_round(self) -> list[str]:
        """The collaborators that train in this round, asked of the aggregator; the others rest.

        A round that is played again after a crash must have the same ones.
        """
        return self.collaborators

    # -- protocol ---------------------------------------------------------------------------------------------------

    def _arguments(self) -> dict[str, Any]:
        return {
            **super()._arguments(),
            "merge_epochs": self.merge_epochs,
            "involve_aggregator": self.involve_aggregator,
            "quorum": self.quorum,
            "allow_non_finite": self.allow_non_finite,
        }

    def _quorum(self, parties: int) -> int:
        collaborators = parties - 1
        if self.quorum is None:
            return 0
        needed = self.quorum if isinstance(self.quorum, int) else math.ceil(self.quorum * collaborators)
        if needed > collaborators:
            raise ConfigError(
                f"quorum={self.quorum} asks for more than the {collaborators} collaborators there are",
                next_step="give a number that can be reached, or a fraction such as 0.5",
            )
        return needed

    def _prepare(self) -> None:
        self._optimizer, self._loaders = None, {}  # a used scheduler starts afresh
        self._model = self.build_model()
        if self.is_trainer:
            _ = self.optimizer, self.train_loader
        if self.is_aggregator and self.log_rounds and self._overrides("build_test_dataloader"):
            _ = self.test_loader
        self._signature = signature(self.model.state_dict())

    def _check_in(self) -> Mapping[str, Any]:
        return {"signature": [[spec.name, spec.dtype, list(spec.shape)] for spec in self._signature]}

    def _compare(self, check_ins: Mapping[str, Mapping[str, Any]]) -> None:
        for party in self.collaborators:
            theirs = tuple(
                TensorSpec(str(name), str(dtype), tuple(shape)) for name, dtype, shape in check_ins[party]["signature"]
            )
            differences = describe_difference(self._signature, theirs, our_name=self.id, their_name=party)
            if differences:
                raise ModelMismatch(
                    f"{party} built another model than {self.id}: {'; '.join(differences[:5])}",
                    task=self.task_id,
                    next_step="let build_model() return the same architecture in every notebook",
                )

    def _play(self) -> Path:
        return self._aggregate_rounds() if self.is_aggregator else self._train_rounds()

    def _aggregate_rounds(self) -> Path:
        session = self.session
        finished = False
        if session.restored is None:
            self._checkpoint()
        elif self.current_round:  # its checkpoint was written before the test
            with self._reported_round(self._took_part):
                finished = self._test_and_ask()
        while not finished:
            self.current_round += 1
            with self._reported_round(self.collaborators) as reported:
                updates = self._collect_updates()
                reported.participants = self._took_part = tuple(update.party for update in updates)
                with (
                    session.user_code("aggregating", self.current_round),
                    around(lambda: f"aggregate {self.current_round}"),
                ):
                    self._load(self.aggregate(updates))
                late = self._checkpoint()  # before anything that was computed from the aggregate leaves this party
                self._note_late(late)
                finished = self._test_and_ask()
        self._send_global(self.current_round + 1, final=True)
        return self._save_model()

    def _note_late(self, late: Iterable[tuple[str, str, int]]) -> None:
        """What came too late to count. A party that came back sends again what did count, which is nothing to note."""
        counted = {report.round: report.participants for report in self._reports} | {
            self.current_round: self._took_part
        }
        for party, kind, round in late:
            if party not in counted.get(round, ()):
                logger.warning("refused: %s's %s of round %d came when that round was over", party, kind, round)

    def _collect_updates(self) -> list[Update]:
        """Hand out the global weights and wait for what the trainers make of them, in a fixed order."""
        participants = self._trainers_of_round()
        self._send_global(self.current_round, final=False, to=participants)
        if resting := [party for party in self.collaborators if party not in participants]:
            self._send_global(self.current_round, final=False, to=resting, rests=True)
        updates: dict[str, Update] = {}
        if self.involve_aggregator:
            self._train()
            own = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}
            updates[self.id] = Update(self.id, self.num_samples(), own)
        self.session.say("waiting for updates", self.current_round)
        quorum = self.session.policy.quorum
        envelopes = self.session.mailbox.gather(
            participants,
            "update",
            round=self.current_round,
            timeout=self._round_timeout(),
            quorum=quorum or None,
            on_arrival=lambda envelope: logger.debug("update of %s is here", envelope.sender),
        )
        for party, envelope in envelopes.items():
            samples = envelope.meta.get("samples")
            if not isinstance(samples, int) or isinstance(samples, bool) or samples < 0:
                raise MalformedPayload(
                    f"{party} says that it trained on {samples!r} samples", party=party, round=self.current_round
                )
            update = Update(party, samples, self._decode(envelope))
            if self.allow_non_finite or self._is_usable(update):
                updates[party] = update
        if quorum:
            self._note_absent([party for party in participants if party not in updates], len(updates))
        return [updates[node] for node in self.nodes if node in updates]

    def _is_usable(self, update: Update) -> bool:
        """No NaN and no infinity in it.

        Raises:
            AggregationError: there is, and every update is needed.
        """
        broken = [name for name, tensor in update.state.items() if not torch.isfinite(tensor).all()]
        if not broken:
            return True
        what = f"{update.party} sent NaN or infinite weights in {', '.join(broken[:3])}"
        if not self.session.policy.quorum:
            raise AggregationError(
                what,
                party=update.party,
                round=self.current_round,
                next_step=f"look at the loss of {update.party} (learning rate too high?), or say allow_non_finite=True",
            )
        logger.warning("refused: %s", what)
        return False

    def _note_absent(self, absent: Sequence[str], present: int) -> None:
        """Who is left out of this round; what nobody will fetch any more is taken back."""
        if absent:
            logger.warning("round %d closes without %s", self.current_round, ", ".join(absent))
        if present < self.session.policy.quorum:
            raise AggregationError(
                f"only {present} usable updates, the quorum is {self.session.policy.quorum}",
                round=self.current_round,
                next_step="look at the parties that are missing or refused",
            )
        self.session.mailbox.withdraw("global", before_round=self.current_round)

    def _train_rounds(self) -> Path:
        session = self.session
        aggregator = session.party.initiator
        skips = bool(session.policy.quorum)  # the others may have gone on without this party
        if session.restored is None:
            self._checkpoint()
        elif skips and self.current_round and not session.replays and not self._has_reported(self.current_round):
            with self._reported_round([aggregator]):  # it ended between the two checkpoints of its round
                self._hand_in()
            self._checkpoint()
        while True:
            with self._reported_round([aggregator]) as reported:
                session.say("waiting for the global model", self.current_round or None)
                envelope = self._hear_global(skips)
                self._load(self._decode(envelope))
                if envelope.meta.get("final"):
                    reported.cancel()
                    return self._save_model()
                self.current_round = envelope.round
                if envelope.meta.get("rests"):
                    session.say("resting", self.current_round)
                    logger.info("resting: others train in this round")
                elif self._contribute():
                    if skips:  # the others go on from here, without it if need be: what it has learned is on disk
                        self._checkpoint(before_the_end=True)
                    self._hand_in()
            self._checkpoint()

    def _hear_global(self, skips: bool) -> Envelope:
        """The global weights of the next round; where rounds may be skipped, the newest of a round still to come."""
        while True:
            envelope = self.session.mailbox.receive(
                self.session.party.initiator,
                "global",
                round=None if skips else self.current_round + 1,
                timeout=2 * self._round_timeout(),
                newest=skips,
            )
            if envelope.round > self.current_round:  # an aggregator that came back sends older ones again
                return envelope

    def _contribute(self) -> bool:
        """A collaborator's part of a round after the global weights; whether it has something to hand in."""
        self._train()
        return True

    def _hand_in(self) -> None:
        """What a collaborator's part of a round ends with: its update. The same again when it comes back."""
        self.session.mailbox.send(
            self.session.party.initiator,
            "update",
            encode(self.model.state_dict()),
            round=self.current_round,
            meta={"samples": self.num_samples()},
            timeout=self._round_timeout() or 3600.0,
        )

    def _train(self) -> None:
        """The local epochs of a round, from a seed of this party and round."""
        with self.session.user_code("training", self.current_round):
            seed_everything(self.seed, self.id, self.current_round)
            for _ in range(self.merge_epochs):
                values = self.train_an_epoch()
            self._report("train", values)

    def _test_and_ask(self) -> bool:
        """Test the new global model if it is time, and ask whether the task is over."""
        last = self.current_round >= self.max_rounds
        with self.session.user_code("testing", self.current_round):
            if self.log_rounds and (last or self.current_round % self.log_rounds == 0) and self._overrides("run_test"):
                self._report("test", self.run_test())
            return self.is_task_finished() or last

    def _report(self, phase: str, values: Mapping[str, float] | None) -> None:
        if values is None:
            return
        if not isinstance(values, Mapping):
            raise ConfigError(
                f"{'train_an_epoch' if phase == 'train' else 'run_test'}() returned {type(values).__name__}",
                next_step="return nothing, or numbers by name: {'loss': 0.31}",
            )
        self.session.metrics.add(self.current_round, {f"{phase}/{name}": value for name, value in values.items()})
        text = ", ".join(f"{name} {float(value):.4f}" for name, value in values.items())
        logger.info("%sed: %s", phase, text)

    def _send_global(self, round: int, *, final: bool, to: Sequence[str] | None = None, rests: bool = False) -> None:
        self.session.mailbox.send(
            self.collaborators if to is None else to,
            "global",
            encode(self.model.state_dict()),
            round=round,
            meta={"final": final, "rests": True} if rests else {"final": final},
            timeout=self._round_timeout() or 3600.0,
        )

    def _decode(self, envelope: Envelope) -> StateDict:
        """The tensors of a message, if they are those of this model."""
        state = decode(envelope.payload)
        differences = describe_difference(
            self._signature, signature(state), our_name=self.id, their_name=envelope.sender
        )
        if differences:
            raise MalformedPayload(
                f"{envelope.sender} sent other tensors than this model has: {'; '.join(differences[:5])}",
                party=envelope.sender,
                round=envelope.round,
                next_step=f"see what {envelope.sender}'s notebook does to self.model: its layers must stay as they are",
            )
        return state

    def _load(self, state: StateDict) -> None:
        self.model.load_state_dict(state)

    def _save_model(self) -> Path:
        path = self.session.folder.results / "model.safetensors"
        try:
            save_file(self.model.state_dict(), path)
        except OSError as error:
            raise storage_error(error, path.parent, "save the final model") from error
        logger.info("the final model is in %s", min(str(path), os.path.relpath(path), key=len))
        return path

    def _state(self) -> dict[str, Any]:
        optimizer = self._optimizer.state_dict() if self._optimizer is not None else None
        return {"model": self.model.state_dict(), "optimizer": optimizer, "participants": list(self._took_part)}

    def _restore(self, state: Mapping[str, Any]) -> None:
        differences = describe_difference(
            self._signature, signature(state["model"]), our_name="build_model()", their_name="the checkpoint"
        )
        if differences:
            raise ModelMismatch(
                f"this is another model than the one in the checkpoint: {'; '.join(differences[:5])}",
                party=self.id,
                next_step="build the same model as before; to begin anew, stop all parties and run them again",
            )
        self.model.load_state_dict(state["model"])
        if state["optimizer"] is not None:
            self.optimizer.load_state_dict(state["optimizer"])
        self._took_part = tuple(str(party) for party in state["participants"])

    def _load_result(self, result: TaskResult) -> None:
        if result.model_file is not None:
            self._load(load_file(result.model_file))

    def _loader(self, name: str, build: Callable[[], DataLoader[Any]]) -> DataLoader[Any]:
        if name not in self._loaders:
            self._loaders[name] = build()
        return self._loaders[name]

    def _overrides(self, hook: str) -> bool:
        return getattr(type(self), hook) is not getattr(FedAvgScheduler, hook)

    def _hook_missing(self, hook: str) -> ConfigError:
        role = self.role if self._session is not None else "party"
        return ConfigError(
            f"{type(self).__name__} has no {hook}(), which the {role} needs",
            next_step=f"write `def {hook}(self…)` in {type(self).__name__}",
        )
