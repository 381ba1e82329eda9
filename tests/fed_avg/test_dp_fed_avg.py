"""DP-FedAvg as a task: clipping and averaging against a loop by hand, noise against the paper's deviation."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_task import Local, start
from torch import nn

from playground_ext.errors import ConfigError
from playground_ext.fed_avg import DPFedAvgScheduler
from playground_ext.fed_avg.privacy_accounting import epsilon

NOTHING = {"w_cap": 1, "q": 1.0, "S": 1e6, "z": 0.0}  # all weights 1, everybody sampled, nothing clipped, no noise


def logs(tmp_path: Path, party: str, task: str = "task") -> str:
    lines = (tmp_path / "home" / task / party / "logs.jsonl").read_text("utf-8").splitlines()
    return "\n".join(json.loads(line)["text"] for line in lines)


def by_hand(rounds: int, *, clip: float, w_cap: float) -> dict[str, torch.Tensor]:
    torch.set_num_threads(1)
    weights = start()
    locals_ = [Local(f"collaborator-{n}", n) for n in (1, 2)]
    shares = [min(local.samples / w_cap, 1.0) for local in locals_]
    for round in range(1, rounds + 1):
        states = [local.train(weights, round, clip=clip) for local in locals_]
        weights = {
            name: start + sum(w * (state[name] - start) for w, state in zip(shares, states, strict=True)) / sum(shares)
            for name, start in weights.items()
        }
    return weights


@pytest.mark.parametrize(("clip", "w_cap"), [(1e6, 1), (0.4, 80)])  # 64 and 88 samples: weights 0.8 and 1
def test_without_noise_it_is_the_clipped_and_capped_average_by_hand(play: Any, clip: float, w_cap: float) -> None:
    answers = play("Private", **{**NOTHING, "S": clip, "w_cap": w_cap})

    expected = by_hand(2, clip=clip, w_cap=w_cap)
    for answer in answers.values():
        for name, values in answer["model"].items():
            np.testing.assert_allclose(values, expected[name].numpy(), rtol=1e-4, atol=1e-5)


def test_no_round_moves_the_model_further_than_the_bound(play: Any) -> None:
    answers = play("Private", max_rounds=1, **{**NOTHING, "S": 0.25})

    begin = start()
    _, trained = answers["collaborator-1"]["trained"][1]
    moved = math.sqrt(sum(float(((trained[name] - begin[name].numpy()) ** 2).sum()) for name in begin))
    assert moved == pytest.approx(0.25, rel=1e-5)  # training alone goes much further
    final = answers["aggregator"]["model"]
    assert math.sqrt(sum(float(((final[name] - begin[name].numpy()) ** 2).sum()) for name in begin)) <= 0.25 + 1e-6


def test_the_noise_of_a_round_has_the_papers_deviation_and_is_never_the_same(play: Any) -> None:
    settings = {"w_cap": 80, "q": 1.0, "S": 0.5, "z": 2.0}  # W = 0.8 + 1, so z S / (q W) = 0.5556
    first = play("Private", task="first", max_rounds=1, **settings)
    second = play("Private", task="second", max_rounds=1, **settings)

    quiet = by_hand(1, clip=0.5, w_cap=80)

    def noise(answers: dict[str, Any]) -> np.ndarray:
        final = answers["collaborator-2"]["model"]
        return np.concatenate([(final[name] - quiet[name].numpy()).reshape(-1) for name in quiet])

    deviation, count = 2.0 * 0.5 / 1.8, 2003
    for answers in (first, second):
        # the standard error of a sample deviation is sigma / sqrt(2n) = 1.6 % here
        assert noise(answers).std() == pytest.approx(deviation, abs=6 * deviation / math.sqrt(2 * count))
        assert abs(noise(answers).mean()) < 6 * deviation / math.sqrt(count)
        assert answers["aggregator"]["seen"] == [{"same": False}]  # no number, of the same updates twice
    assert abs(np.corrcoef(noise(first), noise(second))[0, 1]) < 6 / math.sqrt(count)  # equal seeds, other noise


@pytest.mark.parametrize("place", ["test 2", "train 2"])
def test_an_aggregator_that_is_killed_and_comes_back_does_not_draw_published_noise_again(
    play: Any, tmp_path: Path, place: str
) -> None:
    victim = "aggregator" if place.startswith("test") else "collaborator-1"
    answers = play(
        "Private",
        **{**NOTHING, "z": 0.001, "S": 0.5},
        max_rounds=3,
        log_rounds=1,
        wait=True,
        parties={victim: {"die_once_in": place}},
        returning=victim,
    )

    lines = [line.split() for line in (tmp_path / "scripts" / "aggregator.tests").read_text().splitlines()]
    tested: dict[str, set[str]] = {}
    for round, norm in lines:
        tested.setdefault(round, set()).add(norm)
    assert sorted(tested) == ["1", "2", "3"]
    assert all(len(norms) == 1 for norms in tested.values())  # round 2 was tested twice, and was the same model
    assert len(lines) == (4 if victim == "aggregator" else 3)
    final = answers["aggregator"]["model"]
    assert all(np.array_equal(final[name], answer["model"][name]) for answer in answers.values() for name in final)


def test_parties_that_are_not_sampled_do_not_count(play: Any) -> None:
    # with q = 1e-9 nobody is ever sampled, and without noise the model stays what it was
    answers = play("Private", **{**NOTHING, "q": 1e-9})

    for name, weights in start().items():
        assert np.array_equal(answers["collaborator-1"]["model"][name], weights.numpy())
    assert set(answers["collaborator-1"]["trained"]) == {1, 2}  # but they train, so that nobody sees who was sampled


def test_epsilon_of_every_round_is_a_metric_and_the_accountants(play: Any, tmp_path: Path) -> None:
    settings = {"w_cap": 80, "q": 0.5, "S": 0.5, "z": 1.5}
    answers = play("Private", max_rounds=3, delta=1e-4, **settings)

    expected = {round: epsilon(q=0.5, z=1.5, rounds=round, delta=1e-4) for round in (1, 2, 3)}
    assert answers["aggregator"]["epsilon"] == expected
    assert f"privacy so far: ε = {expected[3]:.2f} at δ = 0.0001" in logs(tmp_path, "collaborator-1") + logs(
        tmp_path, "aggregator"
    )


def test_numbers_of_the_training_are_not_published(play: Any, tmp_path: Path) -> None:
    answers = play("PrivateEpochs", log_rounds=1, **{**NOTHING, "S": 0.25})

    assert answers["collaborator-1"]["metrics"] == set()
    assert "what train_an_epoch() returns is not published" in logs(tmp_path, "collaborator-1")
    assert answers["aggregator"]["metrics"] == {"test/norm"}
    begin = start()
    _, trained = answers["collaborator-2"]["trained"][1]  # an own epoch is clipped at its end
    moved = math.sqrt(sum(float(((trained[name] - begin[name].numpy()) ** 2).sum()) for name in begin))
    assert moved <= 0.25 * (1 + 1e-5)


def test_no_noise_is_no_guarantee_and_says_so(play: Any, tmp_path: Path) -> None:
    answers = play("Private", max_rounds=1, **NOTHING)

    assert answers["aggregator"]["epsilon"] == {}
    assert "z=0: no noise is added, and there is no privacy guarantee" in logs(tmp_path, "aggregator")


def test_without_the_accountant_it_runs_and_says_how_to_install_it(play: Any, tmp_path: Path) -> None:
    answers = play("Private", max_rounds=1, without_opacus=True, **{**NOTHING, "z": 1.0})

    assert answers["aggregator"]["epsilon"] == {}
    said = "ε is not reported, because the accountant is not installed: pip install 'playground-ext[privacy]'"
    assert said in logs(tmp_path, "aggregator")


def test_running_statistics_are_refused() -> None:
    class Normalised(DPFedAvgScheduler):
        model = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))

    with pytest.raises(ConfigError, match="1 is a BatchNorm1d: its running statistics are made of the data"):
        Normalised(**NOTHING).validate_context()

    Normalised.model[1] = nn.BatchNorm1d(4, track_running_stats=False)
    Normalised(**NOTHING).validate_context()


@pytest.mark.parametrize(
    ("name", "value"),
    [("w_cap", 0), ("q", 0), ("q", 1.5), ("S", 0), ("S", math.inf), ("z", -1), ("delta", 0), ("delta", 1)],
)
def test_arguments_that_make_no_sense_are_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"{name}=.* is out of range"):
        DPFedAvgScheduler(**{**NOTHING, name: value})


def test_a_scheduler_without_a_training_step_names_the_hook() -> None:
    with pytest.raises(ConfigError, match="DPFedAvgScheduler has no train_a_batch"):
        DPFedAvgScheduler(**NOTHING).train_a_batch()
