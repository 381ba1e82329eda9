"""`playground templates`: what can be run, and what is wrong with a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from playground_ext.errors import TemplateError
from playground_ext.runner.parameters import describe
from playground_ext.runner.templates import Template, check, find_templates

__all__ = ["check_text", "listing_text"]


def listing_text(*, as_json: bool) -> str:
    """All templates that were found, for people or for programs."""
    found = find_templates()
    if as_json:
        return _json([_as_json(name, template) for name, template in found.items()])
    if not found:
        return "No templates were found. PLAYGROUND_TEMPLATES names folders that hold some."
    return "\n\n".join(_as_text(name, template) for name, template in found.items())


def check_text(folder: Path, *, as_json: bool) -> tuple[int, str]:
    """What is wrong with a template folder, and the exit code: 1 if anything is."""
    problems = check(folder)
    if as_json:
        text = _json({"folder": str(folder), "problems": problems})
    elif problems:
        text = f"{folder} has {len(problems)} problem{'s' if len(problems) > 1 else ''}:\n" + "\n".join(
            f"  - {line}" for line in problems
        )
    else:
        text = f"{folder} is in order: playground run {folder}"
    return (1 if problems else 0), text


def _as_text(name: str, template: Template | TemplateError) -> str:
    if isinstance(template, TemplateError):
        return f"{name}  cannot be used\n  " + str(template).replace("\n", "\n  ")
    lines = [f"{name}  {template.title}"]
    if template.description:
        lines.append(f"  {template.description}")
    lines.append(f"  from {template.source}: {template.folder}")
    lines.append(
        "  parties: " + ", ".join(_count(role, one.count, one.repeats) for role, one in template.roles.items())
    )
    if template.parameters:
        lines += ["  parameters (-p name=value):", *(f"    {line}" for line in describe(template.parameters))]
    return "\n".join(lines)


def _count(role: str, count: int, repeats: bool) -> str:
    return f"{count} {role}{'s' if count > 1 else ''}{' (--parties changes it)' if repeats else ''}"


def _as_json(name: str, template: Template | TemplateError) -> dict[str, Any]:
    if isinstance(template, TemplateError):
        return {"name": name, "error": str(template)}
    return {
        "name": name,
        "title": template.title,
        "description": template.description,
        "folder": str(template.folder),
        "source": template.source,
        "roles": template.roles,
        "parameters": template.parameters,
    }


def _json(value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
