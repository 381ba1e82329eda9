"""How updates become one model. Pure: tensors in, tensors out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from playground_ext.bus.tensors import describe_difference, signature
from playground_ext.errors import AggregationError

__all__ = ["StateDict", "Update", "weighted_average"]

StateDict = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Update:
    """What one party contributes to a round."""

    party: str
    samples: int  # how many samples it trained on: its weight
    state: StateDict


def weighted_average(updates: Sequence[Update]) -> StateDict:
    """Average the parties' weights, each counting by its number of samples (McMahan et al., 2017, algorithm 1).

        w = sum_k (n_k / n) w_k

    Sums run in double precision, in the order of `updates`, so that equal updates give equal bits. Shapes and dtypes
    are the first update's. Integer and boolean buffers (BatchNorm counters) have no mean and are copied from it.

    Raises:
        AggregationError: no samples at all, or parties whose layers differ.
    """
    if not updates:
        raise AggregationError("there are no updates to average")
    total = sum(update.samples for update in updates)
    if total <= 0:
        parties = ", ".join(update.party for update in updates)
        raise AggregationError(
            f"the updates of {parties} hold no samples", next_step="give at least one party training data"
        )
    first = updates[0]
    for other in updates[1:]:
        differences = describe_difference(
            signature(first.state), signature(other.state), our_name=first.party, their_name=other.party
        )
        if differences:
            raise AggregationError(f"{first.party} and {other.party} sent different models: {'; '.join(differences)}")
    return {name: _average([(u.state[name], u.samples / total) for u in updates]) for name in first.state}


def _average(terms: Sequence[tuple[torch.Tensor, float]]) -> torch.Tensor:
    tensor, weight = terms[0]
    if not (tensor.is_floating_point() or tensor.is_complex()):
        return tensor.clone()
    wide = torch.complex128 if tensor.is_complex() else torch.float64
    mean = tensor.detach().to(wide) * weight
    for other, share in terms[1:]:
        mean.add_(other.detach().to(wide), alpha=share)
    return mean.to(tensor.dtype)
