"""Where a party failed: what it told the others, or what its saved notebook shows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from playground_ext.errors import TemplateError
from playground_ext.runner.notebook import find_place, plain
from playground_ext.runner.templates import read_notebook
from playground_ext.server.wire import Failure

__all__ = ["from_notebook", "from_summary", "from_words"]

_MOST_TEXT = 40_000  # characters of a traceback
_NUMBER = re.compile(r"(?:cell )?\[?(\d+)\]?|line (\d+)")


def from_words(party: str, body: Mapping[str, Any], notebook: Path | None, name: str | None) -> Failure:
    """Of a party's `fail` message. `notebook` is its file, which may be older than the failure; `name` its path."""
    kind, _, message = str(body.get("error", "failed")).partition(": ")
    count = _number(body.get("cell"))
    return Failure(
        party=party,
        kind=kind,
        message=plain(message),
        traceback=plain(str(body.get("traceback", "")))[-_MOST_TEXT:],
        cell=_index(notebook, count),
        execution_count=count,
        line=_number(body.get("line")),
        notebook=name,
    )


def from_summary(party: str, error: Mapping[str, Any], notebook: Path, name: str | None) -> Failure:
    """Of the summary of a background run; its notebook has the traceback."""
    shown = from_notebook(party, notebook, name)
    count = error.get("cell") if isinstance(error.get("cell"), int) else None
    return Failure(
        party=party,
        kind=str(error.get("type", "failed")),
        message=plain(str(error.get("message", ""))),
        traceback=shown.traceback if shown else "",
        cell=shown.cell if shown else _index(notebook, count),
        execution_count=shown.execution_count if shown else count,
        line=error["line"] if isinstance(error.get("line"), int) else None,
        notebook=name,
    )


def from_notebook(party: str, notebook: Path, name: str | None) -> Failure | None:
    """Of the first cell of a saved notebook that ends in an error; None if there is none."""
    for index, cell in enumerate(_cells(notebook)):
        for output in cell.get("outputs") or ():
            if isinstance(output, dict) and output.get("output_type") == "error":
                text = plain("\n".join(map(str, output.get("traceback") or ())))
                count = cell.get("execution_count")
                return Failure(
                    party=party,
                    kind=str(output.get("ename", "")),
                    message=plain(str(output.get("evalue", ""))),
                    traceback=text[-_MOST_TEXT:],
                    cell=index,
                    execution_count=count if isinstance(count, int) else None,
                    line=find_place(text, None)[1],
                    notebook=name,
                )
    return None


def _index(notebook: Path | None, count: int | None) -> int | None:
    """The place in the notebook of the cell that was executed as the `count`-th."""
    if notebook is None or count is None:
        return None
    return next((index for index, cell in enumerate(_cells(notebook)) if cell.get("execution_count") == count), None)


def _cells(notebook: Path) -> list[dict[str, Any]]:
    try:
        cells = read_notebook(notebook)["cells"]
    except TemplateError:
        return []
    return [cell if isinstance(cell, dict) else {} for cell in cells]


def _number(value: object) -> int | None:
    """5 of `cell [5]` and of `line 5`; None for a file's name."""
    found = _NUMBER.fullmatch(str(value))
    return int(found[1] or found[2]) if found else None
