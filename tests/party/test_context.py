from __future__ import annotations

from pathlib import Path

import pytest

from playground_ext import get_result_dir, get_root_dir, mock_context
from playground_ext.errors import ConfigError
from playground_ext.party.context import current, from_environment

NODES = ["aggregator", "collaborator-1"]


def test_a_context_is_current_while_it_is_entered() -> None:
    outer, inner = mock_context("aggregator", NODES, "t"), mock_context("collaborator-1", NODES, "t")
    with outer:
        with inner:
            assert current() is inner
        assert current() is outer
    assert current() is None


@pytest.mark.parametrize("name", ["a:b", "a*", "", "ä", "a b", "x" * 65, "all", 17])
def test_names_that_cannot_stand_in_a_key_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="is not a usable name"):
        mock_context(id="aggregator", nodes=["aggregator", name], task_id="t")
    with pytest.raises(ConfigError, match=r"task id .* is not a usable name"):
        mock_context(id="aggregator", nodes=NODES, task_id=name)


def test_alphameds_uuids_are_usable_names() -> None:
    node = "-".join(("1bb9feba", "7b53", "455b", "b127", "0eb19ffc9d3f"))
    assert mock_context(id=node, nodes=[node], task_id=node).party().initiator == node


def test_an_id_that_is_not_a_node_is_explained() -> None:
    with pytest.raises(ConfigError, match="party id 'collaborator-2' is not one of nodes: aggregator, collaborator-1"):
        mock_context(id="collaborator-2", nodes=NODES, task_id="t")


def test_a_node_named_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="nodes names aggregator more than once"):
        mock_context(id="aggregator", nodes=["aggregator", "aggregator"], task_id="t")


def test_ids_that_disagree_are_an_error() -> None:
    with pytest.raises(ConfigError, match="mock_context says id='aggregator', the call says 'collaborator-1'"):
        mock_context("aggregator", NODES, "t").party(id="collaborator-1")


def test_a_context_may_leave_the_task_to_the_call() -> None:
    assert mock_context("aggregator", NODES).party(task_id="t").task == "t"
    with pytest.raises(ConfigError, match="mock_context lacks task_id"):
        mock_context("aggregator", NODES).party()


def test_what_launch_task_misses_is_named_in_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="needs PLAYGROUND_PARTY, PLAYGROUND_NODES, task_id"):
        from_environment()
    monkeypatch.setenv("PLAYGROUND_PARTY", "collaborator-1")
    monkeypatch.setenv("PLAYGROUND_NODES", "aggregator, collaborator-1")
    assert from_environment("t").party().peers == ("aggregator",)


def test_folders_are_private_and_belong_to_task_and_party(tmp_path: Path) -> None:
    with mock_context("aggregator", NODES, "t"):
        root, results = Path(get_root_dir()), Path(get_result_dir())

    assert root == tmp_path / "home" / "t" / "aggregator"
    assert results.is_relative_to(root)
    assert root.stat().st_mode & 0o777 == 0o700


def test_a_folder_of_nobody_is_an_error() -> None:
    with pytest.raises(ConfigError, match="nobody has said who this notebook is"):
        get_root_dir()
