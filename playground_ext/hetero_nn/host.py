"""The host of a split model: it has the labels, joins all parties' features, and leads."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn, optim

from playground_ext.bus.envelope import Envelope
from playground_ext.errors import CheckInError, ConfigError, ProtocolError
from playground_ext.hetero_nn.alignment import Agreement, Digester
from playground_ext.hetero_nn.features import Batch, Features, Structured
from playground_ext.hetero_nn.joint_optimizer import JointOptimizer
from playground_ext.hetero_nn.remote import RemoteFeatures
from playground_ext.hetero_nn.scheduler import HeteroNNScheduler
from playground_ext.hetero_nn.wire import Wire
from playground_ext.psi.star import Outcome, lead_intersection

__all__ = ["HeteroNNHostScheduler"]

logger = logging.getLogger("playground")


class HeteroNNHostScheduler(HeteroNNScheduler):
    """The party with the labels. Subclass it and write the hooks of `HeteroNNScheduler` and those below.

    Arguments besides those of `HeteroNNScheduler`:
        psi: "ecdh" or "rsa", how the parties find their common samples.

    What it learns: which of its samples every collaborator has too (for several, also after each of them in turn), how
    many samples each has, and each collaborator's features of all common samples, from which the data behind them can
    be guessed. Labels leave it only through the gradients.
    """

    leads = True

    # -- hooks ------------------------------------------------------------------------------------------------------

    def build_infer_model(self) -> nn.Module:
        """The model from the joined features to the result."""
        raise self._hook_missing("build_infer_model")

    def build_infer_optimizer(self, infer_model: nn.Module) -> optim.Optimizer:
        """The optimizer of `infer_model`; it lives through all rounds."""
        raise self._hook_missing("build_infer_optimizer")

    def train_a_batch(self, feature_projection: dict[str, Features], labels: Any) -> Mapping[str, float] | None:
        """Join the features (`feature_projection[feature_key]`), compute the loss, call backward and step.

        `self.optimizer.zero_grad()` and `.step()` act on all parties' models. May return numbers such as the loss,
        whose means over the round become metrics.
        """
        raise self._hook_missing("train_a_batch")

    def run_test(
        self, batched_feature_projections: list[dict[str, Features]], batched_labels: list[Any]
    ) -> Mapping[str, float] | None:
        """Test `self.infer_model` on all batches, every `log_rounds` rounds; may return numbers such as accuracy."""
        raise self._hook_missing("run_test")

    # -- lifecycle --------------------------------------------------------------------------------------------------

    infer_model: nn.Module
    infer_optimizer: optim.Optimizer
    optimizer: JointOptimizer

    def _prepare(self) -> None:
        super()._prepare()
        self.infer_model = self.build_infer_model()
        self.infer_optimizer = self.build_infer_optimizer(self.infer_model)
        self.optimizer = JointOptimizer(self.infer_optimizer, self.feature_optimizer, self._record)
        self._remote: RemoteFeatures | None = None
        self._warned: set[str] = set()
        self._finished = False
        self._digesters: dict[str, Digester] = {}

    def _record(self, operation: str) -> None:
        if self._remote is not None:
            self._remote.record(operation)

    def _compare(self, check_ins: Mapping[str, Mapping[str, Any]]) -> None:
        owners: dict[str, str] = {}
        self._keys: dict[str, str] = {}
        for party, body in check_ins.items():
            key = str(body.get("feature_key"))
            if key in owners:
                raise CheckInError(
                    f"{owners[key]} and {party} both use feature_key={key!r}",
                    task=self.task_id,
                    next_step="give each party's scheduler a feature_key of its own",
                )
            self._keys[party], owners[key] = key, party
        self._trainable = [party for party in self.collaborators if check_ins[party].get("trainable")]

    def _rounds(self) -> Path:
        while not self._finished:
            self.current_round += 1
            wire = self._wire(self.current_round)
            with self._reported_round(self.collaborators):
                last = self.current_round >= self.max_rounds
                test = self._overrides_test() and bool(self.log_rounds)
                test = test and (last or self.current_round % self.log_rounds == 0)
                wire.send(self.collaborators, "round", "start", meta={"test": test, "finished": False})
                self._train(wire)
                if test:
                    self._test(wire)
                with self.session.user_code("finishing", self.current_round):
                    self._finished = self.is_task_finished() or last
            self._checkpoint()
        self._wire(self.current_round + 1).send(self.collaborators, "round", "start", meta={"finished": True})
        return self._save()

    def _state(self) -> Mapping[str, Any]:
        return {**super()._state(), "finished": self._finished}

    def _restore(self, state: Mapping[str, Any]) -> None:
        super()._restore(state)
        self._finished = bool(state["finished"])

    def _overrides_test(self) -> bool:
        return type(self).run_test is not HeteroNNHostScheduler.run_test

    def _models(self) -> dict[str, nn.Module]:
        return {**super()._models(), "infer_model": self.infer_model}

    def _optimizers(self) -> dict[str, optim.Optimizer]:
        return {**super()._optimizers(), "infer_optimizer": self.infer_optimizer}

    # -- samples ----------------------------------------------------------------------------------------------------

    def _intersect(self) -> Outcome:
        return lead_intersection(
            self.session, self._own_ids, protocol=self.psi, timeout=self._round_timeout(), attempt=self._attempt
        )

    def _agree(self) -> None:
        wire = self._wire(0)
        agreement = Agreement()
        wire.send(self.collaborators, "agree", "start", meta={"public": agreement.public})
        for peer, envelope in wire.gather(self.collaborators, "split", "start").items():
            self._digesters[peer] = agreement.with_peer(envelope.meta.get("public"), peer)
            self._compare_split(peer, envelope.meta, self._split_digests(self._digesters[peer]))

    def _compare_split(self, peer: str, theirs: Mapping[str, Any], mine: Mapping[str, Any]) -> None:
        if {name: theirs.get(name) for name in mine} == mine:
            return
        sizes = [f"{party} has {part['train']} + {part['test']}" for party, part in ((self.id, mine), (peer, theirs))]
        same = (mine["train"], mine["test"]) == (theirs.get("train"), theirs.get("test"))
        raise ProtocolError(
            f"split_dataset() divides the common samples differently: {', '.join(sizes)} to train and to test"
            + (", but they are not the same samples" if same else ""),
            party=peer,
            next_step="use the same rule in split_dataset() of every notebook",
        )

    # -- training ---------------------------------------------------------------------------------------------------

    def _train(self, wire: Wire) -> None:
        sums: dict[str, float] = {}
        seen = 0
        with self.session.user_code("training", self.current_round), wire.measured(self._trained):
            self._seed_round()
            self.infer_model.train()
            batches = self._train_batches(with_labels=True)
            while (joined := self._next(wire, "train", next(batches, None))) is not None:
                batch, theirs = joined
                values = self._train_batch(wire, batch, theirs)
                for name, value in (values or {}).items():
                    sums[name] = sums.get(name, 0.0) + float(value) * batch.size
                seen += batch.size
                wire.batch_done("training", wire.timings.batches)
        self._report("train", {name: value / seen for name, value in sums.items()})

    def _train_batch(self, wire: Wire, batch: Batch, theirs: dict[str, Structured]) -> Mapping[str, float] | None:
        index = wire.timings.batches
        trainable = {peer: theirs[peer] for peer in self._trainable}
        device = next(iter(batch.features.tensors.values())).device
        remote = self._remote = RemoteFeatures(wire, index, trainable, device)
        try:
            values = self.train_a_batch(self._projection(batch, {**theirs, **remote.leaves}), batch.labels)
        finally:
            self._remote = None
        if trainable:
            for peer in remote.commit():
                self._warn(peer, index)
        self._give_credit(wire, "train", index, [peer for peer in theirs if peer not in trainable])
        if values is not None and not isinstance(values, Mapping):
            raise ConfigError(
                f"train_a_batch() returned {type(values).__name__}",
                next_step="return nothing, or numbers by name: {'loss': loss.item()}",
            )
        return values

    def _warn(self, peer: str, index: int) -> None:
        if peer not in self._warned:
            self._warned.add(peer)
            logger.warning(
                "batch %d: the loss does not depend on the features of %s, so it learns nothing", index, peer
            )

    def _projection(self, batch: Batch, theirs: Mapping[str, Structured]) -> dict[str, Features]:
        features = {self.feature_key: batch.features.value}
        return {**features, **{self._keys[peer]: structured.value for peer, structured in theirs.items()}}

    def _test(self, wire: Wire) -> None:
        projections: list[dict[str, Features]] = []
        labels: list[Any] = []
        with self.session.user_code("testing", self.current_round), torch.no_grad():
            self.infer_model.eval()
            batches = self._test_batches(with_labels=True)
            while (joined := self._next(wire, "test", next(batches, None), len(labels))) is not None:
                batch, theirs = joined
                projections.append(self._projection(batch, theirs))
                labels.append(batch.labels)
                self._give_credit(wire, "test", len(labels) - 1, self.collaborators)
            self._report("test", self.run_test(projections, labels))

    def _give_credit(self, wire: Wire, phase: str, index: int, peers: list[str]) -> None:
        """Those who need not wait for gradients may compute AHEAD batches, no more."""
        if peers:
            wire.send(peers, "credit", f"{phase}-{index}")

    # -- joining ----------------------------------------------------------------------------------------------------

    def _next(
        self, wire: Wire, phase: str, batch: Batch | None, index: int | None = None
    ) -> tuple[Batch, dict[str, Structured]] | None:
        """The collaborators' features of the same batch; None when all iterators have ended together.

        Raises:
            ProtocolError: one has ended before the others, or the samples are not the same.
        """
        index = wire.timings.batches if index is None else index
        envelopes = wire.gather(self.collaborators, "feature", f"{phase}-{index}")
        self._check_lengths(phase, index, batch, envelopes)
        if batch is None:
            return None
        theirs: dict[str, Structured] = {}
        for peer, envelope in envelopes.items():
            self._check_samples(phase, index, batch, envelope)
            theirs[peer] = Structured.received(envelope.meta.get("form"), wire.decode(envelope), peer)
            if theirs[peer].size() != batch.size:
                raise ProtocolError(f"{peer} sent other features than it announced", party=peer)
        return batch, theirs

    def _check_lengths(self, phase: str, index: int, batch: Batch | None, envelopes: Mapping[str, Envelope]) -> None:
        sizes = {self.id: batch.size if batch else None}
        sizes |= {p: None if e.meta.get("end") else e.meta.get("size") for p, e in envelopes.items()}
        if len({size is None for size in sizes.values()}) == 1:
            return
        ended = ", ".join(party for party, size in sizes.items() if size is None)
        going = ", ".join(f"{party} ({size} samples)" for party, size in sizes.items() if size is not None)
        raise ProtocolError(
            f"iterate_{phase}_feature of {ended} ended after {index} batches, but {going} has another one",
            round=self.current_round,
            next_step="use the same samples, batch size and drop_last in every notebook",
        )

    def _check_samples(self, phase: str, index: int, batch: Batch, envelope: Envelope) -> None:
        peer, meta = envelope.sender, envelope.meta
        if meta.get("size") != batch.size:
            raise ProtocolError(
                f"batch {index} of iterate_{phase}_feature has {batch.size} samples at {self.id}, "
                f"{meta.get('size')} at {peer}",
                party=peer,
                round=self.current_round,
                next_step="use the same batch_size in every notebook",
            )
        digest = meta.get("digest")
        digester = self._digesters.get(peer)  # none where the round is replayed
        if digest and batch.ids is not None and digester is not None and digest != digester.digest(batch.ids):
            raise ProtocolError(
                f"batch {index} of iterate_{phase}_feature holds other samples at {peer} than at {self.id}, or the "
                "same in another order",
                party=peer,
                round=self.current_round,
                next_step="iterate over train_ids and test_ids in the order given, without shuffling on your own",
            )
