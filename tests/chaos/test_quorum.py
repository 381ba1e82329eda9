"""With a quorum stragglers and the dead are left out, with a reason, and come back."""

from __future__ import annotations

import signal

import pytest

QUORUM = {"quorum": 1, "calculation_timeout": 3, "schedule_timeout": 1}


def participants(field) -> dict[int, list[str]]:
    """Who took part in which round, as the aggregator's result says."""
    return dict(field.answers()["aggregator"]["participants"])


def test_a_straggler_is_left_out_of_its_round_and_takes_part_in_the_next(battlefield):
    field = battlefield(options=QUORUM)
    field.start_all(collaborator_2=("sleeps", 2, 5))

    assert field.join() == []
    assert sorted(field.answers()) == sorted(field.nodes), field.evidence()
    both = ["collaborator-1", "collaborator-2"]
    assert participants(field) == {1: both, 2: ["collaborator-1"], 3: both}
    shown = field.output("aggregator")
    assert "round 2 closes without collaborator-2" in shown
    assert "refused: collaborator-2's update of round 2 came when" in shown
    assert len({answer["model"] for answer in field.answers().values()}) == 1


def test_a_dead_collaborator_does_not_end_a_run_with_a_quorum(battlefield, undisturbed):
    field = battlefield(recovery=False, options=QUORUM)
    at = undisturbed("fed_avg").steps["collaborator-2"].index("before send update round 2") + 1
    for party in field.nodes:
        field.start(party, **({"at": at, "target": "party"} if party == "collaborator-2" else {}))

    assert field.join() == []
    assert sorted(field.answers()) == ["aggregator", "collaborator-1"], field.evidence()
    assert participants(field) == {
        1: ["collaborator-1", "collaborator-2"],
        2: ["collaborator-1"],
        3: ["collaborator-1"],
    }
    assert "collaborator-2 is gone" in field.output("aggregator")
    assert "going on without it (quorum 1)" in field.output("aggregator")


def test_a_poisoned_update_is_left_out_if_the_others_are_enough(battlefield):
    field = battlefield(options=QUORUM)
    field.start_all(collaborator_2=("poisons", 2, float("nan")))

    assert field.join() == []
    assert participants(field)[2] == ["collaborator-1"], field.evidence()
    assert "refused: collaborator-2 sent NaN or infinite weights in 0.bias" in field.output("aggregator")


@pytest.mark.parametrize("quorum", [2, 1.0])
def test_a_quorum_that_is_not_met_is_an_error_that_names_who_is_missing(battlefield, undisturbed, assert_clear, quorum):
    field = battlefield(recovery=False, options={**QUORUM, "quorum": quorum})
    field.start_all(collaborator_2=("sleeps", 2, 20))

    until_dead = field.process("aggregator")
    until_dead.join(30)
    assert_clear(field.error("aggregator"), "ReceiveTimeout", "collaborator-2 sent no 'update' for round 2", "training")


def test_after_everybody_was_killed_nobody_plays_the_round_that_is_over_again(battlefield, undisturbed):
    """An aggregator that comes back sends again what nobody has acknowledged: the round before, too."""
    field = battlefield("fed_avg_quorum")
    expected = undisturbed("fed_avg_quorum")
    for party in field.nodes:
        step, nth = ("before send global round 3", 1) if party == "aggregator" else ("before receive global", 3)
        places = [number for number, done in enumerate(expected.steps[party], start=1) if done == step]
        field.start(party, at=places[nth - 1], target="party")
    assert field.join() == []
    assert {field.process(party).exitcode for party in field.nodes} == {-signal.SIGKILL}
    with field.redis() as client:
        client.flushall()

    for party in field.nodes:
        field.start(party, again=True)

    assert field.join() == []
    assert sorted(field.answers()) == sorted(field.nodes), field.evidence()
    assert field.answers() == expected.answers
    assert "refused" not in field.output("aggregator-again"), "what had counted came again"
