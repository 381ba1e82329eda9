"""What people get wrong in split learning, and whether the error says which batch, which party and how many samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

PARTIES = Path(__file__).with_name("split_parties.py")


def _play(federation: Any, host: tuple[str, dict[str, Any]], collaborator: tuple[str, dict[str, Any]]) -> Any:
    return federation(PARTIES, {"host": host, "collaborator-1": collaborator})


def _host(**more: Any) -> tuple[str, dict[str, Any]]:
    return ("host", more)


def _collaborator(**more: Any) -> tuple[str, dict[str, Any]]:
    return ("collaborator", {"key": "collaborator-1", **more})


def _changed(base: str, change: str, **more: Any) -> tuple[str, dict[str, Any]]:
    key = "host" if base == "host" else "collaborator-1"
    return ("changed", {"base": base, "change": change, "key": key, **more})


def _assert_ends(answers: Any, error: str, *texts: str, culprit: str = "host") -> None:
    """The culprit raises `error`, and everybody else is told its text."""
    assert answers[culprit].error == error, answers
    other = next(party for party in answers if party != culprit)
    assert answers[other].error == "PartyFailed", answers
    for text in texts:
        assert text in answers[culprit].text
        assert text in answers[other].text


def test_batch_sizes_that_differ_name_batch_party_and_samples(federation):
    answers = _play(federation, _host(options={"batch": 16}), _collaborator(options={"batch": 64}))

    _assert_ends(
        answers, "ProtocolError", "batch 0 of iterate_train_feature has 16 samples at host, 64 at collaborator-1"
    )
    assert "use the same batch_size in every notebook" in answers["host"].text


def test_another_order_is_found_by_the_ids_that_travel_as_a_digest(federation):
    options = {"ids": True}
    answers = _play(federation, _host(options=options), _changed("collaborator", "Reversed", options=options))

    _assert_ends(answers, "ProtocolError", "batch 0 of iterate_train_feature holds other samples at collaborator-1")


def test_a_split_with_other_counts_is_named_with_both(federation):
    answers = _play(federation, _host(), _changed("collaborator", "OtherSplit"))

    _assert_ends(answers, "ProtocolError", "host has 64 + 8, collaborator-1 has 62 + 8 to train and to test")


def test_a_split_with_equal_counts_but_other_samples_is_found(federation):
    answers = _play(federation, _host(), _changed("collaborator", "SwappedSplit"))

    _assert_ends(answers, "ProtocolError", "but they are not the same samples")


def test_a_feature_without_gradient_is_named_by_the_party_that_has_it(federation):
    answers = _play(federation, _host(), _changed("collaborator", "Detached"))

    _assert_ends(answers, "ConfigError", "carries no gradient", culprit="collaborator-1")
    assert "is_feature_trainable=False" in answers["collaborator-1"].text


def test_equal_feature_keys_name_both_parties(federation):
    answers = _play(federation, _host(key="same"), _collaborator(key="same"))

    _assert_ends(answers, "CheckInError", "host and collaborator-1 both use feature_key='same'")


@pytest.mark.parametrize("shorter", ["host", "collaborator-1"])
def test_iterators_of_different_length_are_named(federation, shorter):
    if shorter == "host":
        answers = _play(federation, _changed("host", "Short"), _collaborator())
    else:
        answers = _play(federation, _host(), _changed("collaborator", "Short"))

    other = "collaborator-1" if shorter == "host" else "host"
    _assert_ends(
        answers, "ProtocolError", f"of {shorter} ended after 3 batches, but {other} (16 samples) has another one"
    )


def test_no_overlap_is_said_before_any_training(federation):
    answers = _play(federation, _host(), _changed("collaborator", "NothingInCommon"))

    for answer in answers.values():
        assert "the parties have no sample in common" in answer.text


def test_tensors_of_one_batch_with_different_lengths_are_shown(federation):
    answers = _play(federation, _changed("host", "Uneven"), _collaborator())

    _assert_ends(answers, "ConfigError", "the features of a batch have the shapes (4, 2), (5, 2)")


def test_a_loss_that_ignores_a_party_is_remarked_and_changes_nothing_there(federation):
    answers = _play(federation, _changed("host", "Unused"), _collaborator())

    assert answers["host"]["rounds"] == 1
    errors = (Path(answers["host"]["folder"]).parents[1] / "logs.jsonl").read_text()
    assert errors.count("the loss does not depend on the features of collaborator-1") == 1


def test_a_host_without_collaborators_is_told_whom_it_needs(federation):
    answers = federation(
        PARTIES, {"host": ("changed", {"base": "host", "change": "Early", "key": "host"})}, nodes=["host"]
    )

    assert answers["host"].error == "ConfigError"
    assert "HeteroNN needs a host and at least one collaborator" in answers["host"].text


def test_is_task_finished_ends_the_task_early(federation):
    answers = _play(federation, _changed("host", "Early", max_rounds=5), _collaborator())

    assert answers["host"]["rounds"] == answers["collaborator-1"]["rounds"] == 2


def test_the_host_need_not_be_the_first_of_nodes(federation):
    parties = {"host": _host(max_rounds=1), "collaborator-1": _collaborator()}

    answers = federation(PARTIES, parties, nodes=["collaborator-1", "host"])

    assert answers["host"]["rounds"] == answers["collaborator-1"]["rounds"] == 1
