"""`playground run`, with real kernels and papermill."""

from __future__ import annotations

import json
import sys
from xml.etree import ElementTree

import pytest

SLEEP = "import time; time.sleep(60)"


def test_all_notebooks_run_at_once_with_their_own_values(playground, two_roles):
    code, output = playground("run", two_roles, "--parties", 4, "-p", "rounds=3", "--task", "mine")

    assert code == 0, output
    for party, values in {
        "aggregator": "aggregator 1 3 3 0.5",
        "collaborator-1": "collaborator-1 1 3 3 0.5",
        "collaborator-3": "collaborator-3 3 3 3 0.5",
    }.items():
        assert f"hello from mine {values}" in playground.text_of(party)
    assert playground.run_folder.name == "mine"
    assert "All 4 notebooks ran to their end" in output
    assert output.count("playground run") >= 1
    assert "runs/mine" in output
    suite = ElementTree.parse(playground.run_folder / "junit.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("4", "0", "0")
    assert playground.left_behind() == []


def test_a_party_kernel_knows_who_it_is_and_runs_in_this_interpreter(playground, make_folder):
    show = (
        "import os, sys\n"
        "names = ['TASK', 'PARTY', 'NODES', 'ROLE', 'HOME', 'NOTEBOOK', 'REDIS_URL']\n"
        "print({n: os.environ['PLAYGROUND_' + n] for n in names} | {'exe': sys.executable, 'cwd': os.getcwd(),"
        " 'threads': os.environ['OMP_NUM_THREADS']})"
    )
    folder = make_folder(alice=[show], bob=["1"])

    code, output = playground("run", folder, "--task", "t", OMP_NUM_THREADS="3")

    assert code == 0, output
    said = eval(playground.text_of("alice"))
    where = playground.run_folder
    assert said["REDIS_URL"].startswith("unix://")
    assert (said["TASK"], said["PARTY"], said["NODES"], said["ROLE"]) == (
        "t",
        "alice",
        "alice,bob",
        "",
    )  # a file's name is no role
    assert (said["HOME"], said["NOTEBOOK"], said["cwd"]) == (
        str(where / "parties"),
        str(where / "alice.ipynb"),
        str(where),
    )
    assert said["exe"] == sys.executable
    assert said["threads"] == "3"  # what the user set stays


def test_an_exception_ends_the_run_with_notebook_cell_and_line(playground, make_folder):
    folder = make_folder(alice=["x = 1", "def f():\n    return x / 0\n\nf()"], bob=[SLEEP], carol=[SLEEP])

    code, output = playground("run", folder)

    assert code == 1
    assert "alice failed in alice.ipynb, cell [2], line 2" in output
    assert "ZeroDivisionError: division by zero" in output
    assert "return x / 0" in output
    suite = ElementTree.parse(playground.run_folder / "junit.xml").getroot()[0]
    (failure,) = suite.findall("testcase/failure")
    assert failure.get("type") == "ZeroDivisionError"
    assert failure.text is not None
    assert failure.text.startswith("alice.ipynb, cell [2], line 2")
    assert "return x / 0" in failure.text
    assert len(suite.findall("testcase/skipped")) == 2
    summary = json.loads((playground.run_folder / "summary.json").read_text())
    assert (summary["status"], summary["first_failure"]) == ("failed", "alice")
    assert [party["status"] for party in summary["parties"]] == ["failed", "stopped", "stopped"]
    assert "KeyboardInterrupt" in playground.text_of("bob")
    assert playground.left_behind() == []


def test_a_consequence_is_not_the_first_failure_even_if_it_comes_first(playground, make_folder):
    consequence = "from playground_ext.errors import PartyFailed\nraise PartyFailed('bob failed')"
    folder = make_folder(alice=[consequence], bob=["import time; time.sleep(2)", "raise ValueError('the cause')"])

    code, output = playground("run", folder)

    assert code == 1
    assert "bob failed in bob.ipynb, cell [2], line 1" in output
    assert "ValueError: the cause" in output


def test_a_kernel_that_dies_is_reported_with_its_signal(playground, make_folder):
    folder = make_folder(
        alice=["print('last words')", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"], bob=["1"]
    )

    code, output = playground("run", folder)

    assert code == 1
    assert "alice failed in alice.ipynb, cell [2]" in output
    assert "KernelDied: the kernel was killed by SIGKILL" in output
    assert "last words" in playground.text_of("alice")
    assert "KernelDied" in playground.text_of("alice")
    assert "SIGKILL" in (playground.run_folder / "junit.xml").read_text()
    assert playground.left_behind() == []


def test_a_run_that_takes_too_long_is_stopped_and_says_who_was_still_at_it(playground, make_folder):
    code, output = playground("run", make_folder(alice=[SLEEP], bob=["1"]), "--timeout", 5)

    assert code == 1
    assert "did not end within 5 s; stopping alice (cell 1 of 1)" in output
    assert "KeyboardInterrupt" in playground.text_of("alice")
    assert json.loads((playground.run_folder / "summary.json").read_text())["status"] == "timeout"


def test_a_disk_that_is_full_is_named_and_leaves_a_whole_notebook(playground, make_folder):
    folder = make_folder(alice=["print('kept')", "print('x' * 4_000_000)"], bob=["1"])
    command = playground.command("run", folder)

    import subprocess

    limited = ["bash", "-c", 'ulimit -f 2000; exec "$@"', "limited", *command]  # 2000 KiB a file
    done = subprocess.run(
        limited, cwd=playground.folder, env=playground.environment, capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 1, done.stdout + done.stderr
    assert "alice.ipynb cannot be saved: File too large" in done.stdout
    assert "make room" in done.stdout
    assert "Traceback" not in done.stderr
    assert "kept" in playground.text_of("alice")
    assert playground.left_behind() == []


def test_a_server_that_does_not_answer_is_named_without_its_password(playground, make_folder):
    url = "redis://:secret@127.0.0.1:1/0"
    code, output = playground("run", make_folder(alice=["1"]), PLAYGROUND_REDIS_URL=url)

    assert code == 1
    assert "redis://:***@127.0.0.1:1/0" in output
    assert "secret" not in output
    assert "PLAYGROUND_REDIS_URL" in output
    assert "Traceback" not in output
    assert not (playground.folder / "runs").exists()


def test_the_server_that_the_environment_names_is_used(playground, make_folder):
    from playground_ext.bus.server import EmbeddedServer

    with EmbeddedServer(port=0) as server:
        code, output = playground(
            "run",
            make_folder(alice=["import os; print(os.environ['PLAYGROUND_REDIS_URL'])"]),
            PLAYGROUND_REDIS_URL=server.url,
        )

        assert code == 0, output
        assert playground.text_of("alice").strip() == server.url
        assert "***" in json.loads((playground.run_folder / "summary.json").read_text())["server"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-p", "round=3"], "did you mean rounds?"),
        (["-p", "rounds=99"], "rounds is integer, 1 to 9"),
        (["--parties", "9"], "at least 2 and at most 5"),
        (["--task", "a b"], "'a b' is not a usable name"),
        (["--kernel", "fancy"], "fancy"),
    ],
)
def test_a_wrong_command_says_what_is_allowed(playground, two_roles, arguments, says):
    code, output = playground("run", two_roles, *arguments)

    assert code == 2
    assert says in output
    assert "Traceback" not in output
    assert not (playground.folder / "runs").exists()


def test_an_output_folder_that_is_not_empty_is_refused(playground, make_folder):
    folder = make_folder(alice=["1"])

    code, output = playground("run", folder, "--output", folder)

    assert code == 2
    assert "is not empty" in output


def test_a_kernelspec_that_is_not_installed_is_replaced_by_plain_python(playground, tmp_path, write_notebook):
    write_notebook(tmp_path / "folder" / "alice.ipynb", "print('ran')", kernel="no-such-kernel")

    code, output = playground("run", "folder")

    assert code == 0, output
    assert playground.text_of("alice") == "ran\n"
    assert playground.notebook("alice").metadata.kernelspec.name == "python3"


def test_the_summary_is_all_that_json_prints(playground, make_folder):
    import subprocess

    done = subprocess.run(
        playground.command("run", make_folder(alice=["1"]), "--json", "--output", "out"),
        cwd=playground.folder,
        env=playground.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )

    summary = json.loads(done.stdout)
    assert summary["status"] == "ok"
    assert summary == json.loads((playground.folder / "out" / "summary.json").read_text())
    assert "ran to their end" in done.stderr
