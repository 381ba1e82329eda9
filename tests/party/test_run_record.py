"""What a party remembers of its run."""

from __future__ import annotations

from pathlib import Path

import pytest

from playground_ext.party.run_record import RunRecord


def test_it_comes_back_as_it_was(tmp_path: Path) -> None:
    record = RunRecord("r1", {"nodes": ["a", "b"], "initiator": "a"}, 2, "a.ipynb", check_ins={"b": {"samples": 3}})
    record.save(tmp_path)
    assert RunRecord.load(tmp_path) == record
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


@pytest.mark.parametrize("damage", ["", "{", '{"run": 3}'])
def test_a_damaged_record_is_none(tmp_path: Path, damage: str) -> None:
    assert RunRecord.load(tmp_path) is None
    (tmp_path / "run.json").write_text(damage)
    assert RunRecord.load(tmp_path) is None
