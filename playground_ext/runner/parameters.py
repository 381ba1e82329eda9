"""Parameters of a template: what `template.toml` declares, and what somebody typed after `-p`."""

from __future__ import annotations

import ast
import difflib
import math
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from playground_ext.errors import ParameterError, TemplateError

__all__ = ["RESERVED", "Parameter", "Scalar", "describe", "read_parameters_cell", "read_values", "tagged_cells"]

Scalar = int | float | str | bool

# What the runner itself says to each notebook, and how a user says it instead.
RESERVED = {
    "task_id": "--task ID",
    "party_id": "nothing: the runner names the parties",
    "party_index": "nothing: the runner numbers the parties",
    "collaborators": "--parties N",
}

_TYPES = {"int": "integer", "float": "number", "str": "string", "bool": "boolean"}  # other spellings
_BOOLEANS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


class Parameter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[parameters.<name>]` of `template.toml`."""

    type: str  # integer, number, string, boolean or choice; int, float, str and bool mean the same
    default: Scalar
    minimum: float | None = None  # inclusive
    maximum: float | None = None  # inclusive
    choices: tuple[Scalar, ...] = ()
    help: str = ""
    unit: str = ""

    @property
    def kind(self) -> str:
        """`type` in its one spelling."""
        return _TYPES.get(self.type, self.type)

    @property
    def allowed(self) -> str:
        """Type and range in words: `integer, 1 to 1000`."""
        if self.kind == "choice":
            return "one of " + ", ".join(str(choice) for choice in self.choices)
        if self.minimum is not None and self.maximum is not None:
            return f"{self.kind}, {_number(self.minimum)} to {_number(self.maximum)}"
        if self.minimum is not None:
            return f"{self.kind}, at least {_number(self.minimum)}"
        return self.kind if self.maximum is None else f"{self.kind}, at most {_number(self.maximum)}"

    def read(self, text: str) -> Scalar:
        """The value that `text` means.

        Raises:
            ValueError: not of this type, out of range, or not one of the choices; says what is allowed.
        """
        value: Scalar
        if self.kind == "integer":
            value = int(text)
        elif self.kind == "number":
            value = float(text)
        elif self.kind == "boolean":
            value = _BOOLEANS[text.strip().lower()]
        elif self.kind == "choice":
            value = next(choice for choice in self.choices if str(choice) == text)
        else:
            value = text
        if not self.accepts(value):
            raise ValueError(text)
        return value

    def accepts(self, value: Scalar) -> bool:
        if self.kind == "choice":
            return value in self.choices
        if self.kind in ("integer", "number"):
            is_number = isinstance(value, int if self.kind == "integer" else (int, float)) and not isinstance(
                value, bool
            )
            return (
                is_number
                and math.isfinite(float(value))
                and (self.minimum is None or float(value) >= self.minimum)
                and (self.maximum is None or float(value) <= self.maximum)
            )
        return isinstance(value, bool if self.kind == "boolean" else str)

    def problems(self) -> list[str]:
        """What is wrong with the declaration itself; empty if nothing."""
        if self.kind not in ("integer", "number", "string", "boolean", "choice"):
            return [f"type {self.type!r} does not exist; use integer, number, string, boolean or choice"]
        if self.kind == "choice" and not self.choices:
            return ["a choice needs `choices = […]`"]
        return [] if self.accepts(self.default) else [f"its default {self.default!r} is not {self.allowed}"]


def read_values(assignments: Iterable[str], parameters: Mapping[str, Parameter], *, owner: str) -> dict[str, Scalar]:
    """Read `key=value` texts against the declared parameters.

    Raises:
        ParameterError: no `=`, an unknown name, or a wrong value; lists what is allowed.
    """
    values: dict[str, Scalar] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        name = name.strip()
        if not equals:
            raise _refused(f"-p {assignment} has no '='", owner, parameters, "write -p name=value")
        if name in RESERVED and name not in parameters:
            raise _refused(f"{name} is set by the runner, not by -p", owner, parameters, f"use {RESERVED[name]}")
        if name not in parameters:
            close = difflib.get_close_matches(name, parameters, n=1)
            hint = f"did you mean {close[0]}?" if close else "use one of the parameters below"
            raise _refused(f"{owner} has no parameter {name!r}", owner, parameters, hint)
        try:
            values[name] = parameters[name].read(text.strip())
        except (ValueError, KeyError, StopIteration):
            allowed = parameters[name].allowed
            raise _refused(f"{name}={text} is not allowed: {name} is {allowed}", owner, parameters, None) from None
    return values


def describe(parameters: Mapping[str, Parameter]) -> list[str]:
    """One aligned line per parameter: name, type and range, default, help."""
    rows = [
        (name, one.allowed, f"default {one.default}{' ' + one.unit if one.unit else ''}", one.help)
        for name, one in parameters.items()
    ]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)).rstrip() for row in rows
    ]


def tagged_cells(notebook: Mapping[str, Any], tag: str) -> list[dict[str, Any]]:
    """The code cells of a notebook's JSON that carry a tag."""
    cells: list[dict[str, Any]] = notebook.get("cells", [])
    return [c for c in cells if c.get("cell_type") == "code" and tag in c.get("metadata", {}).get("tags", [])]


def read_parameters_cell(notebook: Mapping[str, Any], *, name: str) -> dict[str, Scalar]:
    """What the cell tagged `parameters` assigns; empty without such a cell.

    Raises:
        TemplateError: two such cells, a cell that is no Python, or values that are not scalar literals.
    """
    cells = tagged_cells(notebook, "parameters")
    if not cells:
        return {}
    if len(cells) > 1:
        raise TemplateError(f"{name} has {len(cells)} cells tagged 'parameters'", next_step="keep one of them")
    source = cells[0].get("source", "")
    try:
        tree = ast.parse("".join(source))
    except SyntaxError as error:
        raise TemplateError(f"the parameters cell of {name} is not Python: line {error.lineno}: {error.msg}") from error
    found: dict[str, Scalar] = {}
    for node in tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        for target in targets:
            if isinstance(target, ast.Name) and isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
                found[target.id] = _literal(node.value, target.id, name)
    return found


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else f"{value:g}"


def _literal(node: ast.expr, parameter: str, name: str) -> Scalar:
    try:
        value = ast.literal_eval(node)
    except ValueError:
        value = None
    if not isinstance(value, int | float | str | bool):
        raise TemplateError(
            f"the parameters cell of {name} gives {parameter} a value that is not a plain number, text or truth value",
            next_step="papermill can only pass scalars: compute from them in a later cell",
        )
    return value


def _refused(what: str, owner: str, parameters: Mapping[str, Parameter], next_step: str | None) -> ParameterError:
    lines = describe(parameters)
    return ParameterError(
        what,
        next_step=next_step,
        details=f"parameters of {owner}:\n" + "\n".join(f"  {line}" for line in lines)
        if lines
        else f"{owner} has no parameters",
    )
