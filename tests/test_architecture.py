"""What holds the package together: who may import whom, what is public, what nobody may do."""

from __future__ import annotations

import ast
import functools
import importlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = REPOSITORY / "playground_ext"
MODULES = {
    ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
LONGEST = 500  # lines of a module; style.md asks why from 300 on

# Each part may import those named here and itself: errors, settings → bus → party → logs → scheduler → algorithms.
_BASE = {"errors", "settings"}
_BUS = _BASE | {"bus"}
_PARTY = _BUS | {"data", "party"}
_LOGS = _PARTY | {"logs"}
_SCHEDULER = _LOGS | {"scheduler"}
MAY_IMPORT = {
    "errors": set(),
    "settings": {"errors"},
    "bus": _BASE,
    "data": _BASE,
    "party": _BUS | {"data"},
    "logs": _PARTY,
    "scheduler": _LOGS,
    "fed_avg": _SCHEDULER,
    "psi": _SCHEDULER,
    "hetero_nn": _SCHEDULER | {"psi"},
    "compat": _SCHEDULER | {"fed_avg", "psi", "hetero_nn"},
    "kernel": _LOGS,
    "runner": _LOGS | {"kernel"},
    "overview": _LOGS | {"runner"},
    "server": _LOGS | {"runner", "kernel"},
}


@pytest.fixture(autouse=True)
def own_environment() -> None:
    """None is needed: these tests read sources, and there are more than a thousand."""


@functools.cache
def tree_of(name: str) -> ast.Module:
    return ast.parse(MODULES[name].read_text("utf-8"), str(MODULES[name]))


def part_of(module: str) -> str:
    """`bus` for playground_ext.bus.keys, the empty string for the package itself."""
    return module.split(".")[1] if "." in module else ""


def imported_modules(name: str) -> Iterator[str]:
    """Every module that `name` imports anywhere: at the top, in functions, and for type checking."""
    for node in ast.walk(tree_of(name)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively, line {node.lineno}"
            for alias in node.names:  # `from playground_ext import settings` imports a module
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in MODULES else str(node.module)


def imported_parts(name: str) -> set[str]:
    found = (module for module in imported_modules(name) if module.split(".")[0] == "playground_ext")
    return {part_of(module) for module in found} - {part_of(name), ""}


def test_every_part_has_its_place_among_the_arrows():
    unknown = {part_of(name) for name in MODULES} - set(MAY_IMPORT) - {""}
    assert not unknown, f"say in MAY_IMPORT what these may import: {unknown}"


@pytest.mark.parametrize("part", sorted(MAY_IMPORT))
def test_arrows_point_one_way(part):
    wrong = {
        f"{name} imports {sorted(more)}"
        for name in MODULES
        if part_of(name) == part and (more := imported_parts(name) - MAY_IMPORT[part])
    }
    assert not wrong


def test_the_arrows_have_no_circle():
    order: list[str] = []
    while len(order) < len(MAY_IMPORT):
        free = [part for part, allowed in MAY_IMPORT.items() if part not in order and allowed <= set(order)]
        assert free, f"a circle among {set(MAY_IMPORT) - set(order)}"
        order += free


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("playground_ext", ["torch", "numpy", "redis", "IPython"]),
        ("playground_ext.errors", ["torch", "numpy", "redis"]),
        ("playground_ext.runner.cli", ["torch", "numpy", "redis", "papermill", "nbclient", "IPython"]),
        ("playground_ext.runner.command", ["torch", "papermill", "nbformat"]),
        ("playground_ext.bus.mailbox", ["torch"]),
        ("playground_ext.party.context", ["torch"]),
        ("playground_ext.compat", ["torch", "numpy", "redis", "IPython"]),
        ("playground_ext.compat.alphafed.contractor", ["torch"]),
    ],
)
def test_importing_costs_nothing_heavy(module, heavy):
    code = f"import sys, {module}; print(*(name for name in {heavy!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr, done.stdout.strip()) == (0, "", "")


def is_public(name: str) -> bool:
    return not any(piece.startswith("_") for piece in name.split("."))


def says_nothing(tree: ast.Module) -> bool:
    """Only a docstring and `from __future__`: a folder's empty `__init__.py`."""
    return all(
        isinstance(node, ast.Expr) or (isinstance(node, ast.ImportFrom) and node.module == "__future__")
        for node in tree.body
    )


@pytest.mark.parametrize("name", [name for name in MODULES if is_public(name)])
def test_public_modules_say_what_is_public(name):
    module = importlib.import_module(name)
    said = getattr(module, "__all__", [])
    assert said or says_nothing(tree_of(name)), f"{name} has no __all__"
    assert len(said) == len(set(said))
    missing = [public for public in said if not hasattr(module, public)]
    assert not missing, f"{name}.__all__ names what is not there: {missing}"


@pytest.mark.parametrize("name", list(MODULES))
def test_nobody_imports_what_a_module_keeps_to_itself(name):
    private = [
        f"line {node.lineno}: {alias.name} of {node.module}"
        for node in ast.walk(tree_of(name))
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("playground_ext")
        for alias in node.names
        if alias.name.startswith("_") and not alias.name.startswith("__")
    ]
    assert not private


def reads_of_the_environment(tree: ast.Module) -> Iterator[str]:
    """Uses of os.environ other than handing all of it on, as in `{**os.environ, …}`, or replacing it."""
    allowed = set()
    for node in ast.walk(tree):
        match node:
            case ast.Dict():  # {**os.environ, "NAME": value}
                allowed |= {id(value) for key, value in zip(node.keys, node.values, strict=True) if key is None}
            case ast.Call(func=ast.Name(id="dict"), args=[argument]):  # dict(os.environ)
                allowed.add(id(argument))
            case ast.Call(func=ast.Attribute(value=source, attr="copy" | "clear" | "update")):
                allowed.add(id(source))
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="os"), attr="environ" | "environb") if id(node) not in allowed:
                yield f"line {node.lineno}: os.{node.attr}"
            case ast.Attribute(value=ast.Name(id="os"), attr="getenv" | "getenvb" | "putenv" | "unsetenv"):
                yield f"line {node.lineno}: os.{node.attr}"
            case ast.ImportFrom(module="os", names=names):
                yield from (f"line {node.lineno}: {alias.name}" for alias in names if "env" in alias.name)


@pytest.mark.parametrize("name", [name for name in MODULES if name != "playground_ext.settings"])
def test_only_settings_reads_the_environment(name):
    assert not list(reads_of_the_environment(tree_of(name)))


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("os.environ['PLAYGROUND_HOME']", True),
        ("os.environ.get('HOME')", True),
        ("'HOME' in os.environ", True),
        ("os.getenv('HOME')", True),
        ("from os import environ", True),
        ("os.environ['PLAYGROUND_HOME'] = 'x'", True),
        ("Popen(args, env={**os.environ, 'A': 'b'})", False),
        ("Popen(args, env=dict(os.environ))", False),
        ("environment = os.environ.copy()", False),
        ("os.environ.update(MALLOC_ARENA_MAX='2')", False),
    ],
)
def test_what_counts_as_reading_the_environment(code, found):
    assert bool(list(reads_of_the_environment(ast.parse(code)))) is found


UNPICKLERS = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "marshal", "shelve", "joblib"}


def ways_to_unpickle(name: str) -> Iterator[str]:
    yield from (f"imports {module}" for module in imported_modules(name) if module.split(".")[0] in UNPICKLERS)
    for node in ast.walk(tree_of(name)):
        if not isinstance(node, ast.Call):
            continue
        options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        if ast.unparse(node.func) == "torch.load" and options.get("weights_only") != "True":
            yield f"line {node.lineno}: torch.load without weights_only=True"
        if options.get("allow_pickle", "False") != "False":
            yield f"line {node.lineno}: allow_pickle"


@pytest.mark.parametrize("name", list(MODULES))
def test_nothing_unpickles(name):
    assert not list(ways_to_unpickle(name))


@pytest.mark.parametrize("name", list(MODULES))
def test_modules_hold_one_idea(name):
    assert len(MODULES[name].read_text("utf-8").splitlines()) <= LONGEST


@pytest.mark.parametrize("name", list(MODULES))
def test_input_is_never_checked_by_assert(name):
    assert not [f"line {node.lineno}" for node in ast.walk(tree_of(name)) if isinstance(node, ast.Assert)]


@pytest.mark.parametrize("name", list(MODULES))
def test_nobody_sleeps_and_polls(name):
    sleeps = {"time.sleep", "asyncio.sleep"}
    called = (node for node in ast.walk(tree_of(name)) if isinstance(node, ast.Call))
    assert not [f"line {node.lineno}" for node in called if ast.unparse(node.func) in sleeps]


def test_everything_imported_is_declared():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    declared = {_normal(re.split(r"[\[<>=~! ;]", line)[0]) for line in project["dependencies"]}
    modules = {module.split(".")[0] for name in MODULES for module in imported_modules(name)}
    foreign = modules - set(sys.stdlib_module_names) - {"playground_ext"}
    owners = packages_distributions()
    undeclared = {m for m in foreign if not declared & {_normal(one) for one in owners.get(m, [m])}}
    assert not undeclared, f"missing among the dependencies in pyproject.toml: {undeclared}"


def _normal(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()
