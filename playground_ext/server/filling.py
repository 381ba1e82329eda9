"""Values written into a notebook's parameters cell as its author would: in place, comments kept."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from playground_ext.runner.parameters import Scalar, tagged_cells

__all__ = ["fill_parameters"]


def fill_parameters(notebook: dict[str, Any], values: Mapping[str, Scalar], *, name: str) -> None:
    """Replace what the parameters cell assigns. Names that it does not assign are left out.

    The cell is one that `read_parameters_cell` accepts.
    """
    for cell in tagged_cells(notebook, "parameters"):
        cell["source"] = _filled("".join(cell["source"]), values)


def _filled(source: str, values: Mapping[str, Scalar]) -> str:
    lines = source.encode().splitlines(keepends=True)  # ast counts columns in bytes
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    places: list[tuple[int, int, Scalar]] = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AnnAssign):
            targets = [node.target]
        else:
            continue
        value = node.value
        names = [target.id for target in targets if isinstance(target, ast.Name)]
        chosen = next((name for name in names if name in values), None)
        if chosen is None or value is None or value.end_lineno is None or value.end_col_offset is None:
            continue
        begin = starts[value.lineno - 1] + value.col_offset
        end = starts[value.end_lineno - 1] + value.end_col_offset
        places.append((begin, end, values[chosen]))
    text = b"".join(lines)
    for begin, end, new in sorted(places, reverse=True):
        text = text[:begin] + _literal(new).encode() + text[end:]
    return text.decode()


def _literal(value: Scalar) -> str:
    """As the templates write it: texts in double quotes."""
    if not isinstance(value, str):
        return repr(value)
    said = repr(value)
    plain = said[1:-1]
    return f'"{plain}"' if said[0] == "'" and '"' not in plain and "\\'" not in plain else said
