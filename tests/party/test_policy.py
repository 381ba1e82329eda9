"""A failing party and the others: the scheduler decides, else the environment, else what fits the notebook."""

from __future__ import annotations

import pytest

from playground_ext.errors import ConfigError
from playground_ext.party.policy import FailurePolicy


@pytest.fixture(autouse=True)
def _nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PLAYGROUND_ON_PARTY_FAILURE", raising=False)
    monkeypatch.delenv("PLAYGROUND_REPAIR_TIMEOUT", raising=False)


def test_people_are_waited_for_and_programs_stop() -> None:
    assert FailurePolicy.choose(None, None, interactive=True).wait
    assert not FailurePolicy.choose(None, None, interactive=False).wait
    assert FailurePolicy.choose(None, None, interactive=True).repair_timeout == 1800


def test_the_scheduler_counts_more_than_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYGROUND_ON_PARTY_FAILURE", "wait")
    monkeypatch.setenv("PLAYGROUND_REPAIR_TIMEOUT", "7")
    assert FailurePolicy.choose(None, None, interactive=False) == FailurePolicy(True, 7.0, 0)
    assert FailurePolicy.choose("stop", 3, quorum=2, interactive=True) == FailurePolicy(False, 3, 2)


@pytest.mark.parametrize(("said", "seconds"), [("retry", None), ("wait", -1.0)])
def test_what_makes_no_sense_is_refused(said: str, seconds: float | None) -> None:
    with pytest.raises(ConfigError, match=r"on_party_failure='retry'|repair_timeout=-1\.0"):
        FailurePolicy.choose(said, seconds, interactive=False)


def test_it_travels_in_the_description_of_the_run() -> None:
    policy = FailurePolicy(True, 12.0, 3)
    assert FailurePolicy.of({"policy": policy.as_json()}) == policy
    assert FailurePolicy.of({}) == FailurePolicy()
