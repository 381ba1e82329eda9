"""Templates: folders with one parameterised notebook per role, where they are found, and what is wrong with one."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import msgspec

from playground_ext import settings
from playground_ext.bus.keys import check_name
from playground_ext.errors import ConfigError, TemplateError
from playground_ext.runner.parameters import RESERVED, Parameter, read_parameters_cell, tagged_cells

__all__ = [
    "DECLARATION",
    "Role",
    "Template",
    "check",
    "find_template",
    "find_templates",
    "load",
    "notebooks_of",
    "read_notebook",
]

DECLARATION = "template.toml"
ENTRY_POINTS = (
    "playground_ext.templates"  # each loads to a folder (str or Path), to a package that lies in one, or to a function
)
_FIRST_NAMES = ("aggregator", "host", "initiator", "server")  # who begins in a folder that does not say it


class Role(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[roles.<name>]` of `template.toml`: `count` parties run this notebook."""

    notebook: str
    notebooks: tuple[str, ...] = ()  # one per party where each has its own; as many as `count`
    count: int = 1
    minimum: int | None = None  # with a minimum or a maximum, the number of parties can be chosen
    maximum: int | None = None
    kernel: str | None = None  # kernelspec of copies, where it is installed
    initiator: bool = False
    title: str = ""
    description: str = ""

    @property
    def repeats(self) -> bool:
        return self.minimum is not None or self.maximum is not None


class _Declaration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    title: str
    roles: dict[str, Role]
    description: str = ""
    parameters: dict[str, Parameter] = {}


@dataclass(frozen=True)
class Template:
    """A federation folder. `declared` is False without a `template.toml`: there every notebook is a party."""

    name: str
    folder: Path
    title: str
    description: str
    roles: dict[str, Role]  # the initiator first
    parameters: dict[str, Parameter] = field(default_factory=dict)
    declared: bool = True
    source: str = "path"  # where it was found, in words

    @property
    def repeating(self) -> str | None:
        """The role whose number of parties can be chosen."""
        return next((name for name, role in self.roles.items() if role.repeats), None)

    @property
    def default_parties(self) -> int:
        return sum(role.count for role in self.roles.values())


def find_templates() -> dict[str, Template | TemplateError]:
    """All templates by name: the checkout's, the installed ones, PLAYGROUND_TEMPLATES, entry points; the first wins.

    A folder that cannot be read as a template is listed with its error, so that one broken template hides no other.
    """
    found: dict[str, Template | TemplateError] = {}
    for root, source in _roots():
        if isinstance(root, TemplateError):
            found.setdefault(source, root)
            continue
        folders = [root] if (root / DECLARATION).is_file() else sorted(path for path in root.iterdir() if path.is_dir())
        for folder in folders:
            if folder.name in found or not (folder / DECLARATION).is_file():
                continue
            try:
                found[folder.name] = load(folder, source=source)
            except TemplateError as error:
                found[folder.name] = error
    return found


def find_template(name_or_path: str) -> Template:
    """The federation in a folder, or else the template of that name.

    Raises:
        TemplateError: neither exists, or the folder is not a federation.
    """
    path = Path(name_or_path).expanduser()
    if path.is_file() and path.name == DECLARATION:
        path = path.parent
    if path.is_dir() and ((path / DECLARATION).exists() or notebooks_of(path)):
        return load(path)
    found = find_templates()
    template = found.get(name_or_path)
    if isinstance(template, TemplateError):
        raise template
    if template is None:
        names = ", ".join(sorted(found)) or "none: no template is installed"
        raise TemplateError(
            f"{name_or_path} holds no notebooks"
            if path.is_dir()
            else f"there is no template or folder {name_or_path!r}",
            next_step=f"`playground templates` lists the templates ({names}); a folder with notebooks will do too",
        )
    return template


def load(folder: Path, *, source: str = "path") -> Template:
    """Read a federation folder.

    Raises:
        TemplateError: no such folder, no notebooks, or a `template.toml` that cannot be right; names file and place.
    """
    folder = folder.resolve()
    if not folder.is_dir():
        raise TemplateError(f"{folder} is not a folder")
    file = folder / DECLARATION
    if not file.is_file():
        return _undeclared(folder, source)
    try:
        said = msgspec.toml.decode(file.read_bytes(), type=_Declaration)
    except (msgspec.MsgspecError, ValueError, OSError) as error:
        raise TemplateError(
            f"{file}: {error}", next_step=f"`playground templates --check {folder}` lists all problems"
        ) from error
    problems = _declaration_problems(said, folder)
    if problems:
        raise TemplateError(f"{file} cannot be right", details="\n".join(problems))
    initiators = [name for name, role in said.roles.items() if role.initiator] or list(said.roles)[:1]
    roles = {name: said.roles[name] for name in [*initiators, *(name for name in said.roles if name not in initiators)]}
    return Template(folder.name, folder, said.title, said.description, roles, said.parameters, source=source)


def check(folder: Path) -> list[str]:
    """Everything that is wrong with a template folder, one sentence each; empty if it can be run."""
    try:
        template = load(folder)
    except TemplateError as error:
        return [error.what, *(error.details or "").splitlines()]
    problems: list[str] = []
    assigned: dict[str, Any] = {}
    for name, role in template.roles.items():
        try:
            notebook = read_notebook(template.folder / role.notebook)
            values = read_parameters_cell(notebook, name=role.notebook)
        except TemplateError as error:
            problems.append(error.what)
            continue
        assigned |= values
        if not tagged_cells(notebook, "parameters"):
            problems.append(f"{role.notebook} has no cell tagged 'parameters', so nothing can be passed to it")
        elif role.repeats and not {"party_id", "party_index"} & set(values):
            problems.append(
                f"{role.notebook} has neither party_id nor party_index, so its {name}s cannot be told apart"
            )
        if any(cell.get("outputs") for cell in notebook["cells"]):
            problems.append(f"{role.notebook} has outputs; a template is kept without")
        said = notebook.get("metadata", {}).get("playground", {}).get("role", name)
        if said != name:
            problems.append(
                f"{role.notebook} says in its metadata that its role is {said!r}, {DECLARATION} says {name!r}"
            )
    for name, parameter in template.parameters.items() if template.declared else ():
        if name not in assigned:
            problems.append(f"parameter {name} is in no notebook's parameters cell")
        elif assigned[name] != parameter.default:
            there = f"{assigned[name]!r} in a notebook, {parameter.default!r} in {DECLARATION}"
            problems.append(f"the default of parameter {name} is {there}")
    return problems + list(_module_problems(template.folder))


def notebooks_of(folder: Path) -> list[Path]:
    """The notebooks that lie in a folder, those first whose name says that they begin."""
    found = [path for path in folder.glob("*.ipynb") if path.is_file() and not path.name.startswith(".")]
    return sorted(found, key=lambda path: (not any(word in path.stem.lower() for word in _FIRST_NAMES), path.name))


def read_notebook(path: Path) -> dict[str, Any]:
    """A notebook as JSON. nbformat takes 1.5 s to import, and nothing here needs it.

    Raises:
        TemplateError: the file is missing, is no JSON, or is not in notebook format 4.
    """
    try:
        notebook = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise TemplateError(f"{path.name} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise TemplateError(f"{path.name} is not a notebook: {error}") from error
    if not isinstance(notebook, dict) or notebook.get("nbformat") != 4 or not isinstance(notebook.get("cells"), list):
        raise TemplateError(f"{path.name} is not a notebook in format 4", next_step="open it in Jupyter and save it")
    return notebook


def _undeclared(folder: Path, source: str) -> Template:
    notebooks = notebooks_of(folder)
    if not notebooks:
        raise TemplateError(
            f"{folder} holds no notebooks",
            next_step=f"`playground new fed_avg {folder.name}` makes a folder to start from",
        )
    roles, parameters = {}, {}
    for index, path in enumerate(notebooks):
        try:
            check_name("the notebook's name", path.stem)
        except ConfigError as error:
            raise TemplateError(f"{path.name} cannot name a party", next_step=error.next_step) from error
        roles[path.stem] = Role(notebook=path.name, initiator=index == 0)
        for name, value in read_parameters_cell(read_notebook(path), name=path.name).items():
            if name not in RESERVED:
                parameters[name] = Parameter(type=type(value).__name__, default=value)
    description = f"{len(roles)} notebooks, each one party"
    return Template(folder.name, folder, folder.name, description, roles, parameters, declared=False, source=source)


def _declaration_problems(said: _Declaration, folder: Path) -> Iterator[str] | list[str]:
    problems = [] if said.roles else ['it names no roles: add [roles.<name>] with notebook = "….ipynb"']
    for name, role in said.roles.items():
        try:
            check_name(f"[roles.{name}]: role", name)
        except ConfigError as error:
            problems.append(error.what)
        for notebook in dict.fromkeys([role.notebook, *role.notebooks]):
            if not (folder / notebook).is_file() or Path(notebook).name != notebook:
                problems.append(f"[roles.{name}] notebook = {notebook!r}: there is no such file in the folder")
        if role.notebooks and not len(role.notebooks) == role.count == (role.maximum or role.count):
            problems.append(f"[roles.{name}] notebooks names {len(role.notebooks)}, but count = {role.count}")
        if not max(1, role.minimum or 1) <= role.count <= (role.maximum or role.count):
            problems.append(f"[roles.{name}] count = {role.count} is not within minimum and maximum")
    if sum(role.repeats for role in said.roles.values()) > 1:
        problems.append("more than one role has a minimum or maximum: --parties could not tell which one repeats")
    if sum(role.initiator for role in said.roles.values()) > 1:
        problems.append("more than one role has initiator = true")
    for name, parameter in said.parameters.items():
        if name in RESERVED or not name.isidentifier():
            problems.append(f"[parameters.{name}]: the name is reserved for the runner or is not a Python name")
        problems += [f"[parameters.{name}]: {problem}" for problem in parameter.problems()]
    return problems


def _module_problems(folder: Path) -> Iterator[str]:
    for path in sorted(folder.glob("*.py")):
        try:
            compile(path.read_bytes(), path.name, "exec", dont_inherit=True)
        except (SyntaxError, ValueError) as error:
            yield f"{path.name} is not Python: {error}"


def _roots() -> Iterator[tuple[Path | TemplateError, str]]:
    """Folders that hold templates and where each comes from, in words; an error for a broken entry point."""
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "pyproject.toml").is_file() and (checkout / "templates").is_dir():
        yield checkout / "templates", "checkout"
    installed = Path(sys.prefix) / "share" / "playground" / "templates"
    if installed.is_dir():
        yield installed, "installed"
    for folder in settings.read().templates:
        if folder.is_dir():
            yield folder, "PLAYGROUND_TEMPLATES"
    for entry in entry_points(group=ENTRY_POINTS):
        try:
            loaded = entry.load()
            loaded = loaded() if callable(loaded) else loaded
            folder = Path(loaded if isinstance(loaded, str | Path) else Path(loaded.__file__).parent)
        except Exception as error:
            what = f"the entry point {entry.name} = {entry.value!r} of {ENTRY_POINTS} cannot be loaded: {error!r}"
            yield TemplateError(what, next_step="reinstall or remove the package that declares it"), entry.name
            continue
        if folder.is_dir():
            yield folder, f"entry point {entry.name}"
