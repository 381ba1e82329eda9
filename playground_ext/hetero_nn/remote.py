"""The host's view of the collaborators' features in one batch: leaves of its graph whose gradients leave at once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch

from playground_ext.hetero_nn.features import Structured
from playground_ext.hetero_nn.wire import Wire

__all__ = ["RemoteFeatures"]


class RemoteFeatures:
    """Sends what happens to the trainable collaborators' features in one batch, in the order in which it happens.

    A gradient leaves from a hook in the middle of `backward()`, before the host has computed those of its own models:
    a collaborator works on it at the same time. Gradients of further backward calls follow as increments.
    """

    def __init__(self, wire: Wire, index: int, features: Mapping[str, Structured], device: torch.device) -> None:
        self._wire, self._index = wire, index
        self._operations: dict[str, list[str]] = {peer: [] for peer in features}
        self._numbers = dict.fromkeys(features, 0)
        self.leaves: dict[str, Structured] = {}
        for peer, structured in features.items():
            leaves = {}
            for name, tensor in structured.tensors.items():
                leaf = tensor.to(device)
                if leaf.is_floating_point():
                    leaf.requires_grad_()
                    leaf.register_hook(partial(self._send_gradient, peer, name))  # type: ignore[no-untyped-call]
                leaves[name] = leaf
            self.leaves[peer] = Structured(structured.form, leaves)

    def record(self, operation: str) -> None:
        """`self.optimizer` was called: every collaborator does the same before it looks at later gradients."""
        for operations in self._operations.values():
            operations.append(operation)

    def commit(self) -> list[str]:
        """The batch is over. Returns the collaborators whose features the loss did not use."""
        unused = [peer for peer, number in self._numbers.items() if not number]
        alike: dict[tuple[int, tuple[str, ...]], list[str]] = {}
        for peer, number in self._numbers.items():
            alike.setdefault((number, tuple(self._operations[peer])), []).append(peer)
        for (number, operations), peers in alike.items():  # usually one message for all
            meta = {"operations": list(operations), "last": True}
            self._wire.send(peers, "backward", f"{self._index}.{number}", meta=meta)
        return unused

    def _send_gradient(self, peer: str, name: str, gradient: torch.Tensor) -> None:
        operations, self._operations[peer] = self._operations[peer], []
        number = self._numbers[peer]
        self._numbers[peer] += 1
        meta = {"operations": operations, "last": False}
        self._wire.send(peer, "backward", f"{self._index}.{number}", tensors={name: gradient.detach()}, meta=meta)
