"""Who a notebook is before it says so, and whom it tells when it fails then."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from playground_ext.bus.connection import Connection
from playground_ext.bus.server import EmbeddedServer
from playground_ext.party.early_failure import guess

TEMPLATE = {"task_id": "t", "party_id": "", "party_index": 2, "collaborators": 3}


@pytest.mark.parametrize(
    ("names", "task", "party"),
    [
        (TEMPLATE, "t", "collaborator-2"),
        (TEMPLATE | {"task_id": 42}, "42", "collaborator-2"),  # papermill -p task_id 42
        (TEMPLATE | {"party_id": "hospital"}, "t", "hospital"),
        ({"task_id": "t", "party_id": "aggregator", "collaborators": 3}, "t", "aggregator"),
        ({"task_id": "t", "party_id": "host", "nodes": ["host", "guest"]}, "t", "host"),
    ],
)
def test_parameters_of_a_template_tell_who_a_notebook_is(names, task, party):
    found = guess(names)

    assert found is not None
    assert (found.task, found.id) == (task, party)


@pytest.mark.parametrize(
    "names",
    [
        {},
        {"task_id": "t"},
        {"party_id": "host"},
        {"task_id": "t", "party_id": "", "collaborators": 3},  # a leader that does not say its name
        {"task_id": "t", "party_index": 2},
        TEMPLATE | {"party_index": 4},
        TEMPLATE | {"party_index": True},
        TEMPLATE | {"task_id": "not a name"},
        TEMPLATE | {"task_id": None},
    ],
)
def test_where_they_do_not_tell_nobody_is_named(names):
    assert guess(names) is None


def test_else_the_environment_tells(monkeypatch):
    monkeypatch.setenv("PLAYGROUND_TASK", "t")
    monkeypatch.setenv("PLAYGROUND_PARTY", "host")
    monkeypatch.setenv("PLAYGROUND_NODES", "host,guest")

    found = guess({})

    assert found is not None
    assert (found.task, found.id, found.nodes) == ("t", "host", ("host", "guest"))


@pytest.fixture
def redis(monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as server:
        monkeypatch.setenv("PLAYGROUND_REDIS_URL", server.url)
        yield server


def told(server: EmbeddedServer) -> dict[str, str]:
    """What those who wait in the lobby of task t would read: party and error."""
    with Connection(server.url) as connection:
        said = {name.decode(): json.loads(value) for name, value in connection.client.hgetall("pg:{t}:lobby").items()}
    return {party: record["error"] for party, record in said.items() if "error" in record}


def execute(folder: Path, *cells: str, tagged: str = "") -> None:
    """As papermill does, up to the cell that fails."""
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(source) for source in cells]
    for cell in notebook.cells:
        if tagged and tagged in cell.source:
            cell.metadata.tags = ["raises-exception"]
    client = NotebookClient(notebook, timeout=60, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    with contextlib.suppress(CellExecutionError):
        client.execute()


WHO = "task_id, party_id, party_index, collaborators = 't', '', 1, 2"
JOIN = "mock_context(id='collaborator-1', nodes=['aggregator', 'collaborator-1'], task_id='t')"


def test_the_cell_that_imports_this_package_and_fails_is_told(redis, tmp_path):
    execute(tmp_path, WHO, "import playground_ext\nimport no_such_module")

    assert told(redis) == {"collaborator-1": "ModuleNotFoundError: No module named 'no_such_module'"}


def test_a_context_that_was_made_counts_more_than_variables(redis, tmp_path):
    execute(
        tmp_path,
        "import playground_ext",
        f"task_id, party_id = 't', 'somebody'\ncontext = playground_ext.{JOIN}",
        "1 / 0",
    )

    assert told(redis) == {"collaborator-1": "ZeroDivisionError: division by zero"}


def test_a_notebook_of_no_task_says_nothing(redis, tmp_path):
    execute(tmp_path, "import playground_ext", "1 / 0")

    with Connection(redis.url) as connection:
        assert connection.client.keys() == []


def test_a_cell_that_may_fail_is_not_told_and_the_next_one_is(redis, tmp_path):
    execute(tmp_path, f"{WHO}\nimport playground_ext", "1 / 0", "2 // 0", tagged="1 / 0")

    assert told(redis) == {"collaborator-1": "ZeroDivisionError: integer division or modulo by zero"}


def test_after_it_has_joined_its_session_tells(redis, tmp_path):
    execute(tmp_path, f"{WHO}\nimport playground_ext", f"with playground_ext.{JOIN}:\n    pass", "1 / 0")

    assert told(redis) == {}
