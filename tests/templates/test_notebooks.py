"""What every notebook below templates/ keeps to, so that it reads well and runs anywhere."""

from __future__ import annotations

import ast
import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from playground_ext.runner.templates import check

TEMPLATES = Path(__file__).resolve().parents[2] / "templates"
NOTEBOOKS = sorted(TEMPLATES.glob("*/*.ipynb"))
LONGEST = 25  # lines of a code cell; only the cell with the scheduler class may be longer
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

pytestmark = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: f"{path.parent.name}/{path.stem}")


def cells(path: Path) -> list[dict[str, Any]]:
    found = json.loads(path.read_text("utf-8"))["cells"]
    return [{**cell, "source": "".join(cell["source"])} for cell in found]


def code(path: Path) -> list[dict[str, Any]]:
    return [cell for cell in cells(path) if cell["cell_type"] == "code"]


def test_it_is_kept_without_outputs(path: Path) -> None:
    assert [cell["id"] for cell in code(path) if cell["outputs"] or cell["execution_count"] is not None] == []


def test_a_text_cell_stands_before_every_code_cell(path: Path) -> None:
    kinds = [cell["cell_type"] for cell in cells(path)]
    assert kinds[0] == "markdown"
    assert ("code", "code") not in set(pairwise(kinds))


def test_its_cells_are_short(path: Path) -> None:
    long = {cell["id"]: len(cell["source"].splitlines()) for cell in code(path) if "Scheduler):" not in cell["source"]}
    assert {name: lines for name, lines in long.items() if lines >= LONGEST} == {}


def test_its_first_code_cell_is_the_parameters_and_assigns_only_scalars(path: Path) -> None:
    first, *others = code(path)
    assert first["metadata"]["tags"] == ["parameters"]
    assert not any("parameters" in cell["metadata"].get("tags", []) for cell in others)
    values = [node.value for node in ast.parse(first["source"]).body if isinstance(node, ast.Assign)]
    assert all(isinstance(ast.literal_eval(value), str | int | float | bool) for value in values)


def test_it_names_nobody_by_uuid(path: Path) -> None:
    assert not UUID.search(path.read_text("utf-8").lower())


def test_it_says_whose_notebook_it_is_and_runs_on_any_python_kernel(path: Path) -> None:
    metadata = json.loads(path.read_text("utf-8"))["metadata"]
    assert metadata["kernelspec"]["name"] == "python3"
    assert metadata["playground"] == {"template": path.parent.name, "role": path.stem, "party": "", "format": 1}


def test_all_notebooks_of_a_template_build_the_same_model(path: Path) -> None:
    def models(notebook: Path) -> list[str]:
        return [cell["source"] for cell in code(notebook) if "(nn.Module):" in cell["source"]]

    assert models(path) == models(NOTEBOOKS[[other.parent for other in NOTEBOOKS].index(path.parent)])


def test_its_template_passes_the_check(path: Path) -> None:
    assert check(path.parent) == []
