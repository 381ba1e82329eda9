"""The papermill engine by itself."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import nbformat
import pytest
from papermill.execute import execute_notebook

from playground_ext.errors import StorageError
from playground_ext.runner.engine import NotebookFile, register
from playground_ext.runner.kernel import KernelDied, close_event_loop


@pytest.fixture(autouse=True)
def _closed_loop():
    yield
    close_event_loop()


def output_of(path: Path) -> str:
    cells = nbformat.read(path, as_version=4).cells
    return "".join(output.get("text", "") for cell in cells for output in cell.get("outputs", []))


def test_env_and_folder_belong_to_the_kernel_and_not_to_the_process(tmp_path, write_notebook):
    here = Path.cwd()
    show = "import os, beside; print(os.environ['MINE'], beside.x, os.getcwd())"
    threads = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "beside.py").write_text(f"x = {name!r}")
        path = write_notebook(tmp_path / f"{name}.ipynb", show)

        def execute(path=path, name=name):
            options = {"env": {"MINE": name}, "kernel_cwd": tmp_path / name}
            execute_notebook(path, path, engine_name=register(), progress_bar=False, **options)
            close_event_loop()

        threads.append(threading.Thread(target=execute))
        threads[-1].start()
    for thread in threads:
        thread.join(60)

    for name in ("a", "b"):
        assert output_of(tmp_path / f"{name}.ipynb") == f"{name} {name} {tmp_path / name}\n"
    assert Path.cwd() == here


def test_papermills_own_command_finds_the_engine(tmp_path, write_notebook):
    path = write_notebook(tmp_path / "n.ipynb", "print(rounds)", parameters="rounds = 1")
    execute = (
        "import sys; from papermill.engines import papermill_engines\n"
        "from playground_ext.runner.papermill_entry import PlaygroundEngine\n"
        "papermill_engines.register('playground', PlaygroundEngine)  # as the installed entry point does\n"
        "from papermill.cli import papermill; papermill()"
    )
    command = [sys.executable, "-c", execute, "--engine", "playground", "-p", "rounds", "7", str(path), str(path)]

    done = subprocess.run(command, capture_output=True, text=True, timeout=60)

    assert done.returncode == 0, done.stderr
    assert output_of(path) == "7\n"


def test_a_dead_kernel_is_an_error_with_the_signals_name_and_what_it_said(tmp_path, write_notebook):
    path = write_notebook(
        tmp_path / "n.ipynb", "print('before')", "import faulthandler, os, signal\nos.kill(os.getpid(), signal.SIGABRT)"
    )

    with pytest.raises(KernelDied, match="killed by SIGABRT"):
        execute_notebook(path, path, engine_name=register(), progress_bar=False)

    assert "before" in output_of(path)


def test_what_is_done_is_saved_when_code_begins_to_run_and_not_before_and_after_every_text(
    tmp_path, write_notebook, monkeypatch
):
    path = tmp_path / "n.ipynb"
    see = f"import pathlib; print('done' + ' before' in pathlib.Path({str(path)!r}).read_text())"
    notebook = nbformat.read(write_notebook(path, "print('done', 'before')", see), as_version=4)
    notebook.cells[1:1] = [nbformat.v4.new_markdown_cell(f"text {number}") for number in range(5)]
    nbformat.write(notebook, path)
    saves = []
    monkeypatch.setattr(NotebookFile, "save", lambda self, *a, _save=NotebookFile.save: saves.append(_save(self, *a)))

    execute_notebook(path, None, engine_name=register(), progress_bar=False, file=NotebookFile(path))

    assert output_of(path) == "done before\nTrue\n"
    assert len(saves) == 4  # in the beginning, for each of two cells of code, and in the end


def test_a_notebook_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    file = NotebookFile(tmp_path / "n.ipynb")
    file.save(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("kept")]))

    def full(self, *arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(StorageError, match=r"n\.ipynb cannot be saved: No space left on device"):
        file.save(nbformat.v4.new_notebook())

    assert nbformat.read(tmp_path / "n.ipynb", as_version=4).cells[0].source == "kept"
    assert [path.name for path in tmp_path.iterdir()] == ["n.ipynb"]
