from __future__ import annotations

import json
import subprocess
import sys


def test_help_teaches_with_examples(playground):
    code, output = playground("--help")

    assert code == 0
    for text in ("playground run fed_avg", "playground new fed_avg my_task", "templates"):
        assert text in output
    code, output = playground("run", "--help")
    assert code == 0
    for option in ("--parties", "--task", "--output", "--timeout", "--kernel", "--json", "-p"):
        assert option in output


def test_help_imports_nothing_heavy(playground):
    check = (
        "import sys; sys.argv = ['playground', '--help']\n"
        "from playground_ext.runner.cli import app\n"
        "try: app()\nexcept SystemExit: pass\n"
        "print('heavy:', {'torch', 'papermill', 'nbformat', 'redis', 'jupyter_client', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", check], env=playground.environment, capture_output=True, text=True, timeout=30
    )

    assert "heavy: set()" in done.stdout, done.stdout + done.stderr


def test_the_version_is_shown(playground):
    code, output = playground("--version")

    assert code == 0
    assert output.startswith("playground ")


def test_templates_are_listed_with_parties_and_parameters(playground, two_roles):
    code, output = playground("templates", PLAYGROUND_TEMPLATES=str(two_roles.parent))

    assert code == 0
    assert "two_roles" in output
    assert "1 aggregator, 2 collaborators" in output
    assert "integer, 1 to 9" in output
    _, output = playground("templates", "--json", PLAYGROUND_TEMPLATES=str(two_roles.parent))
    found = {template["name"]: template for template in json.loads(output)}
    assert found["two_roles"]["parameters"]["rounds"]["default"] == 2


def test_check_names_every_problem_and_fails(playground, two_roles):
    assert playground("templates", "--check", two_roles)[0] == 0
    (two_roles / "aggregator.ipynb").unlink()

    code, output = playground("templates", "--check", two_roles)

    assert code == 1
    assert "there is no such file" in output


def test_a_new_folder_can_be_run_at_once(playground, two_roles):
    code, output = playground("new", two_roles, "mine")
    assert code == 0, output
    assert "playground run mine" in output

    code, output = playground("run", "mine", "--parties", 2)

    assert code == 0, output
    assert "hello from" in playground.text_of("collaborator-1")
    code, output = playground("new", two_roles, "mine")
    assert code == 2
    assert "exists already" in output


def test_an_unknown_template_says_which_there_are(playground):
    code, output = playground("run", "no_such_thing")

    assert code == 2
    assert "there is no template or folder 'no_such_thing'" in output
    assert "fed_avg" in output
    assert "Traceback" not in output
