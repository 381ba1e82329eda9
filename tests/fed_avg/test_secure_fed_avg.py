"""Secure FedAvg as a task: the same model as FedAvg, with updates that nobody sees, also when parties drop out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from federation import Failed
from small_task import fed_avg

from playground_ext.errors import ConfigError
from playground_ext.fed_avg import SecureFedAvgScheduler
from playground_ext.fed_avg.fixed_point import encode_weighted

QUICK = {"calculation_timeout": 3, "schedule_timeout": 2}  # seconds


def mean_of(answers: dict[str, Any], parties: list[str], round: int) -> dict[str, np.ndarray]:
    """The weighted average of what these parties trained in a round."""
    updates = [answers[party]["trained"][round] for party in parties]
    total = sum(count for count, _ in updates)
    return {name: sum(count * state[name].astype(float) for count, state in updates) / total for name in updates[0][1]}


def encoded(answer: dict[str, Any], round: int, parties: int) -> np.ndarray:
    count, state = answer["trained"][round]
    return encode_weighted({name: torch.from_numpy(values) for name, values in state.items()}, count, parties=parties)


def test_it_trains_the_same_model_as_fedavg(play: Any) -> None:
    answers = play("Secure", collaborators=3)

    expected = fed_avg(3, rounds=2)
    for answer in answers.values():
        for name, values in answer["model"].items():
            # fixed-point numbers are off by 3e-8 / samples, which the second round's training amplifies a little
            np.testing.assert_allclose(values, expected[name].numpy(), rtol=1e-4, atol=1e-6)


def test_the_aggregator_sees_masked_vectors_whose_sum_alone_means_something(play: Any) -> None:
    runs = [play("SecureWithUpdates", collaborators=3, task=task, max_rounds=1) for task in ("first", "second")]

    parties = ["collaborator-1", "collaborator-2", "collaborator-3"]
    masked = []
    for answers in runs:
        received, updates = answers["aggregator"]["seen"]
        vectors = {party: np.frombuffer(received[party], "<u8") for party in parties}
        truth = {party: encoded(answers[party], 1, 3) for party in parties}
        assert not any((vectors[party] == truth[party]).any() for party in parties)
        assert not (sum(vectors.values()) == sum(truth.values())).any()  # own masks are still on the sum
        assert updates == [(" + ".join(parties), 64 + 88 + 112)]  # one update, no single number of samples
        expected = mean_of(answers, parties, 1)
        for name, values in answers["aggregator"]["model"].items():
            np.testing.assert_allclose(values, expected[name], rtol=1e-6, atol=1e-7)
        masked.append(vectors)
    # equal seeds, equal weights, other masks
    assert np.array_equal(encoded(runs[0]["collaborator-1"], 1, 3), encoded(runs[1]["collaborator-1"], 1, 3))
    assert not any((masked[0][party] == masked[1][party]).any() for party in parties)


def test_a_party_that_is_late_after_sharing_its_keys_is_left_out_exactly_and_comes_back(play: Any) -> None:
    late = {"collaborator-3": {"misbehave": {2: "sleep 7"}}}
    answers = play("SecureWithUpdates", collaborators=3, parties=late, max_rounds=3, **QUICK)

    first, second = ["collaborator-1", "collaborator-2", "collaborator-3"], ["collaborator-1", "collaborator-2"]
    updates = [seen for seen in answers["aggregator"]["seen"] if isinstance(seen, list)]
    assert updates[0] == [(" + ".join(first), 264)]
    assert updates[1] == [(" + ".join(second), 152)]  # its masks were taken off with shares
    assert all(answer["rounds"] == 3 for answer in answers.values())
    expected = mean_of(answers, second, 2)
    for name, values in answers["aggregator"]["averages"][1].items():
        np.testing.assert_allclose(values, expected[name], rtol=1e-6, atol=1e-7)
    finals = [answer["model"] for answer in answers.values()]
    assert all(np.array_equal(final[name], finals[0][name]) for final in finals for name in final)


def test_a_party_whose_process_dies_after_sharing_its_keys_is_recovered_from(play: Any) -> None:
    dead = {"collaborator-3": {"misbehave": {2: "die"}}}
    answers = play("SecureWithUpdates", collaborators=3, parties=dead, dying="collaborator-3", max_rounds=3)

    survivors = ["collaborator-1", "collaborator-2"]
    assert set(answers) == {"aggregator", *survivors}
    updates = [seen for seen in answers["aggregator"]["seen"] if isinstance(seen, list)]
    assert updates == [
        [("collaborator-1 + collaborator-2 + collaborator-3", 264)],
        [(" + ".join(survivors), 152)],
        [(" + ".join(survivors), 152)],
    ]
    expected = mean_of(answers, survivors, 3)
    for answer in answers.values():
        for name, values in answer["model"].items():
            np.testing.assert_allclose(values, expected[name], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("victim", "place"),
    [
        ("collaborator-2", "train 2"),
        ("aggregator", "keys 2"),
        ("aggregator", "shares 2"),
        ("aggregator", "masked 2"),
        ("aggregator", "reveal 2"),
    ],
)
def test_a_party_that_is_killed_and_comes_back_ends_with_the_model_of_an_undisturbed_task(
    play: Any, victim: str, place: str
) -> None:
    dies = {victim: {"die_once_in": place}}
    answers = play("Secure", collaborators=3, t=3, wait=True, parties=dies, returning=victim)

    expected = fed_avg(3, rounds=2)
    for answer in answers.values():
        assert answer["rounds"] == 2
        for name, values in answer["model"].items():
            np.testing.assert_allclose(values, expected[name].numpy(), rtol=1e-4, atol=1e-6)


def test_fewer_survivors_than_the_threshold_end_the_task_by_name(play: Any) -> None:
    late = {party: {"misbehave": {1: "sleep 20"}} for party in ("collaborator-2", "collaborator-3")}
    answers = play("Secure", collaborators=3, parties=late, may_fail=True, **QUICK)

    failure = answers["aggregator"]
    assert isinstance(failure, Failed)
    assert failure.error == "TooFewSurvivors"
    assert (
        "secure aggregation goes on with 2 collaborators; collaborator-2, collaborator-3 sent no 'masked'"
        in failure.text
    )


def test_weights_that_do_not_fit_are_named_by_their_tensor(play: Any) -> None:
    answers = play("Diverging", collaborators=2, may_fail=True, max_rounds=1)

    assert any("2.bias holds numbers that are not finite" in answer.text for answer in answers.values())


def test_the_aggregators_own_update_counts_too_when_it_is_involved(play: Any) -> None:
    answers = play("SecureWithUpdates", collaborators=2, max_rounds=1, involve_aggregator=True)

    updates = [seen for seen in answers["aggregator"]["seen"] if isinstance(seen, list)]
    assert updates == [[("aggregator", 40), ("collaborator-1 + collaborator-2", 152)]]


def test_no_secret_is_left_when_the_task_is_over(play: Any) -> None:
    answers = play("Secure", collaborators=2)

    assert {party: answer["private"] for party, answer in answers.items()} == {party: [] for party in answers}


@pytest.mark.parametrize(
    ("collaborators", "options", "said"),
    [
        (1, {}, "a sum of one hides nothing"),
        (2, {"t": 3}, "secure aggregation with t=3 needs as many collaborators; there are 2"),
    ],
)
def test_too_few_collaborators_are_refused_before_anything_starts(
    play: Any, collaborators: int, options: dict[str, int], said: str
) -> None:
    answers = play("Secure", collaborators=collaborators, may_fail=True, **options)

    assert all(isinstance(answer, Failed) and answer.error == "ConfigError" for answer in answers.values()), answers
    assert said in answers["aggregator"].text


@pytest.mark.parametrize("t", [0, 1, -3, 2.5, True])
def test_a_threshold_that_protects_nobody_is_refused(t: Any) -> None:
    with pytest.raises(ConfigError, match="cannot be a threshold"):
        SecureFedAvgScheduler(t)
