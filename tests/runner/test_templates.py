from __future__ import annotations

import json
from pathlib import Path

import pytest

from playground_ext.errors import ParameterError, TemplateError
from playground_ext.runner.plan import choose_folder, copy_template, make_plan, prepare
from playground_ext.runner.templates import check, find_template, find_templates, load


def test_a_template_says_its_roles_with_the_initiator_first(two_roles):
    template = load(two_roles)

    assert list(template.roles) == ["aggregator", "collaborator"]
    assert template.repeating == "collaborator"
    assert template.default_parties == 3
    assert check(two_roles) == []


def test_templates_are_found_in_the_folders_that_the_environment_names(two_roles, monkeypatch):
    monkeypatch.setenv("PLAYGROUND_TEMPLATES", str(two_roles.parent))

    assert find_templates()["two_roles"].folder == two_roles
    assert find_template("two_roles").source == "PLAYGROUND_TEMPLATES"


def test_a_broken_template_hides_no_other(two_roles, monkeypatch):
    broken = two_roles.parent / "broken"
    broken.mkdir()
    (broken / "template.toml").write_text("title = 3")
    monkeypatch.setenv("PLAYGROUND_TEMPLATES", str(two_roles.parent))

    found = find_templates()

    assert isinstance(found["broken"], TemplateError)
    assert not isinstance(found["two_roles"], TemplateError)


def test_an_unknown_template_is_refused_with_those_that_exist(two_roles, monkeypatch):
    monkeypatch.setenv("PLAYGROUND_TEMPLATES", str(two_roles.parent))

    with pytest.raises(TemplateError, match="there is no template or folder 'no_such'") as caught:
        find_template("no_such")

    assert "two_roles" in str(caught.value)


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ('notebook = "aggregator.ipynb"', 'notebook = "gone.ipynb"', "there is no such file"),
        ("count = 2", "count = 9", "not within minimum and maximum"),
        ('type = "integer"', 'type = "list"', "type 'list' does not exist"),
        ("default = 2", "default = 99", "its default 99"),
        ("title =", "titel =", "titel"),
        ("initiator = true", "minimum = 1", "more than one role"),
        ("[parameters.rate]", "[parameters.task_id]", "reserved"),
        ("title =", "title", "template.toml"),
    ],
)
def test_a_wrong_declaration_is_named(two_roles, before, after, problem):
    file = two_roles / "template.toml"
    assert before in file.read_text()
    file.write_text(file.read_text().replace(before, after, 1))

    assert any(problem in line for line in check(two_roles))


def test_a_parameter_that_no_notebook_knows_is_named(two_roles):
    with (two_roles / "template.toml").open("a") as file:
        file.write("\n[parameters.extra]\ntype = 'bool'\ndefault = true\n")

    assert check(two_roles) == ["parameter extra is in no notebook's parameters cell"]


def test_defaults_that_differ_between_notebook_and_declaration_are_named(two_roles):
    file = two_roles / "template.toml"
    file.write_text(file.read_text().replace("default = 2", "default = 3"))

    assert check(two_roles) == ["the default of parameter rounds is 2 in a notebook, 3 in template.toml"]


def test_modules_that_are_not_python_are_named(two_roles):
    (two_roles / "helper.py").write_text("def")

    assert [line.split(":")[0] for line in check(two_roles)] == ["helper.py is not Python"]


def test_in_a_folder_without_declaration_every_notebook_is_a_party(tmp_path, write_notebook):
    write_notebook(tmp_path / "alice.ipynb", "1", parameters="rounds = 3")
    write_notebook(tmp_path / "host.ipynb", "1")

    template = load(tmp_path)

    assert list(template.roles) == ["host", "alice"]  # a host begins
    assert template.parameters["rounds"].default == 3


def test_parties_are_counted_all_together(two_roles):
    plan = make_plan(load(two_roles), parties=4)

    assert plan.nodes == ["aggregator", "collaborator-1", "collaborator-2", "collaborator-3"]
    assert make_plan(load(two_roles)).nodes == ["aggregator", "collaborator-1", "collaborator-2"]


@pytest.mark.parametrize("parties", [1, 6])
def test_too_few_and_too_many_parties_are_refused(two_roles, parties):
    with pytest.raises(ParameterError, match="at least 2 and at most 5"):
        make_plan(load(two_roles), parties=parties)


def test_each_copy_gets_the_values_its_parameters_cell_knows(two_roles, tmp_path, write_notebook):
    write_notebook(two_roles / "aggregator.ipynb", "1", parameters='task_id = ""\nrounds = 2')
    before = {path: path.read_bytes() for path in two_roles.iterdir()}
    plan = make_plan(load(two_roles), assignments=["rounds=4"], task="t")
    folder = choose_folder("t", runs=tmp_path / "runs")

    values = prepare(plan, folder, lambda party, named, language: str(party.kernel))

    assert values["aggregator"] == {"task_id": "t", "rounds": 4}
    assert values["collaborator-2"] == {
        "task_id": "t",
        "party_id": "collaborator-2",
        "party_index": 2,
        "collaborators": 2,
        "rounds": 4,
    }
    assert sorted(path.name for path in folder.iterdir()) == [
        "aggregator.ipynb",
        "collaborator-1.ipynb",
        "collaborator-2.ipynb",
        "helper.py",
    ]
    metadata = json.loads((folder / "collaborator-2.ipynb").read_text())["metadata"]
    assert metadata["playground"] == {
        "template": "two_roles",
        "role": "collaborator",
        "party": "collaborator-2",
        "format": 1,
    }
    assert metadata["kernelspec"]["name"] == "playground-collaborator"
    assert before == {path: path.read_bytes() for path in two_roles.iterdir()}


def test_runs_below_the_template_are_not_copied_into_the_next_run(two_roles):
    plan = make_plan(load(two_roles), task="t")
    for _ in range(2):
        folder = choose_folder("t", runs=two_roles / "runs")
        prepare(plan, folder, lambda party, named, language: "python3")

    assert folder.name == "t-2"
    assert not (folder / "runs").exists()


def test_a_copy_is_a_template_of_its_own_with_the_roles_kernels(two_roles, tmp_path):
    made = copy_template(load(two_roles), tmp_path / "mine", {"playground-collaborator"})

    assert check(made.folder) == []
    assert (made.folder / "helper.py").exists()
    kernels = {
        path.stem: json.loads(path.read_text())["metadata"]["kernelspec"]["name"]
        for path in made.folder.glob("*.ipynb")
    }
    assert kernels == {"aggregator": "python3", "collaborator": "playground-collaborator"}
    with pytest.raises(TemplateError, match="exists already"):
        copy_template(load(two_roles), tmp_path / "mine", set())


def test_the_shipped_templates_are_in_order():
    found = find_templates()

    assert "fed_avg" in found
    assert {name: check(Path(template.folder)) for name, template in found.items()} == {name: [] for name in found}
