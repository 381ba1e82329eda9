"""Seeds that follow from (task seed, party, round), so that a repeated round draws what it drew before."""

from __future__ import annotations

import hashlib

__all__ = ["derive_seed", "seed_everything"]


def derive_seed(task_seed: int, party: str, round: int) -> int:
    """63 bits of SHA-256; equal on every machine. Never use it for secrets or privacy noise."""
    digest = hashlib.sha256(f"{task_seed}/{party}/{round}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def seed_everything(task_seed: int, party: str, round: int) -> int:
    """Seed Python, NumPy and torch (all devices). Returns the seed."""
    import random

    import numpy as np
    import torch

    seed = derive_seed(task_seed, party, round)
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    return seed
