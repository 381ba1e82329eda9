"""Federation folders: one notebook per party, filled in from the launcher's form; and recognising one."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from playground_ext.bus.keys import check_name
from playground_ext.errors import ConfigError, ParameterError, StorageError, TemplateError
from playground_ext.runner.command import choose_kernel
from playground_ext.runner.history import find_records
from playground_ext.runner.kernel import installed_kernels
from playground_ext.runner.parameters import Scalar, read_parameters_cell, read_values, tagged_cells
from playground_ext.runner.plan import Plan, make_plan, prepare, write_notebook
from playground_ext.runner.templates import (
    DECLARATION,
    Template,
    find_templates,
    load,
    notebooks_of,
    read_notebook,
)
from playground_ext.server.declaration import declare
from playground_ext.server.filling import fill_parameters
from playground_ext.server.paths import Root
from playground_ext.server.refusals import BadField, Conflict, NotFound
from playground_ext.server.wire import Federation, FederationParty

__all__ = ["Order", "plan_for", "read_federation", "template_list", "template_named", "write_federation"]


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the launcher's dialog asks for."""

    template: str
    name: str
    directory: str = ""
    roles: dict[str, int] = {}
    parameters: dict[str, Any] = {}


def template_list() -> list[dict[str, Any]]:
    """All templates as the launcher's dialog needs them; those that cannot be read are left out."""
    return [_as_json(template) for template in find_templates().values() if isinstance(template, Template)]


def template_named(name: str) -> Template:
    """A template by its name, never by a path.

    Raises:
        BadField: there is none.
        TemplateError: it cannot be read.
    """
    found = find_templates()
    template = found.get(name)
    if isinstance(template, TemplateError):
        raise template
    if template is None:
        raise BadField("template", f"there is no template {name!r}", next_step=f"use one of {', '.join(found)}")
    return template


def plan_for(template: Template, roles: Mapping[str, int], parameters: Mapping[str, Any], *, task: str) -> Plan:
    """Who takes part and with which values.

    Raises:
        BadField: naming the role or parameter that is wrong.
    """
    for name, count in roles.items():
        role = template.roles.get(name)
        if role is None:
            raise BadField(name, f"{template.name} has no role {name!r}", next_step=f"use {', '.join(template.roles)}")
        least, most = (role.minimum or 1, role.maximum) if role.repeats else (role.count, role.count)
        if not least <= count <= (most or count):
            needed = f"exactly {least}" if least == most else f"at least {least}"
            needed += f" and at most {most}" if most is not None and most != least else ""
            raise BadField(name, f"{template.name} needs {needed} of the role {name}, not {count}")
    assignments = []
    for name, value in parameters.items():
        if not isinstance(value, int | float | str | bool):
            raise BadField(name, f"{name} is {value!r}, which is no number, text or truth value")
        try:
            read_values([f"{name}={value}"], template.parameters, owner=template.name)
        except ParameterError as error:
            raise BadField(name, error.what, next_step=error.next_step) from error
        assignments.append(f"{name}={value}")
    counts = {name: role.count for name, role in template.roles.items()} | dict(roles)
    return make_plan(template, parties=sum(counts.values()), assignments=assignments, task=task)


def write_federation(order: Order, root: Root) -> Federation:
    """Make the folder `<directory>/<name>`.

    Raises:
        BadField: naming what is wrong.
        Conflict: the folder exists; the message proposes another name.
        StorageError: it cannot be written; nothing is left of it then.
    """
    template = template_named(order.template)
    try:
        check_name("the federation's name", order.name)
    except ConfigError as error:
        raise BadField("name", error.what, next_step=error.next_step) from error
    parent = root.inside(order.directory, field="directory")
    if not parent.is_dir():
        raise BadField("directory", f"there is no folder {order.directory!r}")
    folder = parent / order.name
    plan = plan_for(template, order.roles, order.parameters, task=_free_task(order.name))
    try:
        folder.mkdir()
    except FileExistsError:
        free = _free(order.name, lambda name: (parent / name).exists())
        raise Conflict(f"{order.name} exists already in this folder", next_step=f"take another name: {free}") from None
    except OSError as error:
        raise StorageError(f"{folder} cannot be made: {error.strerror}", next_step="choose another folder") from error
    try:
        _write(plan, folder)
        return read_federation(root.name(folder) or "", root)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def read_federation(path: str, root: Root) -> Federation:
    """The federation whose folder, or one of whose notebooks, this is.

    Raises:
        BadField: a path outside what Jupyter serves.
        NotFound: it is none.
    """
    place = root.inside(path)
    folder = place if place.is_dir() else place.parent
    found: list[tuple[str, str, FederationParty]] = []
    mine: str | None = None
    for notebook in notebooks_of(folder) if place.exists() else ():
        entry = _entry(notebook, root)
        if entry is not None:
            found.append(entry)
            mine = entry[0] if notebook == place or mine is None else mine
    chosen = [entry for entry in found if entry[0] == mine]
    if not chosen or mine is None or (place != folder and not any(e[2].path == root.name(place) for e in chosen)):
        raise NotFound(
            f"{path or 'this folder'} is no federation",
            next_step="start one from a tile of the launcher, or with `playground new`",
        )
    template = chosen[0][1]
    title = _title(folder, template)
    return Federation(mine, template, title, root.name(folder) or "", [entry[2] for entry in chosen])


def _write(plan: Plan, folder: Path) -> None:
    installed = installed_kernels()
    values = prepare(
        plan, folder, lambda party, named, language: choose_kernel(party, named, language, installed, plain=False)
    )
    for party in plan.parties:
        path = folder / f"{party.name}.ipynb"
        notebook = read_notebook(path)
        fill_parameters(notebook, values[party.name], name=path.name)
        notebook["metadata"]["playground"]["task"] = plan.task
        write_notebook(notebook, path)
    (folder / DECLARATION).write_text(declare(plan), "utf-8")
    load(folder)  # what was written can be run in the background


def _entry(notebook: Path, root: Root) -> tuple[str, str, FederationParty] | None:
    """Task, template and party of a notebook; None if it is no party's. What its parameters cell says goes first."""
    path = root.name(notebook)
    try:
        said = read_notebook(notebook)
        mark = said.get("metadata", {}).get("playground")
        values = read_parameters_cell(said, name=notebook.name) | _injected(said, notebook.name)
    except TemplateError:
        return None
    if not isinstance(mark, dict) or path is None:
        return None
    role = str(mark.get("role", ""))
    repeated = "party_index" in values
    party = values.get("party_id") or mark.get("party") or (f"{role}-{values['party_index']}" if repeated else role)
    task = values.get("task_id") or mark.get("task") or notebook.parent.name
    kernel = said["metadata"].get("kernelspec", {}).get("name")
    return str(task), str(mark.get("template", "")), FederationParty(str(party), role, path, kernel)


def _injected(notebook: dict[str, Any], name: str) -> dict[str, Scalar]:
    """What papermill wrote below the parameters cell of a copy that the runner executed."""
    values: dict[str, Scalar] = {}
    for cell in tagged_cells(notebook, "injected-parameters"):
        values |= read_parameters_cell({"cells": [{**cell, "metadata": {"tags": ["parameters"]}}]}, name=name)
    return values


def _title(folder: Path, template: str) -> str:
    try:
        return load(folder).title
    except TemplateError:
        found = find_templates().get(template)
        return found.title if isinstance(found, Template) else template


def _free_task(name: str) -> str:
    """A task that nothing was run under: what two federations log must not meet."""
    used = Counter(record.task for record in find_records())
    return _free(name, lambda candidate: candidate in used)


def _free(name: str, taken: Callable[[str], bool]) -> str:
    if not taken(name):
        return name
    return next(f"{name[:58]}-{n}" for n in range(2, 100_000) if not taken(f"{name[:58]}-{n}"))


def _as_json(template: Template) -> dict[str, Any]:
    return {
        "name": template.name,
        "title": template.title,
        "description": template.description,
        "roles": [
            {
                "name": name,
                "title": role.title or name,
                "description": role.description,
                "notebook": role.notebook,
                "count": role.count,
                "minimum": (role.minimum or 1) if role.repeats else role.count,
                "maximum": role.maximum if role.repeats else role.count,
                "kernel": role.kernel,
                "initiator": index == 0,
            }
            for index, (name, role) in enumerate(template.roles.items())
        ],
        "parameters": [
            {
                "name": name,
                "type": parameter.kind,
                "default": parameter.default,
                "minimum": parameter.minimum,
                "maximum": parameter.maximum,
                "choices": list(parameter.choices) or None,
                "help": parameter.help,
                "unit": parameter.unit,
            }
            for name, parameter in template.parameters.items()
        ],
    }
