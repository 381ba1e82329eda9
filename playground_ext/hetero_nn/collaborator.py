"""The collaborator of a split model: it has features of the samples, and no labels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch

from playground_ext.bus.envelope import Envelope
from playground_ext.errors import MalformedPayload
from playground_ext.hetero_nn.alignment import Agreement, Digester
from playground_ext.hetero_nn.features import Batch, Structured
from playground_ext.hetero_nn.joint_optimizer import STEP, ZERO_GRAD, apply
from playground_ext.hetero_nn.scheduler import HeteroNNScheduler
from playground_ext.hetero_nn.wire import AHEAD, Wire
from playground_ext.psi.exchange import check_protocol
from playground_ext.psi.star import Outcome, follow_intersection

__all__ = ["HeteroNNCollaboratorScheduler"]


class HeteroNNCollaboratorScheduler(HeteroNNScheduler):
    """A party with some of the columns. Subclass it and write the hooks of `HeteroNNScheduler`.

    Rounds, timeouts, seed and PSI protocol are the host's.

    What it learns: the number of the host's ids, which of its own samples all parties share, and for each batch the
    gradient of its features, from which labels can be guessed. The host sees its features of every common sample.
    """

    leads = False
    _digester: Digester | None = None  # none where the round is replayed

    def __init__(
        self,
        feature_key: str,
        *,
        calculation_timeout: float = 300.0,
        schedule_timeout: float = 30.0,
        is_feature_trainable: bool = True,
    ) -> None:
        super().__init__(
            feature_key,
            calculation_timeout=calculation_timeout,
            schedule_timeout=schedule_timeout,
            is_feature_trainable=is_feature_trainable,
        )

    def _adopt(self, meta: Mapping[str, Any]) -> None:
        for name in self._arguments().keys() & meta["arguments"].keys():  # the host's to say, so nothing to remark
            setattr(self, name, meta["arguments"][name])
        super()._adopt(meta)
        check_protocol(self.psi)

    def _rounds(self) -> Path:
        host = self.session.party.initiator
        while True:
            wire = self._wire(self.current_round + 1)
            with self._reported_round([host]) as reported:
                self.session.watch.say("waiting for the host", round=self.current_round or None)
                announced = wire.receive(host, "round", "start")
                if announced.meta.get("finished"):
                    reported.cancel()
                    return self._save()
                self.current_round += 1
                self._train(wire)
                if announced.meta.get("test"):
                    self._test(wire)
            self._checkpoint()

    def _intersect(self) -> Outcome:
        return follow_intersection(
            self.session, self._own_ids, protocol=self.psi, timeout=self._round_timeout(), attempt=self._attempt
        )

    def _agree(self) -> None:
        host = self.session.party.initiator
        wire = self._wire(0)
        agreement = Agreement()
        self._digester = agreement.with_peer(wire.receive(host, "agree", "start").meta.get("public"), host)
        wire.send(host, "split", "start", meta={"public": agreement.public, **self._split_digests(self._digester)})

    def _train(self, wire: Wire) -> None:
        with self.session.user_code("training", self.current_round), wire.measured(self._trained):
            self._seed_round()
            index = 0
            for batch in self._train_batches(with_labels=False):
                self._send_features(wire, f"train-{index}", batch)
                if self.is_feature_trainable:
                    self._learn(wire, index, batch.features)
                else:
                    self._wait_for_credit(wire, "train", index)
                index += 1
                wire.batch_done("training", index)
            self._send_end(wire, "train", index)

    def _test(self, wire: Wire) -> None:
        with self.session.user_code("testing", self.current_round):
            index = 0
            for batch in self._test_batches(with_labels=False):
                self._send_features(wire, f"test-{index}", batch)
                self._wait_for_credit(wire, "test", index)
                index += 1
            self._send_end(wire, "test", index)

    def _send_features(self, wire: Wire, step: str, batch: Batch) -> None:
        meta: dict[str, Any] = {"form": batch.features.form, "size": batch.size}
        if batch.ids is not None and self._digester is not None:
            meta["digest"] = self._digester.digest(batch.ids)
        tensors = batch.features.map(torch.Tensor.detach).tensors
        wire.send(self.session.party.initiator, "feature", step, tensors=tensors, meta=meta)

    def _send_end(self, wire: Wire, phase: str, batches: int) -> None:
        meta = {"end": True, "size": 0}
        wire.send(self.session.party.initiator, "feature", f"{phase}-{batches}", meta=meta)

    def _wait_for_credit(self, wire: Wire, phase: str, index: int) -> None:
        """Nothing is learned from this batch, so the next one need not wait; but do not run away from the host."""
        if index >= AHEAD:
            wire.receive(self.session.party.initiator, "credit", f"{phase}-{index - AHEAD}")

    def _learn(self, wire: Wire, index: int, features: Structured) -> None:
        """Follow the host through one batch: gradients as they come, and its optimizer's calls between them."""
        optimizer = cast(torch.optim.Optimizer, self.feature_optimizer)  # the features are trainable
        backward = _Backward(features)
        number, last = 0, False
        while not last:
            envelope = wire.receive(self.session.party.initiator, "backward", f"{index}.{number}")
            for operation in _operations(envelope):
                backward.flush()
                apply(operation, optimizer)
            if envelope.payload:
                backward.add(wire.decode(envelope), envelope.sender)
            number, last = number + 1, envelope.meta.get("last") is True
        backward.flush()


class _Backward:
    """Gradients of one batch's features. Those of several tensors go back through the model together."""

    def __init__(self, features: Structured) -> None:
        self._features = {name: tensor for name, tensor in features.tensors.items() if tensor.requires_grad}
        self._pending: dict[str, torch.Tensor] = {}

    def add(self, gradients: Mapping[str, torch.Tensor], sender: str) -> None:
        """Raises MalformedPayload: gradients that are not those of the features."""
        for name, gradient in gradients.items():
            feature = self._features.get(name)
            if feature is None or (gradient.shape, gradient.dtype) != (feature.shape, feature.dtype):
                raise MalformedPayload(f"{sender} sent a gradient that does not fit the features", party=sender)
            if name in self._pending:  # another backward call
                self.flush()
            self._pending[name] = gradient.to(feature.device)
        if len(self._pending) == len(self._features):
            self.flush()

    def flush(self) -> None:
        if self._pending:
            features = [self._features[name] for name in self._pending]
            # the graph is kept because the host may call backward again; it goes when the batch does
            torch.autograd.backward(features, list(self._pending.values()), retain_graph=True)
            self._pending = {}


def _operations(envelope: Envelope) -> list[str]:
    operations = envelope.meta.get("operations", [])
    if not isinstance(operations, list) or not all(entry in (ZERO_GRAD, STEP) for entry in operations):
        raise MalformedPayload(f"{envelope.sender} asks for {operations!r}", party=envelope.sender)
    return operations
