"""The maths of DP-FedAvg (McMahan, Ramage, Talwar & Zhang, 2018, "Learning Differentially Private Recurrent Language
Models", algorithm 1). Pure but for the noise, which comes from the operating system.

    w_k = min(n_k / w_cap, 1)                       weight of party k with n_k samples
    W   = sum of w_k over all parties
    Δ_k = FlatClip(θ_k - θ; S)                      what party k learned, no longer than S
    f̃_f = sum over the sampled k of w_k Δ_k / (q W)   its sensitivity is S / (q W): one party moves it no further
    θ'  = θ + f̃_f + N(0, sigma² I),  sigma = z S / (q W)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch

from playground_ext.errors import AggregationError
from playground_ext.fed_avg.aggregation import StateDict
from playground_ext.fed_avg.os_random import normal

__all__ = ["bounded_average", "capped_weight", "clip", "clip_factor", "noise_deviation", "noisy"]

_ROUNDING = 1e-12  # relative; more than what double precision can add to a norm


def capped_weight(samples: int, w_cap: float) -> float:
    """w_k = min(n_k / w_cap, 1)."""
    return min(samples / w_cap, 1.0)


def clip_factor(difference: Mapping[str, torch.Tensor], bound: float) -> float:
    """What to multiply with so that all tensors together are no longer than `bound` (L2): min(1, bound / norm).

    Raises:
        AggregationError: a value that is infinite or not a number.
    """
    norm = math.sqrt(sum(float(tensor.detach().double().square().sum()) for tensor in difference.values()))
    if not math.isfinite(norm):
        raise AggregationError(
            "the weights after training are not finite numbers", next_step="take a smaller learning rate"
        )
    return 1.0 if norm <= bound else bound / norm * (1 - _ROUNDING)


def clip(difference: Mapping[str, torch.Tensor], bound: float) -> StateDict:
    """FlatClip: all tensors together, in double precision, shortened to `bound` if they are longer. Raises as above."""
    factor = clip_factor(difference, bound)
    return {name: tensor.detach().double() * factor for name, tensor in difference.items()}


def noise_deviation(*, z: float, S: float, q: float, W: float) -> float:
    """sigma = z S / (q W): z times what one party can move the average."""
    return z * S / (q * W)


def bounded_average(
    differences: Sequence[Mapping[str, torch.Tensor]],
    weights: Sequence[float],
    *,
    like: Mapping[str, torch.Tensor],
    S: float,
    q: float,
    W: float,
) -> StateDict:
    """f̃_f: the sampled parties' weighted differences, each clipped to S, over q W; float64, in the shapes of `like`.

    Without any sampled party it is zero. The denominator is not the sum of the sampled weights: that would depend on
    who was sampled, and one party could move such a mean by more than S / (q W).
    """
    total = {name: torch.zeros(tensor.shape, dtype=torch.float64) for name, tensor in like.items()}
    for difference, weight in zip(differences, weights, strict=True):
        for name, tensor in clip(difference, S).items():
            total[name].add_(tensor.cpu(), alpha=weight / (q * W))
    return total


def noisy(average: Mapping[str, torch.Tensor], deviation: float) -> StateDict:
    """The average plus independent normal noise from the operating system on each number; 0 adds none."""
    if deviation == 0:
        return dict(average)
    return {name: tensor + normal(tensor.shape, deviation) for name, tensor in average.items()}
