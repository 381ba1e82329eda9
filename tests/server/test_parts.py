"""The pieces below the routes, each by itself."""

from __future__ import annotations

import ast
import json
import os
import random
import tomllib
from pathlib import Path

import pytest

import playground_ext
from playground_ext.runner.parameters import Parameter, read_parameters_cell
from playground_ext.runner.plan import make_plan
from playground_ext.runner.templates import find_templates
from playground_ext.server.app import share
from playground_ext.server.declaration import declare
from playground_ext.server.filling import fill_parameters
from playground_ext.server.numbered import Numbered
from playground_ext.server.paths import Root
from playground_ext.server.refusals import BadField
from playground_ext.server.timeline import Stopwatch
from playground_ext.server.wire import LogItem, Phase, encode


def test_numbered_items_are_those_of_a_plain_list_however_many_left_memory(monkeypatch):
    monkeypatch.setattr("playground_ext.server.numbered.SPOOLED_AT_ONCE", 7)
    chance = random.Random(1)
    items, oracle = Numbered(most_items=20, most_bytes=10_000), []
    try:
        for _ in range(300):
            more = [f'{{"seq":{len(oracle) + n + 1}}}'.encode() for n in range(chance.randrange(4))]
            items.add(more)
            oracle += more
            before, most = chance.randrange(1, len(oracle) + 3), chance.randrange(1, 40)
            expected = oracle[: before - 1][-most:]
            found, first = items.before(before, most)
            assert found == expected
            assert not found or first == min(before, len(oracle) + 1) - len(expected)
            after = chance.randrange(max(1, items.first) - 1, len(oracle) + 2)
            assert items.after(after, most)[0] == oracle[after:][:most]
        assert items.last == len(oracle)
        assert items.first > 100
    finally:
        items.close()


def test_memory_is_bounded_by_bytes_as_well():
    items = Numbered(most_items=1000, most_bytes=5000)
    try:
        for _ in range(100):
            items.add([b"x" * 1000])
        assert items.last - items.first < 6
        assert len(items.before(51, 50)[0]) == 50
    finally:
        items.close()


@pytest.mark.parametrize(
    ("source", "values", "filled"),
    [
        ('task_id = "x"  # "why"\n', {"task_id": "mine"}, 'task_id = "mine"  # "why"\n'),
        ("a = 1; b = 2", {"b": 3, "a": True}, "a = True; b = 3"),
        ("a: int = 1", {"a": -5}, "a: int = -5"),
        ("a = (\n    1\n)  # end", {"a": 2}, "a = (\n    2\n)  # end"),
        ('ä = "ö"; b = "é"', {"b": "ü"}, 'ä = "ö"; b = "ü"'),
        ('a = ""', {"a": 'say "hi"\n'}, "a = 'say \"hi\"\\n'"),
        ('a = ""', {"a": "it's"}, 'a = "it\'s"'),
        ("a = 1", {"b": 2}, "a = 1"),
        ("a = b = 1", {"b": 2}, "a = b = 2"),
    ],
)
def test_values_are_written_into_the_cell_and_comments_stay(source, values, filled):
    cell = {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": source.splitlines(keepends=True)}
    notebook = {"cells": [cell]}

    fill_parameters(notebook, values, name="x.ipynb")

    assert cell["source"] == filled
    ast.parse(filled)
    written = read_parameters_cell(notebook, name="x.ipynb")
    assert {name: value for name, value in written.items() if name in values} == {
        name: value for name, value in values.items() if name in written
    }


@pytest.mark.parametrize("name", sorted(find_templates()))
def test_a_declaration_says_what_its_template_says(name):
    template = find_templates()[name]
    plan = make_plan(template)
    said = tomllib.loads(declare(plan))

    assert (said["title"], said["description"]) == (template.title, template.description)
    assert list(said["roles"]) == list(template.roles)
    for role in template.roles:
        assert said["roles"][role]["notebooks"] == [f"{p.name}.ipynb" for p in plan.parties if p.role == role]
    for parameter, declared in template.parameters.items():
        read = Parameter(
            **{key: tuple(v) if key == "choices" else v for key, v in said["parameters"][parameter].items()}
        )
        assert read.problems() == []
        assert (read.default, read.minimum, read.maximum, read.choices, read.help) == (
            declared.default,
            declared.minimum,
            declared.maximum,
            declared.choices,
            declared.help,
        )


def test_waiting_and_work_take_turns():
    watch = Stopwatch()
    said = [("training", 10.0), ("training", 11.0), ("waiting for updates", 12.5), ("testing", 14.0)]
    for state, at in said:
        watch.say("a", state, 1, at, late=False)
    watch.stop("a", 14.5)

    assert watch.phases(99.0) == [
        Phase("a", 1, "compute", 10.0, 2.5),
        Phase("a", 1, "wait", 12.5, 1.5),
        Phase("a", 1, "compute", 14.0, 0.5),
    ]


def test_what_began_before_anybody_watched_is_left_to_the_report():
    watch = Stopwatch()
    watch.say("a", "training", 1, 10.0, late=True)
    watch.say("a", "waiting", 1, 12.0, late=False)

    assert watch.phases(13.0) == [Phase("a", 1, "wait", 12.0, 1.0)]


@pytest.mark.parametrize("path", ["..", "a/../..", "/../x", "a/.git", "x\0", "link", "link/b", "a\\..\\b"])
def test_paths_that_leave_the_root_are_refused(tmp_path: Path, path: str):
    root = tmp_path / "root"
    (root / "a").mkdir(parents=True)
    (root / "link").symlink_to(tmp_path)

    with pytest.raises(BadField):
        Root(root).inside(path)


def test_paths_within_the_root_are_jupyters(tmp_path: Path):
    (tmp_path / "a").mkdir()
    (tmp_path / "out").symlink_to("/etc")
    root = Root(tmp_path)

    assert root.inside("/a/b.ipynb") == root.inside("a/b.ipynb") == tmp_path.resolve() / "a" / "b.ipynb"
    assert root.inside("") == tmp_path.resolve()
    assert root.name(tmp_path / "a" / "b.ipynb") == "a/b.ipynb"
    assert root.name(tmp_path) == ""
    assert root.name(tmp_path.parent) is None
    assert root.name(tmp_path / "out" / "passwd") is None


def test_a_line_that_is_no_unicode_travels_as_escapes():
    assert b"\\\\udcff" in encode(LogItem(1, 0.0, "a", "INFO", None, "log", "\udcff"))


def test_jupyter_finds_the_extension_by_the_file_that_is_installed():
    checkout = Path(playground_ext.__file__).parents[1]
    mapped = tomllib.loads((checkout / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    (source,) = [
        source
        for source, target in mapped["shared-data"].items()
        if target == "etc/jupyter/jupyter_server_config.d/playground_ext.json"
    ]
    assert json.loads((checkout / source).read_text()) == {
        "ServerApp": {"jpserver_extensions": {"playground_ext": True}}
    }
    (point,) = playground_ext._jupyter_server_extension_points()
    assert point["app"].name == "playground_ext"


def test_what_kernels_inherit_is_the_root_unless_the_user_said_otherwise(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("PLAYGROUND_RUNS", "/elsewhere")
    monkeypatch.delenv("PLAYGROUND_WORKSPACE")
    (tmp_path / "repository" / ".git").mkdir(parents=True)
    (tmp_path / "repository" / "notebooks").mkdir()

    share(Root(tmp_path / "repository" / "notebooks"))

    assert os.environ.pop("PLAYGROUND_WORKSPACE") == str(tmp_path / "repository")
    assert os.environ["PLAYGROUND_RUNS"] == "/elsewhere"
