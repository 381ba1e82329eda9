"""Three plain Python scripts in three terminals; Jupyter is not even installed."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from sandbox import CHECKOUT, Sandbox, logged

SCRIPTS = Path(__file__).parent / "scripts"
PARTIES = {"collaborator_2": "collaborator-2", "aggregator": "aggregator", "collaborator_1": "collaborator-1"}
JUPYTER = ("IPython", "ipykernel", "jupyter_client", "jupyter_core", "nbclient", "nbformat", "papermill")


@pytest.mark.slow
def test_three_scripts_train_together_without_jupyter(sandbox: Sandbox) -> None:
    hidden = sandbox.folder / "hidden"
    hidden.mkdir()
    for name in JUPYTER:
        (hidden / f"{name}.py").write_text(f"raise ModuleNotFoundError('no {name} here', name='{name}')\n")
    sandbox.shares_a_server_in(CHECKOUT)
    path = f"{hidden}:{CHECKOUT}"
    jobs = {
        party: sandbox.start(sys.executable, f"{script}.py", cwd=SCRIPTS, PYTHONPATH=path)
        for script, party in PARTIES.items()
    }

    for job in jobs.values():
        assert job.wait() == 0, job.output

    home = sandbox.folder / "home" / "three_scripts"
    for reader, job in jobs.items():
        shown = job.output.splitlines()
        assert any(
            re.fullmatch(rf"{reader} has the model of 3 rounds in .*/model\.safetensors", line) for line in shown
        )
        for party in jobs:
            for name, round, text in logged(home / party / "logs.jsonl"):
                where = name if round is None else f"{name} | round {round}"
                assert f"{where} | {text}" in shown, "everyone's log, in every terminal"
    accuracies = re.findall(r"^round \d: ([\d.]+)% of the test digits right$", jobs["aggregator"].output, re.MULTILINE)
    assert len(accuracies) == 3
    assert float(accuracies[-1]) > 60  # 1,500 digits each; guessing gives 10
    models = {path.read_bytes() for path in home.glob("*/latest/results/model.safetensors")}
    assert len(models) == 1
    sandbox.stop_shared_servers()
    assert sandbox.left_behind() == []
