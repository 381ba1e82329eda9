from __future__ import annotations

from pathlib import Path

import pytest
import torch

from playground_ext.errors import StorageError
from playground_ext.party.checkpoint import Checkpoints


def test_the_last_two_rounds_are_kept_and_come_back_as_they_were(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    for round in range(4):
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "rng": torch.get_rng_state()}
        checkpoints.save(round, {**state, "round": round, "cursors": {"bob": [1, round]}})

    assert checkpoints.rounds() == [2, 3]
    loaded = checkpoints.load(3)
    assert loaded["cursors"] == {"bob": [1, 3]}
    assert torch.equal(loaded["model"]["weight"], model.weight)
    assert torch.equal(loaded["rng"], torch.get_rng_state())
    step = loaded["optimizer"]["state"][0]["step"]
    assert step == 1


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(5, {"model": torch.zeros(100)})
    file = next(tmp_path.glob("*.pt"))
    file.write_bytes(file.read_bytes()[:200])

    with pytest.raises(StorageError, match="the checkpoint of round 5 cannot be read"):
        checkpoints.load(5)


def test_a_checkpoint_never_runs_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (print, ("executed",))

    torch.save({"evil": Evil()}, tmp_path / "round-000001.pt")

    with pytest.raises(StorageError, match="cannot be read"):
        Checkpoints(tmp_path).load(1)


def test_a_failed_write_leaves_the_checkpoint_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, {"model": torch.ones(3)})

    def full(*_: object, **__: object) -> None:
        raise RuntimeError("[enforce fail at inline_container.cc:778] . PytorchStreamWriter failed: file write failed")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(StorageError, match="could not write the checkpoint of round 2: the disk is full"):
        checkpoints.save(2, {"model": torch.ones(3)})

    monkeypatch.undo()
    assert checkpoints.rounds() == [1]
    assert torch.equal(checkpoints.load(1)["model"], torch.ones(3))
