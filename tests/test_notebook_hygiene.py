"""What every committed notebook keeps to: it reads well in a diff, says what its cells are for, holds no leftovers."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import nbformat
import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
NOTEBOOKS = {
    str(path.relative_to(REPOSITORY)): path
    for folder in ("templates", "notebooks")
    for path in sorted((REPOSITORY / folder).rglob("*.ipynb"))
    if ".ipynb_checkpoints" not in path.parts
}
TEMPLATES = [name for name in NOTEBOOKS if name.startswith("templates/")]
LONGEST_CELL = 25  # lines; a cell that defines a class may be longer
UUID = re.compile(r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b", re.IGNORECASE)
ABSOLUTE_PATH = re.compile(
    r"""(?<![\w.~/:<])/(?:home|root|work|tmp|usr|Users|mnt|opt|var|etc|data|srv|content|workspace)/\w"""
    r"""|\b[A-Za-z]:\\\w"""
)
SCALARS = (str, int, float, bool, type(None))

every_notebook = pytest.mark.parametrize("name", list(NOTEBOOKS))
every_template = pytest.mark.parametrize("name", TEMPLATES)


def read(name: str) -> dict:
    return json.loads(NOTEBOOKS[name].read_text("utf-8"))


def source(cell: dict) -> str:
    return "".join(cell["source"])


def place(number: int, cell: dict) -> str:
    return f"cell {number} ({cell.get('id')}): {source(cell)[:60]!r}"


def parameters_cells(name: str) -> list[dict]:
    return [cell for cell in read(name)["cells"] if "parameters" in cell["metadata"].get("tags", [])]


def test_there_are_notebooks():
    assert {"templates/fed_avg/aggregator.ipynb", "templates/fed_avg/collaborator.ipynb"} <= set(NOTEBOOKS)


@every_notebook
def test_it_is_a_valid_notebook(name):
    nbformat.validate(read(name))


@every_notebook
def test_nothing_was_committed_that_an_execution_left(name):
    left = [
        place(number, cell)
        for number, cell in enumerate(read(name)["cells"])
        if cell["cell_type"] == "code"
        and (cell["outputs"] or cell["execution_count"] or cell["metadata"].keys() & {"execution", "papermill"})
    ]
    assert not left
    assert not read(name)["metadata"].keys() & {"papermill", "widgets"}


@every_notebook
def test_a_sentence_stands_before_every_code_cell(name):
    cells = read(name)["cells"]
    silent = []
    for number, cell in enumerate(cells):
        before = cells[number - 1] if number else {"cell_type": "none", "source": ""}
        if cell["cell_type"] == "code" and not (before["cell_type"] == "markdown" and has_sentence(source(before))):
            silent.append(place(number, cell))
    assert not silent


def has_sentence(markdown: str) -> bool:
    """Words that end in a full stop (or a colon, for what follows), besides headings, tables, and code."""
    prose = re.sub(r"```.*?```", "", markdown, flags=re.DOTALL)
    lines = [line for line in prose.splitlines() if not line.lstrip().startswith(("#", "|", "<"))]
    text = " ".join(lines)
    return bool(re.search(r"\w.*?[.:!?](?:[*_)\"'`]*)(?:\s|$)|[\u4e00-\u9fff].*?[\u3002\uff1a\uff01\uff1f]", text))


@pytest.mark.parametrize(
    ("markdown", "expected"),
    [
        ("## Data\n\nThe digits of this party.", True),
        ("What follows from it:", True),
        ("**It trains.** (Slowly.)", True),
        ("## Data", False),
        ("## A heading with a full stop.", False),
        ("| a | b. |\n|---|---|", False),
        ("", False),
    ],
)
def test_what_counts_as_a_sentence(markdown, expected):
    assert has_sentence(markdown) is expected


@every_notebook
def test_cells_fit_a_screen(name):
    long = [
        f"{place(number, cell)}: {len(source(cell).splitlines())} lines"
        for number, cell in enumerate(read(name)["cells"])
        if cell["cell_type"] == "code" and len(source(cell).splitlines()) > LONGEST_CELL and not has_class(source(cell))
    ]
    assert not long


def has_class(code: str) -> bool:
    return re.search(r"^class \w", code, re.MULTILINE) is not None


@every_notebook
def test_there_are_no_uuids_and_no_paths_of_one_machine(name):
    text = json.dumps([source(cell) for cell in read(name)["cells"]]) + json.dumps(read(name)["metadata"])
    assert not UUID.findall(text)
    assert not ABSOLUTE_PATH.findall(text)


@every_notebook
def test_the_file_is_as_jupyter_would_write_it(name):
    """Otherwise opening and saving it changes lines that nobody edited."""
    written = nbformat.writes(nbformat.from_dict(read(name)))
    assert NOTEBOOKS[name].read_text("utf-8").rstrip("\n") == written.rstrip("\n")


@every_template
def test_a_template_has_one_parameters_cell_and_it_comes_first(name):
    assert len(parameters_cells(name)) == 1
    first = next(cell for cell in read(name)["cells"] if cell["cell_type"] == "code")
    assert first == parameters_cells(name)[0]


@every_template
def test_parameters_are_scalars(name):
    """papermill passes a list as a string."""
    (cell,) = parameters_cells(name)
    for statement in ast.parse(source(cell)).body:
        assert isinstance(statement, ast.Assign | ast.AnnAssign), ast.unparse(statement)
        assert isinstance(ast.literal_eval(statement.value), SCALARS), ast.unparse(statement)


@every_template
def test_a_template_says_whose_notebook_it_is(name):
    metadata = read(name)["metadata"]
    assert metadata["playground"].keys() == {"template", "role", "party", "format"}
    assert metadata["playground"]["template"] == NOTEBOOKS[name].parent.name
    assert metadata["playground"]["party"] == ""


@every_template
def test_a_template_runs_on_any_python_kernel(name):
    assert read(name)["metadata"]["kernelspec"]["name"] == "python3"
