"""DP-FedAvg's maths against McMahan et al. (2018), and its epsilon against opacus and a calculation by hand."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from playground_ext.errors import AggregationError, ConfigError
from playground_ext.fed_avg.differential_privacy import (
    bounded_average,
    capped_weight,
    clip,
    clip_factor,
    noise_deviation,
    noisy,
)
from playground_ext.fed_avg.os_random import normal, poisson_sample
from playground_ext.fed_avg.privacy_accounting import ORDERS, epsilon

State = dict[str, torch.Tensor]


def norm(state: State) -> float:
    return math.sqrt(sum(float(tensor.double().square().sum()) for tensor in state.values()))


def test_weights_grow_with_the_samples_up_to_the_cap() -> None:
    # w_k = min(n_k / w_cap, 1)
    assert [capped_weight(n, 100) for n in (0, 25, 100, 5000)] == [0.0, 0.25, 1.0, 1.0]


def test_flat_clipping_shortens_all_tensors_together() -> None:
    # by hand: the norm over both tensors is sqrt(3² + 4² + 12²) = 13; clipped to 6.5 everything is halved
    clipped = clip({"a": torch.tensor([3.0, 4.0]), "b": torch.tensor([[12.0]])}, 6.5)

    torch.testing.assert_close(clipped["a"], torch.tensor([1.5, 2.0], dtype=torch.float64))
    torch.testing.assert_close(clipped["b"], torch.tensor([[6.0]], dtype=torch.float64))


@given(
    numbers=st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=30),
    bound=st.floats(1e-3, 1e3),
)
def test_nothing_is_longer_than_the_bound_and_what_is_shorter_stays_as_it_is(
    numbers: list[float], bound: float
) -> None:
    difference = {"w": torch.tensor(numbers)}
    clipped = clip(difference, bound)

    assert norm(clipped) <= bound  # exactly, not up to rounding
    if norm(difference) <= bound:
        assert torch.equal(clipped["w"], difference["w"].double())
    else:
        assert norm(clipped) == pytest.approx(bound, rel=1e-9)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_cannot_be_clipped(bad: float) -> None:
    with pytest.raises(AggregationError, match="not finite"):
        clip_factor({"w": torch.tensor([1.0, bad])}, 1.0)


def test_the_estimator_divides_by_the_expected_weight_not_by_the_sampled_one() -> None:
    # by hand: S = 5, Δ_1 = (3, 4) stays, Δ_2 = (0, 10) becomes (0, 5); w = 1 and 0.5; qW = 0.5 * 4 = 2
    # (1 * (3, 4) + 0.5 * (0, 5)) / 2 = (1.5, 3.25)
    like = {"w": torch.zeros(2)}
    average = bounded_average(
        [{"w": torch.tensor([3.0, 4.0])}, {"w": torch.tensor([0.0, 10.0])}], [1.0, 0.5], like=like, S=5.0, q=0.5, W=4.0
    )

    torch.testing.assert_close(average["w"], torch.tensor([1.5, 3.25], dtype=torch.float64))


def test_a_round_without_any_sampled_party_moves_nothing() -> None:
    average = bounded_average([], [], like={"w": torch.ones(2, 3)}, S=1.0, q=0.1, W=3.0)

    assert torch.equal(average["w"], torch.zeros(2, 3, dtype=torch.float64))


@settings(max_examples=50)
@given(seed=st.integers(0, 2**32), parties=st.integers(1, 6), q=st.floats(0.05, 1.0), bound=st.floats(0.01, 10))
def test_one_party_moves_the_estimate_by_no_more_than_its_sensitivity(
    seed: int, parties: int, q: float, bound: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    differences = [{"w": 20 * torch.randn(12, generator=generator)} for _ in range(parties)]
    weights = torch.rand(parties, generator=generator).tolist()
    fixed = {"like": {"w": torch.zeros(12)}, "S": bound, "q": q, "W": 3.0}

    with_all = bounded_average(differences, weights, **fixed)["w"]
    without = bounded_average(differences[1:], weights[1:], **fixed)["w"]

    assert float((with_all - without).norm()) <= bound / (q * 3.0) * (1 + 1e-9)  # S / (qW), because w_k <= 1


def test_the_noise_has_the_papers_standard_deviation() -> None:
    z, bound, q, total = 1.3, 0.7, 0.4, 5.0
    deviation = noise_deviation(z=z, S=bound, q=q, W=total)
    assert deviation == z * bound / (q * total)

    count = 400_000
    average = {"a": torch.full((count // 2,), 3.0), "b": torch.full((2, count // 4), 3.0)}
    noise = torch.cat([(tensor - 3.0).reshape(-1) for tensor in noisy(average, deviation).values()]).numpy()
    # The standard error of a sample deviation is sigma / sqrt(2n), of a mean sigma / sqrt(n). Six of them are missed
    # once in 500 million runs.
    assert noise.std() == pytest.approx(deviation, abs=6 * deviation / math.sqrt(2 * count))
    assert noise.mean() == pytest.approx(0.0, abs=6 * deviation / math.sqrt(count))
    # the share within one and two deviations, known for a normal distribution; binomial errors
    for multiple, share in ((1, 0.682689), (2, 0.954500)):
        inside = np.mean(np.abs(noise) < multiple * deviation)
        assert inside == pytest.approx(share, abs=6 * math.sqrt(share * (1 - share) / count))


def test_no_seed_repeats_the_noise_and_no_two_numbers_share_it() -> None:
    drawn = []
    for _ in range(2):
        torch.manual_seed(0)
        np.random.seed(0)
        drawn.append(normal((1000,), 1.0))

    assert len(torch.cat(drawn).unique()) == 2000
    assert abs(np.corrcoef(drawn[0], drawn[1])[0, 1]) < 6 / math.sqrt(1000)


@pytest.mark.parametrize("shape", [(), (1,), (3,), (0,), (2, 3)])
def test_noise_has_the_shape_that_is_asked_for(shape: tuple[int, ...]) -> None:
    assert normal(shape, 2.0).shape == torch.Size(shape)
    assert normal(shape, 2.0).dtype == torch.float64


def test_without_noise_the_average_stays_as_it_is() -> None:
    average = {"w": torch.tensor([1.0, 2.0])}
    assert noisy(average, 0.0) == average


def test_every_party_is_sampled_with_its_own_throw() -> None:
    names = [f"p{n}" for n in range(20_000)]
    sampled = poisson_sample(names, 0.3)
    # binomial: 6000 expected, deviation sqrt(20000 * 0.3 * 0.7) = 64.8
    assert abs(len(sampled) - 6000) < 6 * 64.8
    assert sampled == sorted(set(sampled), key=lambda name: int(name[1:]))
    assert poisson_sample(names, 1.0) == names
    assert poisson_sample(names, 0.3) != sampled


@pytest.mark.parametrize(("q", "z", "rounds"), [(1.0, 1.0, 10), (0.1, 1.0, 100), (0.01, 0.8, 1000), (0.5, 3.0, 7)])
def test_epsilon_is_the_accountants_own(q: float, z: float, rounds: int) -> None:
    from opacus.accountants import RDPAccountant  # here, because importing it takes 3 s

    accountant = RDPAccountant()
    for _ in range(rounds):
        accountant.step(noise_multiplier=z, sample_rate=q)

    expected, _ = accountant.get_privacy_spent(delta=1e-5, alphas=ORDERS)
    assert epsilon(q=q, z=z, rounds=rounds, delta=1e-5) == expected


def test_epsilon_of_the_unsampled_gaussian_mechanism_by_hand() -> None:
    # Its Renyi divergence of order a is a / (2 z²) a round (Mironov, 2017); converted as Balle et al. (2020) do it.
    z, rounds, delta = 2.0, 5, 1e-6
    bounds = [rounds * a / (2 * z * z) + math.log1p(-1 / a) - (math.log(delta) + math.log(a)) / (a - 1) for a in ORDERS]
    assert epsilon(q=1.0, z=z, rounds=rounds, delta=delta) == pytest.approx(min(bounds), rel=1e-9)


def test_more_rounds_cost_more_and_more_noise_costs_less() -> None:
    def spent(**changes: float) -> float:
        return epsilon(**{"q": 0.5, "z": 1.0, "rounds": 10, "delta": 1e-5, **changes})  # type: ignore[arg-type]

    usual = spent()  # takes a while
    assert spent(rounds=20) > usual > spent(rounds=5)
    assert spent(z=2.0) < usual < spent(z=0.5)
    assert spent(q=0.1) < usual < spent(q=1.0)
    assert spent(rounds=0) == 0.0
    assert spent(z=0) == math.inf


def test_an_accountant_that_is_not_installed_is_named_with_the_line_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "opacus"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opacus", None)  # what Python does for a package that is not there

    with pytest.raises(ConfigError, match=r"pip install 'playground-ext\[privacy\]'"):
        epsilon(q=1.0, z=1.0, rounds=1, delta=1e-5)
