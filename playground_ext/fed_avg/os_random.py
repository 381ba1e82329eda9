"""Random numbers from the operating system's generator, for noise and choices that nobody may be able to repeat.

The schedulers seed Python, NumPy and torch, so that training can be repeated; privacy noise must not be. Nothing here
has a seed.
"""

from __future__ import annotations

import math
import os
import random
from collections.abc import Sequence

import numpy as np
import torch

__all__ = ["normal", "poisson_sample"]

_SUMMED = 4  # draws behind each number


def normal(shape: Sequence[int], deviation: float) -> torch.Tensor:
    """Independent normal numbers of mean 0, float64.

    Each is the sum of four draws (Box and Muller, 1958), halved: the gaps between the numbers that a single draw in
    floating point can reach would tell something about what noise is added to (Mironov, 2012; the remedy is Holohan
    and Braghin's, 2021).
    """
    count = math.prod(shape)
    pairs = -(-count // 2)
    uniform = _uniform(2 * _SUMMED * pairs).reshape(2, _SUMMED, pairs)
    radius, angle = np.sqrt(-2 * np.log(uniform[0])), 2 * np.pi * uniform[1]
    drawn = np.concatenate([(radius * np.cos(angle)).sum(axis=0), (radius * np.sin(angle)).sum(axis=0)])[:count]
    return torch.from_numpy(drawn * (deviation / math.sqrt(_SUMMED))).reshape(tuple(shape))


def poisson_sample(names: Sequence[str], probability: float) -> list[str]:
    """Each name with this probability, independently of the others; in their order."""
    generator = random.SystemRandom()
    return [name for name in names if generator.random() < probability]


def _uniform(count: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Uniform in (0, 1], multiples of 2**-53."""
    words = np.frombuffer(os.urandom(8 * count), dtype="<u8") >> 11
    drawn: np.ndarray[tuple[int], np.dtype[np.float64]] = (words.astype(np.float64) + 1.0) * 2.0**-53
    return drawn
