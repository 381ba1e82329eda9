"""`template.toml` of a federation folder: its template's, with one notebook per party and the chosen values."""

from __future__ import annotations

import json

from playground_ext.runner.parameters import Parameter, Scalar
from playground_ext.runner.plan import Plan

__all__ = ["declare"]


def declare(plan: Plan) -> str:
    """The text of the declaration; `playground run` then runs exactly these notebooks."""
    template = plan.template
    lines = [
        "# One notebook per party, written by JupyterLab's launcher. `playground run` of this folder runs them all.",
        "",
        f"title = {_text(template.title)}",
        f"description = {_text(template.description)}",
    ]
    for name, role in template.roles.items():
        parties = [party.name for party in plan.parties if party.role == name]
        notebooks = [f"{party}.ipynb" for party in parties]
        lines += ["", f"[roles.{name}]", f"notebook = {_text(notebooks[0])}"]
        lines += [f"notebooks = [{', '.join(map(_text, notebooks))}]", f"count = {len(notebooks)}"]
        if role.repeats:
            lines += [f"minimum = {len(notebooks)}", f"maximum = {len(notebooks)}"]
        for key in ("kernel", "title", "description"):
            if said := getattr(role, key):
                lines.append(f"{key} = {_text(said)}")
        if name == next(iter(template.roles)):
            lines.append("initiator = true")
    for name, parameter in template.parameters.items():
        lines += ["", f"[parameters.{name}]", *_parameter(parameter, plan.parameters[name])]
    return "\n".join(lines) + "\n"


def _parameter(parameter: Parameter, value: Scalar) -> list[str]:
    lines = [f"type = {_text(parameter.kind)}", f"default = {_value(value)}"]
    lines += [f"minimum = {_value(parameter.minimum)}"] if parameter.minimum is not None else []
    lines += [f"maximum = {_value(parameter.maximum)}"] if parameter.maximum is not None else []
    lines += [f"choices = [{', '.join(map(_value, parameter.choices))}]"] if parameter.choices else []
    lines += [f"help = {_text(parameter.help)}"] if parameter.help else []
    lines += [f"unit = {_text(parameter.unit)}"] if parameter.unit else []
    return lines


def _value(value: Scalar) -> str:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if float(value).is_integer() and abs(value) < 1 << 53 else repr(value)


def _text(text: str) -> str:
    """A TOML string: JSON's escapes, and one character more."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")
