"""The guide of document 004 as notebooks: the same code in both languages, and it runs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from paths import CHECKOUT, MODULES

GUIDE = CHECKOUT / "notebooks" / "hetero_nn"


def _cells(language: str, role: str) -> list[dict[str, Any]]:
    found = json.loads((GUIDE / language / f"{role}.ipynb").read_text("utf-8"))["cells"]
    return [{**cell, "source": "".join(cell["source"])} for cell in found]


@pytest.mark.parametrize("role", ["host", "collaborator"])
def test_both_languages_have_the_same_code_below_their_own_text(role):
    english, chinese = _cells("en", role), _cells("zh", role)

    def code(cells: list[dict[str, Any]]) -> list[str]:
        return [cell["source"] for cell in cells if cell["cell_type"] == "code"]

    assert code(english) == code(chinese)
    assert [cell["id"] for cell in english] == [cell["id"] for cell in chinese]
    for cells in (english, chinese):
        assert ("code", "code") not in set(pairwise(cell["cell_type"] for cell in cells))
        assert not any(cell.get("outputs") for cell in cells)


@pytest.mark.slow
def test_the_guide_runs_from_the_check_of_the_data_to_the_metrics(tmp_path, session_cache, warm_kernels):
    runtime = Path(tempfile.mkdtemp(prefix="pgt", dir="/tmp"))  # tmp_path is too long for sockets
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PLAYGROUND_")}
    environment |= {
        "PLAYGROUND_RUNTIME": str(runtime),
        "PLAYGROUND_CACHE": str(session_cache),
        "PYTHONPATH": MODULES,
        "XDG_DATA_HOME": str(tmp_path / "data"),
        "IPYTHONDIR": str(tmp_path / "ipython"),
    }
    warm_kernels.lend(runtime, environment)
    command = [sys.executable, "-m", "playground_ext.runner", "run", str(GUIDE / "en"), "-p", "max_rounds=1"]
    try:
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env=environment,
            text=True,
            timeout=170,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    finally:
        shutil.rmtree(runtime, ignore_errors=True)

    assert done.returncode == 0, done.stdout
    (folder,) = (tmp_path / "runs").iterdir()
    host = (folder / "host.ipynb").read_text()
    assert "round,average_loss,accuracy,correct_rate" in host
    assert "data check: DemoDataChecker passed" in host
