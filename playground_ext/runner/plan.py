"""From a template to one run: who takes part, which copy each executes, with which values."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from playground_ext.bus.keys import check_name
from playground_ext.errors import ConfigError, ParameterError, StorageError, TemplateError
from playground_ext.runner.parameters import Scalar, read_parameters_cell, read_values
from playground_ext.runner.templates import DECLARATION, Template, load, read_notebook

__all__ = ["PLAN", "Party", "Plan", "choose_folder", "copy_template", "make_plan", "prepare"]

_LINK_FROM = 64 << 20  # bytes; larger files beside the notebooks (data sets) are linked into the run folder, not copied
PLAN = "plan.json"  # of a run's folder; see plan_file.py
_OWN_NAMES = {
    *("parties", "attempts", "tensorboard", "logs.jsonl", "metrics.csv", "junit.xml"),
    *("summary.json", PLAN, "model.safetensors"),
}
_SKIPPED = {"__pycache__", ".git", ".ipynb_checkpoints", ".venv", "node_modules", DECLARATION}


@dataclass(frozen=True)
class Party:
    """One participant: one notebook, one kernel."""

    name: str
    role: str
    index: int  # from 1, within the role
    source: Path  # the template's notebook
    kernel: str | None  # kernelspec that the role asks for


@dataclass(frozen=True)
class Plan:
    """What will be run. The initiator is the first party."""

    template: Template
    task: str
    parties: tuple[Party, ...]
    values: dict[str, Scalar]  # what the user chose; everything else keeps the notebooks' defaults

    @property
    def nodes(self) -> list[str]:
        return [party.name for party in self.parties]

    @property
    def parameters(self) -> dict[str, Scalar]:
        """All parameters' values in this run."""
        return {name: parameter.default for name, parameter in self.template.parameters.items()} | self.values

    @property
    def rounds(self) -> int | None:
        """How many rounds will be run, if a parameter says so."""
        rounds = self.parameters.get("max_rounds")
        return rounds if isinstance(rounds, int) else None


def make_plan(
    template: Template, *, parties: int | None = None, assignments: Iterable[str] = (), task: str | None = None
) -> Plan:
    """Decide who takes part and check what the user chose.

    Args:
        parties: notebooks all together, the initiator's included; None: as many as the template says.
        assignments: `key=value` texts.

    Raises:
        ParameterError: an unknown or wrong parameter, or a number of parties that the template does not allow.
        ConfigError: a task id that cannot stand in a key.
    """
    values = read_values(assignments, template.parameters, owner=template.name)
    planned: list[Party] = []
    for name, count in _counts(template, parties).items():
        role = template.roles[name]
        for index in range(1, count + 1):
            party = f"{name}-{index}" if role.repeats or role.count > 1 else name
            notebook = role.notebooks[index - 1] if role.notebooks else role.notebook
            planned.append(Party(check_name("party", party), name, index, template.folder / notebook, role.kernel))
    if task is None:
        stem = "".join(
            letter if letter.isascii() and (letter.isalnum() or letter in "_-") else "-" for letter in template.name
        )
        task = f"{stem[:40]}-{datetime.now():%Y%m%d-%H%M%S}"
    return Plan(template, check_name("task", task), tuple(planned), values)


def choose_folder(task: str, *, runs: Path, output: Path | None = None) -> Path:
    """Make the folder of a run: `output`, else `runs/<task>`, numbered if an earlier run left one.

    Raises:
        ConfigError: `output` exists and is not empty.
        StorageError: it cannot be made.
    """
    try:
        if output is not None:
            output = output.expanduser().absolute()
            output.mkdir(parents=True, exist_ok=True)
            if any(output.iterdir()):
                raise ConfigError(f"{output} is not empty", next_step="give --output a new folder, or leave it out")
            return output
        runs.mkdir(parents=True, exist_ok=True)
        for number in range(1, 10_000):
            folder = runs / (task if number == 1 else f"{task}-{number}")
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            return folder
    except OSError as error:
        raise StorageError(
            f"the folder of this run cannot be made: {error.strerror}: {error.filename}",
            next_step="choose another place with --output DIR or PLAYGROUND_RUNS",
        ) from error
    raise ConfigError(f"{runs} holds 10,000 runs of task {task}", next_step="remove some")


def prepare(
    plan: Plan,
    folder: Path,
    kernel_for: Callable[[Party, str | None, str], str],
    *,
    sources: Mapping[str, Path] | None = None,
) -> dict[str, dict[str, Scalar]]:
    """Copy notebooks and the modules beside them into the run folder; nothing is ever written into the template.

    `kernel_for(party, kernelspec the notebook names, its language)` chooses the kernelspec of a copy. `sources`: where
    each party's notebook is, if the folder was filled before; then only newer modules are copied. Returns the values
    that papermill passes to each party's copy: only those that its parameters cell knows.

    Raises:
        TemplateError: a notebook that cannot be read.
        StorageError: the folder cannot be written.
    """
    values: dict[str, dict[str, Scalar]] = {}
    repeating = plan.template.repeating
    try:
        if plan.template.folder.is_dir():
            skip = {path.resolve() for path in (folder, folder.parent)}
            copy_beside(plan.template.folder, folder, skip=skip, only_newer=sources is not None)
        for party in plan.parties:
            notebook = read_notebook(party.source if sources is None else sources[party.name])
            known = read_parameters_cell(notebook, name=party.source.name)
            ours: dict[str, Scalar] = {"task_id": plan.task, "party_id": party.name, "party_index": party.index}
            if repeating is not None:
                ours[f"{repeating}s"] = sum(other.role == repeating for other in plan.parties)
            values[party.name] = {name: value for name, value in {**ours, **plan.values}.items() if name in known}
            metadata = notebook.setdefault("metadata", {})
            spec = metadata.get("kernelspec", {})
            named, language = spec.get("name"), str(spec.get("language", "python")).lower()
            _mark(metadata, template=plan.template.name, role=party.role, party=party.name)
            chosen = kernel_for(party, named, language)
            if chosen != named:
                metadata["kernelspec"] = _kernelspec(chosen)
            write_notebook(notebook, folder / f"{party.name}.ipynb")
    except OSError as error:
        raise StorageError(
            f"the run folder cannot be filled: {error.strerror}: {error.filename}",
            next_step="make room, or choose another place with --output DIR",
        ) from error
    return values


def copy_template(template: Template, folder: Path, installed_kernels: Iterable[str]) -> Template:
    """Copy a template so that its owner can change it, as `playground new` does.

    Raises:
        TemplateError: `folder` exists and is not empty.
        StorageError: it cannot be written.
    """
    folder = folder.expanduser().absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise TemplateError(f"{folder} exists already", next_step="choose the name of a new folder")
    installed = set(installed_kernels)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        copy_beside(template.folder, folder, skip={folder}, link_large=False)
        declaration = template.folder / DECLARATION
        if declaration.is_file():
            shutil.copyfile(declaration, folder / DECLARATION)
        for role in template.roles.values():
            notebook = read_notebook(template.folder / role.notebook)
            if role.kernel in installed:
                notebook.setdefault("metadata", {})["kernelspec"] = _kernelspec(str(role.kernel))
            write_notebook(notebook, folder / role.notebook)
    except OSError as error:
        raise StorageError(
            f"{folder} cannot be written: {error.strerror}", next_step="choose another folder"
        ) from error
    return load(folder)


def copy_beside(
    source: Path, target: Path, *, skip: set[Path], link_large: bool = True, only_newer: bool = False
) -> None:
    """Copy what lies beside the notebooks: modules, small data. Links instead of copies for files over 64 MB.

    `only_newer`: keep what is there already unless its source was changed since.
    """
    for path in sorted(source.iterdir()):
        if path.name in _SKIPPED or path.name in _OWN_NAMES or path.suffix == ".ipynb" or path.resolve() in skip:
            continue
        if path.is_dir():
            if not (path / "summary.json").exists():  # an earlier run's folder
                (target / path.name).mkdir(exist_ok=True)
                copy_beside(path, target / path.name, skip=skip, link_large=link_large, only_newer=only_newer)
        elif path.is_file() and not (only_newer and _is_current(target / path.name, path)):
            if link_large and path.stat().st_size > _LINK_FROM:
                (target / path.name).symlink_to(path.resolve())
            else:
                shutil.copyfile(path, target / path.name)


def _is_current(copy: Path, source: Path) -> bool:
    return copy.is_symlink() or (copy.exists() and copy.stat().st_mtime >= source.stat().st_mtime)


def write_notebook(notebook: dict[str, Any], path: Path) -> None:
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", "utf-8")


def _counts(template: Template, parties: int | None) -> dict[str, int]:
    """How many parties play each role."""
    counts = {name: role.count for name, role in template.roles.items()}
    if parties is None or parties == sum(counts.values()):
        return counts
    name = template.repeating
    if name is None:
        raise ParameterError(
            f"{template.name} is made for {sum(counts.values())} parties, not {parties}",
            next_step="leave --parties out, or give a role `minimum` in template.toml",
        )
    others = sum(counts.values()) - counts[name]
    least, most = template.roles[name].minimum or 1, template.roles[name].maximum
    counts[name] = parties - others
    if counts[name] < least or (most is not None and counts[name] > most):
        upper = "" if most is None else f" and at most {most + others}"
        fixed = ", ".join(role for role in counts if role != name)
        raise ParameterError(
            f"--parties {parties}: {template.name} needs at least {least + others}{upper} notebooks all together",
            next_step=f"--parties counts the {fixed} too; the rest are {name}s",
        )
    return counts


def _mark(metadata: dict[str, Any], *, template: str, role: str, party: str) -> None:
    """By this entry a party notebook is recognised; papermill keeps it."""
    metadata["playground"] = {
        **metadata.get("playground", {}),
        "template": template,
        "role": role,
        "party": party,
        "format": 1,
    }


def _kernelspec(name: str) -> dict[str, str]:
    title = (
        "Python 3 (ipykernel)" if name == "python3" else f"{name.removeprefix('playground-').capitalize()} (Playground)"
    )
    return {"display_name": title, "language": "python", "name": name}
