"""Weights as integers modulo 2^64, whose sums are exact.

A number x is stored as the integer nearest to x * 2^24, so it is off by at most 2^-25. The sum of K parties must stay
below 2^63, so each may store numbers up to 2^39 / K in magnitude. Of FedAvg, n_k w_k is stored: with three parties of
60,000 samples each, weights up to three million fit, and their mean is off by at most 2^-25 / 60,000.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
import torch

from playground_ext.errors import AggregationError
from playground_ext.fed_avg.aggregation import StateDict

__all__ = ["FRACTION_BITS", "Words", "decode_mean", "encode_weighted", "largest", "words_of"]

FRACTION_BITS = 24
Words: TypeAlias = np.ndarray[tuple[int], np.dtype[np.uint64]]  # integers modulo 2^64

_SMALLER = "look why the weights have become so large; a smaller learning rate may help"


def largest(parties: int) -> float:
    """The magnitude below which every number of `parties` parties fits."""
    return float(2.0 ** (63 - FRACTION_BITS) / parties)


def words_of(state: Mapping[str, torch.Tensor]) -> int:
    """How many words `encode_weighted` makes of such a state dict."""
    return 1 + sum(tensor.numel() for tensor in state.values() if tensor.is_floating_point())


def encode_weighted(state: Mapping[str, torch.Tensor], samples: int, *, parties: int) -> Words:
    """The number of samples, then samples times each floating-point number of the state dict, in its order.

    Integer tensors have no mean and are left out.

    Raises:
        AggregationError: a number that is not finite or does not fit, named by its tensor; or complex tensors.
    """
    limit = largest(parties)
    pieces = [np.array([samples], dtype=np.int64)]
    for name, tensor in state.items():
        if tensor.is_complex():
            raise AggregationError(f"{name} is complex; fixed-point numbers are real")
        if not tensor.is_floating_point():
            continue
        numbers = tensor.detach().cpu().double().numpy().reshape(-1)
        if not np.isfinite(numbers).all():
            raise AggregationError(f"{name} holds numbers that are not finite", next_step=_SMALLER)
        numbers = numbers * samples
        greatest = float(np.abs(numbers).max(initial=0.0))
        if greatest >= limit:
            raise AggregationError(
                f"{name} times {samples:,} samples reaches {greatest:g}, which does not fit into a masked number "
                f"(less than {limit:g} with {parties} parties)",
                next_step=_SMALLER,
            )
        pieces.append(np.rint(numbers * 2.0**FRACTION_BITS).astype(np.int64))
    return np.concatenate(pieces).view(np.uint64)


def decode_mean(total: Words, like: Mapping[str, torch.Tensor]) -> tuple[int, StateDict]:
    """All samples, and the weighted mean in the shapes and dtypes of `like`, whose integer tensors are copied.

    Raises:
        AggregationError: the parties had no samples at all.
    """
    numbers = total.view(np.int64)
    samples = int(numbers[0])
    if samples <= 0:
        raise AggregationError("the updates hold no samples", next_step="give at least one party training data")
    mean: StateDict = {}
    start = 1
    for name, tensor in like.items():
        if not tensor.is_floating_point():
            mean[name] = tensor.detach().clone()
            continue
        values = numbers[start : start + tensor.numel()] / (2.0**FRACTION_BITS * samples)
        mean[name] = torch.from_numpy(values).reshape(tensor.shape).to(tensor.dtype)
        start += tensor.numel()
    return samples, mean
