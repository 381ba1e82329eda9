"""Federations for the browser to look at, made through the server's routes, and what is wrong with a page."""

from __future__ import annotations

import json
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from .conftest import REPOSITORY, Lab

AXE = REPOSITORY / "playground_ext" / "lab" / "node_modules" / "axe-core" / "axe.min.js"
QUICK = {"max_rounds": 2, "samples": 200}
ENDED = 120  # seconds that starting kernels and some short rounds may take on a busy machine
TRAINED = "I trained on {seen:,} digits"  # the line of the template after which a test adds its own to an epoch


def post(lab: Lab, path: str, body: Any, method: str = "POST") -> Any:
    request = urllib.request.Request(
        f"{lab.url}{path if path.startswith('lab/') else f'playground/{path}'}",
        data=json.dumps(body).encode(),
        headers={"Authorization": f"token {lab.token}", "Content-Type": "application/json"},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.loads(answer.read() or b"null")


def make_federation(lab: Lab, name: str, collaborators: int = 2, epoch: str = "", **parameters: Any) -> Any:
    """`epoch`: what every collaborator does at the end of each epoch."""
    made = post(
        lab,
        "federations",
        {
            "template": "fed_avg",
            "name": name,
            "directory": "",
            "roles": {"collaborator": collaborators},
            "parameters": QUICK | parameters,
        },
    )
    for number in range(1, collaborators + 1) if epoch else ():
        path = lab.root / made["folder"] / f"collaborator-{number}.ipynb"
        notebook = json.loads(path.read_text("utf-8"))
        (cell,) = (cell for cell in notebook["cells"] if TRAINED in "".join(cell["source"]))
        source = "".join(cell["source"])
        (line,) = (line for line in source.splitlines() if TRAINED in line)
        indent = " " * (len(line) - len(line.lstrip()))
        added = "\n".join(indent + more for more in epoch.splitlines())
        cell["source"] = source.replace(line, f"{line}\n{added}")
        path.write_text(json.dumps(notebook), "utf-8")
    return made


def gate(lab: Lab, name: str) -> tuple[Path, str]:
    """A file, and lines of Python that wait until it is there: a round ends when the test wants it to."""
    path = lab.root / f".{name}"
    return path, (
        "import pathlib, time\n"
        f"while self.current_round > 1 and not pathlib.Path({str(path)!r}).exists():\n    time.sleep(0.02)"
    )


def start_in_background(lab: Lab, folder: str) -> str:
    """The id of the task."""
    return str(post(lab, "runs", {"path": folder, "parameters": {}, "roles": {}})["task"])


def wait_for_end(lab: Lab, task: str) -> Any:
    """What the server says of the task when it has ended."""
    deadline = time.monotonic() + ENDED
    while (said := lab.get(f"tasks/{task}"))["status"] not in ("finished", "failed"):
        assert time.monotonic() < deadline, f"{task} is still {said['status']} after {ENDED} s: {said}"
        time.sleep(0.1)
    return said


def serious_findings(page: Page, *selectors: str) -> list[str]:
    """What axe finds below these elements; those that are not there are left out, but one has to be."""
    if not AXE.exists():
        pytest.skip("axe-core is not installed (make lab-check)")
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text("utf-8"))
    there = [[selector] for selector in selectors if page.locator(selector).count()]
    found = page.evaluate("selectors => window.axe.run({include: selectors})", there)
    return [
        f"{finding['id']}: {finding['help']}: {node['html'][:200]} {node['failureSummary']}"
        for finding in found["violations"]
        if finding["impact"] in ("serious", "critical")
        for node in finding["nodes"]
    ]
