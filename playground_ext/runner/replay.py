"""`playground replay`: a notebook in which one party's round runs again from its recorded messages alone."""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from playground_ext.errors import ConfigError
from playground_ext.party.checkpoint import Checkpoints
from playground_ext.party.recording import recorded_rounds, rounds_bytes
from playground_ext.party.run_record import RunRecord
from playground_ext.runner.history import PartyRecord, Record, find_record
from playground_ext.runner.imports import import_quickly

__all__ = ["prepare", "replay_command"]

_RUNS = re.compile(r"\.\s*(run|_run|launch_task|submit)\s*\(")
_INTRODUCTION = """# Round {round} of {party}, run again

This is {source} up to the cell that takes part in the task. Running it plays **round {round}** once more from what
{party} had received then: nobody else is asked, and nothing of the recorded run is changed. Set breakpoints, print what
you like, change the code: the last cell compares what is computed now with what {party} sent then.
"""
_PREPARATION = """import os, sys

os.environ["PLAYGROUND_REPLAY"] = {where!r}
os.environ["PLAYGROUND_HOME"] = {home!r}
os.environ["PLAYGROUND_TASK"] = {task!r}
os.environ["PLAYGROUND_PARTY"] = {party!r}
os.environ["PLAYGROUND_NODES"] = {nodes!r}
os.chdir({folder!r})
sys.path.insert(0, {folder!r})  # modules beside the notebook"""
_COMPARISON = """from playground_ext.scheduler.replay import ReplayResult

ReplayResult.latest  # what was computed now, beside what was sent then"""


def replay_command(task: str, *, party: str, round: int | None, execute: bool) -> int:
    """Write the notebook, and run it if asked to. Returns the exit code: 1 if an executed replay differs.

    Raises:
        ConfigError: no such task, party or round, or the round was not kept.
    """
    record, notebook, number = _prepare(task, party, round)
    size = sum(rounds_bytes(_run_folder(one) / "recordings") for one in record.parties if _has_run(one))
    print(f"round {number} of {party}: {notebook}")
    print(f"the recordings of {record.name} take {size / 1e6:.1f} MB (keep_rounds, or PLAYGROUND_KEEP_ROUNDS=all)")
    if not execute:
        print(
            f"open it in JupyterLab or VS Code and run all cells, or: playground replay {task} --party {party} "
            f"--round {number} --execute"
        )
        return 0
    return _execute(notebook)


def prepare(task: str, party: str, round: int | None = None) -> Path:
    """Write the notebook beside the party's own, and return its path. `round` None: the last one that was kept.

    Raises:
        ConfigError: no such task, party or round, or the round was not kept.
    """
    return _prepare(task, party, round)[1]


def _prepare(task: str, party: str, round: int | None) -> tuple[Record, Path, int]:
    nbformat: Any = import_quickly("nbformat")
    record = find_record(task)
    chosen = next((one for one in record.parties if one.name == party), None)
    if chosen is None:
        names = ", ".join(one.name for one in record.parties)
        raise ConfigError(f"{record.name} has no party {party!r}", next_step=f"these took part: {names}")
    run = _run_folder(chosen)
    kept = _kept(run)
    number = round if round is not None else max(kept, default=0)
    if number not in kept:
        listed = f"these are: {', '.join(map(str, kept))}" if kept else "none is"
        raise ConfigError(
            f"round {number} of {party} in {record.name} was not kept; {listed}",
            next_step="choose one of these, or run the task again with keep_rounds='all' in the scheduler's class, or "
            "PLAYGROUND_KEEP_ROUNDS=all in the environment",
        )
    source, known = _notebook(record, party, run)
    node = nbformat.read(source, as_version=4)
    values = {
        "where": f"{run}:{number}",
        "home": str(chosen.folder.parent.parent),
        "task": chosen.folder.parent.name,  # which the notebook may have chosen itself, like the party's id
        "party": chosen.folder.name,
        "nodes": ",".join(known.meta.get("nodes", ())),
        "folder": str(source.parent),
    }
    introduction = _INTRODUCTION.format(round=number, party=party, source=source.name)
    node.cells = [
        nbformat.v4.new_markdown_cell(introduction),
        nbformat.v4.new_code_cell(_PREPARATION.format(**values)),
        *_until_it_runs(node.cells),
        nbformat.v4.new_code_cell(_COMPARISON),
    ]
    for cell in node.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    node.metadata.pop("papermill", None)
    node.metadata.pop("playground", None)
    target = source.parent / f"replay-{party}-round-{number}.ipynb"
    nbformat.write(node, target)
    return record, target, number


def _until_it_runs(cells: list[Any]) -> list[Any]:
    """Up to the last cell that takes part in a task: what follows looks at results of a whole run."""
    runs = [index for index, cell in enumerate(cells) if cell.cell_type == "code" and _RUNS.search(cell.source)]
    return cells[: runs[-1] + 1] if runs else cells


def _has_run(party: PartyRecord) -> bool:
    return (party.folder / (party.run or "latest")).exists()


def _run_folder(party: PartyRecord) -> Path:
    return (party.folder / (party.run or "latest")).resolve()


def _kept(run: Path) -> list[int]:
    """Rounds of which both the start and the messages are there."""
    starts = Checkpoints(run / "checkpoints").rounds()
    last = max(starts, default=0) + (0 if (run / "results" / "report.json").exists() else 1)
    return [number for number in recorded_rounds(run / "recordings") if number - 1 in starts and 0 < number <= last]


def _notebook(record: Record, party: str, run: Path) -> tuple[Path, RunRecord]:
    """The notebook that the party ran, and what it remembers of the run."""
    known = RunRecord.load(run)
    if known is None:
        raise ConfigError(f"{run} holds no run of {party}", next_step="run the task again")
    candidates = [record.folder / f"{party}.ipynb", *([Path(known.notebook)] if known.notebook else [])]
    for path in candidates:
        if path.is_file():
            return path.absolute(), known
    raise ConfigError(
        f"the notebook of {party} is not where it was: {', '.join(map(str, candidates))}",
        next_step=f"in a notebook of your own, set PLAYGROUND_REPLAY={run}:<round> and run {party}'s cells",
    )


def _execute(notebook: Path) -> int:
    """Run it in a fresh kernel and print the comparison."""
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    nbformat: Any = import_quickly("nbformat")
    node = nbformat.read(notebook, as_version=4)
    try:
        with tempfile.TemporaryDirectory(prefix="playground-") as folder:  # sockets that are the user's alone
            manager = AsyncKernelManager(kernel_name="python3", transport="ipc", ip=f"{folder}/kernel")
            NotebookClient(node, km=manager, resources={"metadata": {"path": str(notebook.parent)}}).execute(
                cleanup_kc=True  # a manager that is given is left running otherwise
            )
    except CellExecutionError as error:
        print(str(error).strip()[-2000:], file=sys.stderr)
        return 1
    finally:
        nbformat.write(node, notebook)
    shown = node.cells[-1].outputs[0]["data"]["text/plain"]
    print(shown)
    return 0 if "run again: equal" in shown else 1
