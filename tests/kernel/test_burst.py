"""Many kernels at once, through nbclient and papermill; and the runner, killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import nbformat
import pytest
from nbclient import NotebookClient

from .conftest import gone, new_manager

CELLS = [
    "import os, torch; net = torch.nn.Linear(4, 4); optimizer = torch.optim.SGD(net.parameters(), lr=0.1)",
    "net(torch.rand(2, 4)).sum().backward(); optimizer.step()",
    "print(os.getpid(), torch.initial_seed())",
]


def _notebook() -> nbformat.NotebookNode:
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(cell) for cell in CELLS]
    return notebook


def test_sixteen_notebooks_at_once_all_run_in_forked_kernels(runtime):
    def execute(number: int) -> list[str]:
        manager = new_manager()
        notebook = _notebook()
        client = NotebookClient(notebook, km=manager, kernel_name="party", timeout=60)
        client.execute(cleanup_kc=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        return notebook.cells[-1].outputs[0]["text"].split()

    with ThreadPoolExecutor(16) as pool:
        said = list(pool.map(execute, range(16)))

    assert len({pid for pid, _ in said}) == 16
    assert len({seed for _, seed in said}) == 16


@pytest.fixture
def folder(tmp_path):
    """Two notebooks, in a folder without template.toml; their second cells pause."""
    made = tmp_path / "two"
    made.mkdir()
    for party in ("alice", "bob"):
        notebook = nbformat.v4.new_notebook()
        notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
        say = "import os, sys, time\nprint(os.getpid(), os.getppid(), 'torch' in sys.modules, flush=True)"
        tell = "open(os.environ['PLAYGROUND_PARTY'] + '.pid', 'w').write(f'{os.getpid()} {os.getppid()}\\n')"
        pause = "time.sleep(float(os.environ['PAUSE']))"
        notebook.cells = [nbformat.v4.new_code_cell(cell) for cell in (say, tell, pause)]
        nbformat.write(notebook, made / f"{party}.ipynb")
    return made


def _run(folder, *options, pause=0):
    command = [sys.executable, "-m", "playground_ext.runner", "run", str(folder), "--output", "out", *options]
    environment = {**os.environ, "PYTHONHASHSEED": "11", "PAUSE": str(pause)}  # a zygote that no other test uses
    return subprocess.Popen(
        command, cwd=folder.parent, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def _said(folder, party):
    notebook = nbformat.read(folder.parent / "out" / f"{party}.ipynb", as_version=4)
    return "".join(output.get("text", "") for output in notebook.cells[0].outputs).split()


@pytest.mark.parametrize(("kernel", "forked"), [("warm", True), ("plain", False)])
def test_the_runner_forks_unless_it_is_told_not_to(runtime, folder, kernel, forked):
    with _run(folder, "--kernel", kernel) as process:
        output, _ = process.communicate(timeout=90)

    assert process.returncode == 0, output
    assert "ordinary process" not in output
    parents = {_said(folder, party)[1] for party in ("alice", "bob")}
    assert len(parents) == 1
    assert (parents != {str(process.pid)}) is forked
    assert {_said(folder, party)[2] for party in ("alice", "bob")} == {str(forked)}


def test_a_runner_that_is_killed_leaves_no_kernel_and_no_zygote(runtime, folder):
    with _run(folder, pause=60) as process:
        try:
            files = [folder.parent / "out" / f"{party}.pid" for party in ("alice", "bob")]
            deadline = time.monotonic() + 60
            while not all(file.exists() and file.read_text().endswith("\n") for file in files):
                assert time.monotonic() < deadline
                assert process.poll() is None
                time.sleep(0.1)
        finally:
            process.kill()
    pids = {int(pid) for file in files for pid in file.read_text().split()}

    assert len(pids) == 3
    assert all(gone(pid) for pid in pids)
