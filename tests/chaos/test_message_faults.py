"""Messages that come twice, out of order or damaged, and updates that cannot be averaged."""

from __future__ import annotations

import pytest
from battlefield import difference


@pytest.mark.parametrize("scenario", ["fed_avg", "hetero_nn", "psi_ecdh"])
def test_messages_that_come_twice_and_out_of_order_change_nothing(battlefield, undisturbed, scenario):
    field = battlefield(scenario)
    for party in field.nodes:
        field.start(party, deeds=[("repeats_itself",)])

    assert field.join() == []
    assert difference(undisturbed(scenario).answers, field.answers()) == "", field.evidence()


WIDE = 150_000  # 7.2 MB of weights: two chunks


def test_a_payload_whose_parts_were_swapped_is_refused(battlefield, assert_clear):
    field = battlefield(recovery=False, options={"max_rounds": 1}, files=False)
    for party in field.nodes:
        swaps = [("swaps_chunks",)] if party == "collaborator-1" else []
        field.start(party, deeds=[("is_wide", WIDE), *swaps])

    assert field.join() == []
    error = field.error("aggregator")
    assert_clear(error, "ProtocolError", "collaborator-1", "'update' for round 1", "damaged (checksum differs)")
    assert field.answers() == {}


def test_another_model_is_named_before_any_training(battlefield, assert_clear):
    field = battlefield(recovery=False)
    field.start_all(collaborator_2=("widens", 0))

    assert field.join() == []
    assert_clear(field.error("aggregator"), "ModelMismatch", "collaborator-2 built another model", "0.weight", "2049")
    assert not any("train" in field.output(party) for party in field.nodes)


def test_other_shapes_in_the_middle_of_a_run_are_refused_and_named(battlefield, assert_clear):
    field = battlefield(recovery=False)
    field.start_all(collaborator_2=("widens", 2))

    assert field.join() == []
    error = field.error("aggregator")
    assert_clear(error, "MalformedPayload", "collaborator-2 sent other tensors", "3.weight", "round 2")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_update_with_nan_or_infinity_is_refused_and_named(battlefield, assert_clear, value):
    field = battlefield(recovery=False)
    field.start_all(collaborator_2=("poisons", 2, value))

    assert field.join() == []
    error = field.error("aggregator")
    assert_clear(error, "AggregationError", "collaborator-2 sent NaN or infinite", "0.bias", "round 2", "learning rate")


def test_whoever_wants_nan_gets_nan(battlefield):
    field = battlefield(recovery=False, options={"allow_non_finite": True})
    field.start_all(collaborator_2=("poisons", 3, float("nan")))

    assert field.join() == []
    answers = field.answers()
    assert sorted(answers) == sorted(field.nodes), field.evidence()
    assert len({answer["model"] for answer in answers.values()}) == 1
    assert [3, "test/norm", "nan"] in answers["aggregator"]["metrics"]


@pytest.mark.chaos
@pytest.mark.slow
def test_a_payload_of_600_megabytes_arrives(battlefield):
    """8 inputs, 3 outputs and 2 biases: 48 bytes for each unit of the hidden layer, 12.5 million of them."""
    field = battlefield(
        nodes=["aggregator", "collaborator-1"], options={"max_rounds": 1, "log_rounds": 0}, max_memory=3 << 30
    )
    for party in field.nodes:
        field.start(party, deeds=[("is_wide", 12_500_000)], options={**field.options, "calculation_timeout": 100})

    assert field.join(170) == []
    answers = field.answers()
    assert sorted(answers) == sorted(field.nodes), field.evidence()
    assert len({answer["model"] for answer in answers.values()}) == 1
    size = (field.run_folder("aggregator") / "results" / "model.safetensors").stat().st_size
    assert size > 600_000_000
