"""`make`: what it says before it installs gigabytes, and that it leaves alone what is there."""

from __future__ import annotations

import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
GIB = 1024**3


@pytest.fixture(scope="module")
def tool() -> SimpleNamespace:
    return SimpleNamespace(**runpy.run_path(str(REPOSITORY / ".ci" / "environment.py")))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What make needs of the repository, without an environment."""
    folder = tmp_path / "checkout"
    shutil.copytree(REPOSITORY / ".ci", folder / ".ci", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(REPOSITORY / "kernels", folder / "kernels", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(REPOSITORY / name, folder)
    return folder


def make(folder: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHON", "MAKEFLAGS", "MFLAGS")}
    done = subprocess.run(
        ["make", *arguments],
        cwd=folder,
        env=kept | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout


def program(path: Path, script: str) -> str:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_make_alone_lists_what_there_is(checkout):
    code, text = make(checkout)
    assert code == 0
    for target in ("demo", "test", "lint", "bench", "chaos", "clean"):
        assert f"make {target} " in text


def test_a_complete_environment_lacks_nothing(tool):
    assert set(tool.lacking(sys.executable, ["test"])) <= {"playground-ext"}  # itself, if installed before an edit


def test_what_is_missing_or_too_old_is_named(tmp_path):
    (tmp_path / "kernels").mkdir()
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "not-installed-itself"\n'
        'dependencies = ["numpy>=999", "redis[hiredis]>=1", "not-for-us; python_version < \'3\'"]\n'
        'optional-dependencies = {more = ["not-there-at-all", "not-installed-itself[less]"], less = ["pytest>=999"]}\n'
    )
    tool = SimpleNamespace(**runpy.run_path(str(REPOSITORY / ".ci" / "requirements.py")))
    assert tool.lacking([], tmp_path) == "numpy not-installed-itself"
    assert tool.lacking(["more"], tmp_path) == "numpy not-there-at-all pytest not-installed-itself"


def test_a_full_disk_is_told_before_anything_is_downloaded(tool, tmp_path):
    with pytest.raises(tool.Stop, match=r"2\.0 GB are free at .*; installing needs 8 GB .*\n.*PYTHON="):
        tool.check_disk(str(tmp_path), free=2 * GIB)


def test_a_small_temporary_folder_is_told_too(tool, tmp_path):
    with pytest.raises(tool.Stop, match=r"1\.0 GB are free at .*pip keeps downloads.*\n.*TMPDIR="):
        tool.check_disk(str(tmp_path), free=20 * GIB, temporary_free=1 * GIB)
    tool.check_disk(str(tmp_path), free=20 * GIB, temporary_free=20 * GIB)


def test_a_python_that_is_not_there_is_named(checkout):
    code, text = make(checkout, "demo", "PYTHON=no-such-python")
    assert code != 0
    assert "PYTHON=no-such-python: there is no such program" in text


def test_an_old_python_is_named_with_what_is_needed(checkout, tmp_path):
    old = program(tmp_path / "python3.8", "echo 3 8")
    code, text = make(checkout, "demo", f"PYTHON={old}")
    assert code != 0
    assert "is 3.8; this project needs Python 3.11 or newer" in text


def test_a_python_without_venv_is_told_what_to_install(tool, tmp_path):
    lacking = program(tmp_path / "python3", "exit 1")
    with pytest.raises(tool.Stop, match="apt install python3-venv"):
        tool.check_venv(lacking)


def test_no_python_at_all_is_one_sentence(checkout, tmp_path):
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("make", "sh"):
        (tools / name).symlink_to(str(shutil.which(name)))
    code, text = make(checkout, "demo", PATH=str(tools))
    assert code != 0
    assert "Python 3.11 or newer is needed, and there is no python3 on the PATH" in text


def test_an_environment_is_announced_before_it_is_made(checkout, tmp_path):
    """With a Python that says yes to everything and cannot install: nothing is downloaded in this test."""
    fake = program(tmp_path / "python3", f'case "$*" in *venv*--clear*) exit 3;; esac; exec {sys.executable} "$@"')
    code = f"import runpy, shutil, sys; sys.executable = {fake!r}; sys.argv = ['environment.py', 'lab']"
    code += f"; shutil.disk_usage = lambda folder: shutil._ntuple_diskusage(*[{20 * GIB}] * 3)"
    code += "; runpy.run_path('.ci/environment.py', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], cwd=checkout, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stdout.index("about 3 GB, which take about 5.5 GB") < done.stdout.index("Making .venv")
    assert "Run make again to continue" in done.stderr
