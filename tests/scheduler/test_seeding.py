from __future__ import annotations

import hashlib
import random

import numpy as np
import torch

from playground_ext.scheduler.seeding import derive_seed, seed_everything


def draw(task_seed: int, party: str, round: int) -> tuple[float, float, float]:
    seed_everything(task_seed, party, round)
    return random.random(), float(np.random.rand()), float(torch.rand(1))


def test_the_same_task_seed_party_and_round_draw_the_same_numbers() -> None:
    assert draw(5, "alice", 3) == draw(5, "alice", 3)


def test_another_seed_party_or_round_draws_others() -> None:
    draws = {draw(5, "alice", 3), draw(6, "alice", 3), draw(5, "bob", 3), draw(5, "alice", 4)}

    assert len(draws) == 4


def test_the_seed_is_what_the_design_says() -> None:
    digest = hashlib.sha256(b"5/alice/3").digest()

    assert derive_seed(5, "alice", 3) == int.from_bytes(digest[:8], "big") // 2
