"""`self.optimizer` of a host: one call acts on the infer model, the host's feature model and all collaborators'."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import optim

__all__ = ["STEP", "ZERO_GRAD", "JointOptimizer", "apply"]

ZERO_GRAD, STEP = "zero_grad", "step"


class JointOptimizer:
    """Acts on the host's own optimizers at once, and has the collaborators do the same at the same place in the batch.

    `infer` and `feature` are what `build_infer_optimizer` and `build_feature_optimizer` returned (`feature` is None if
    the features are not trainable), for learning-rate schedulers and the like.
    """

    def __init__(self, infer: optim.Optimizer, feature: optim.Optimizer | None, record: Callable[[str], None]) -> None:
        self.infer = infer
        self.feature = feature
        self._record = record

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Of the host's own optimizers."""
        return [group for optimizer in self._own() for group in optimizer.param_groups]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of every party's models."""
        for optimizer in self._own():
            optimizer.zero_grad(set_to_none=set_to_none)
        self._record(ZERO_GRAD)

    def step(self) -> None:
        """Let every party's models learn from the gradients since `zero_grad`."""
        for optimizer in self._own():
            optimizer.step()
        self._record(STEP)

    def _own(self) -> list[optim.Optimizer]:
        return [optimizer for optimizer in (self.infer, self.feature) if optimizer is not None]


def apply(operation: str, optimizer: optim.Optimizer) -> None:
    """At a collaborator: do what the host's `self.optimizer` did."""
    if operation == ZERO_GRAD:
        optimizer.zero_grad()
    else:
        optimizer.step()
