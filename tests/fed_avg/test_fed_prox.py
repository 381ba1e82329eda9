"""FedProx: with mu = 0 it is FedAvg, with mu > 0 what a loop by hand computes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from small_task import Local, start

from playground_ext.errors import ConfigError
from playground_ext.fed_avg import FedProxScheduler


def test_with_mu_0_it_is_fedavg_bit_for_bit(play: Any) -> None:
    plain, prox = play("Plain", task="plain"), play("Prox", task="prox", mu=0.0)

    for party, answer in plain.items():
        for name, values in answer["model"].items():
            assert values.tobytes() == prox[party]["model"][name].tobytes()


def test_with_mu_it_is_the_loop_by_hand(play: Any) -> None:
    answers = play("Prox", mu=0.8, max_rounds=3)

    torch.set_num_threads(1)
    weights = start()
    locals_ = [Local(f"collaborator-{n}", n) for n in (1, 2)]
    for round in (1, 2, 3):
        states = [(local.samples, local.train(weights, round, mu=0.8)) for local in locals_]
        total = sum(count for count, _ in states)
        weights = {name: sum(count * state[name] for count, state in states) / total for name in weights}
    plain = play("Plain", task="plain", max_rounds=3)
    for name, values in answers["collaborator-1"]["model"].items():
        np.testing.assert_allclose(values, weights[name].numpy(), rtol=1e-4, atol=1e-6)
        assert np.abs(values - plain["collaborator-1"]["model"][name]).max() > 1e-3  # mu makes a difference


def test_the_initiators_mu_counts(play: Any) -> None:
    mixed = play("Prox", task="mixed", parties={"aggregator": {"mu": 0.5}, "collaborator-1": {"mu": 0.0}})
    same = play("Prox", task="same", mu=0.5)

    for name, values in mixed["aggregator"]["model"].items():
        assert values.tobytes() == same["aggregator"]["model"][name].tobytes()


@pytest.mark.parametrize("mu", [-0.1, float("nan"), float("inf"), "much"])
def test_a_mu_that_cannot_be_one_is_refused(mu: Any) -> None:
    with pytest.raises(ConfigError, match="cannot weigh the proximal term"):
        FedProxScheduler(mu=mu)


def test_outside_training_there_is_no_proximal_term() -> None:
    with pytest.raises(ConfigError, match="no round is being trained"):
        FedProxScheduler(mu=0.1).calc_prox_loss(lambda: torch.ones(()))
