"""What a party has after an intersection, before and after it was in a checkpoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from playground_ext.party.checkpoint import Checkpoints
from playground_ext.psi.ids import normalise
from playground_ext.psi.star import Outcome


@pytest.mark.parametrize("positions", [None, [], [0, 2, 2**32 - 2]], ids=["not told", "nothing", "some"])
def test_an_outcome_comes_back_from_a_checkpoint_as_it_was(tmp_path: Path, positions):
    told = None if positions is None else np.array(positions, dtype=np.uint32)
    before = Outcome(told, {"bob": 3}, 1.5, sent=100, received=200, learned={"alice": "a number"})

    Checkpoints(tmp_path).save(0, {"outcome": before.state()})
    after = Outcome.of_state(Checkpoints(tmp_path).load(0)["outcome"])

    assert (None if after.positions is None else after.positions.tolist()) == positions
    assert after.report() == before.report()
    assert (after.peer_counts, after.sent, after.received) == ({"bob": 3}, 100, 200)


def test_common_ids_are_those_that_the_party_gave_in_its_order():
    ids = normalise(["Zoe\u0308", 17, "b", 17])
    outcome = Outcome(np.array([0, 1], dtype=np.uint32), {}, 0.0, sent=0, received=0, learned={})

    assert list(outcome.common(ids)) == ["Zoe\u0308", 17]
    assert "17" not in repr(outcome)
    assert list(Outcome(None, {}, 0.0, sent=0, received=0, learned={}).common(ids)) == []
