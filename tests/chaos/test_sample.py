"""A sample of `make chaos`: whatever is killed at whatever step, the result is the undisturbed one, bit for bit."""

from __future__ import annotations

import pytest
from federation_under_attack import Strike, play
from sweep import plan, sample

SEED = 7
SHARES = {
    "fed_avg": 6,
    "fed_avg_quorum": 2,
    "secure_fed_avg": 2,
    "fed_sgd": 1,
    "hetero_nn": 6,
    "psi_ecdh": 2,
    "psi_rsa": 1,
}
CONTROLS = {"fed_avg": 2, "hetero_nn": 2, "psi_ecdh": 1}


def _described(strike: Strike, steps: dict[str, list[str]]) -> str:
    return f"{strike.target} killed at {strike.party}:{strike.at} ({steps[strike.party][strike.at - 1]})"


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SHARES)
def test_whatever_is_killed_the_result_is_that_of_an_undisturbed_run(undisturbed, scenario):
    expected = undisturbed(scenario)
    for strike in sample(plan(expected), SHARES[scenario], SEED):
        outcome = play(scenario, strike, expected=expected.answers)
        assert not outcome.problem, f"{_described(strike, expected.steps)}: {outcome.problem}\n{outcome.evidence}"


@pytest.mark.parametrize("scenario", CONTROLS)
def test_the_same_kills_end_the_task_when_recovery_is_switched_off(undisturbed, scenario):
    """Otherwise the kills above would hit nothing."""
    expected = undisturbed(scenario)
    for strike in sample(plan(expected), SHARES[scenario], SEED)[: CONTROLS[scenario]]:
        outcome = play(scenario, strike, expected=expected.answers, recovery=False)
        assert outcome.problem, f"{_described(strike, expected.steps)} did no harm"
