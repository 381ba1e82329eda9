"""`task_view` in a real JupyterLab: it filters while the kernel runs; a notebook saved by hand keeps a still view."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbformat
import pytest
from paths import MODULES

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
]
START = 60  # seconds that Lab may take
CELL = "from playground_ext import task_view\ntask_view('digits')"
DOTS = ".jp-OutputArea svg[role='img'] circle"
LINES = "() => [...document.querySelectorAll('polyline')].map((line) => line.dataset.party)"

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (Debian: apt-get install chromium)"),
    pytest.mark.slow,
]


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """A home with what two parties left of a run."""
    home = tmp_path / "home"
    for party, name in (("aggregator", "test/accuracy"), ("alice", "train/loss"), ("bob", "train/loss")):
        results = home / "digits" / party / "run1" / "results"
        results.mkdir(parents=True)
        lines = "".join(f"{number},{party},{number},{name},{number / 4}\n" for number in (1, 2))
        (results / "metrics.csv").write_text(f"time,party,round,name,value\n{lines}")
        report = {"role": party, "rounds": 2, "nodes": ["aggregator", "alice", "bob"], "round_reports": []}
        (results / "report.json").write_text(json.dumps(report))
        (results.parents[1] / "latest").symlink_to("run1")
        (results.parents[1] / "logs.jsonl").write_text("")
    return home


class Lab:
    """A `jupyter lab` with folders of its own."""

    def __init__(self, folder: Path, home: Path, private: Path) -> None:
        self.root = folder / "work"
        config = folder / "config"
        for made in (self.root, config / "labconfig"):
            made.mkdir(parents=True)
        announcements = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
        (config / "labconfig" / "page_config.json").write_text(json.dumps(announcements))
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.port = listener.getsockname()[1]
        self.token = secrets.token_hex(16)
        options = [f"--port={self.port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={self.token}"]
        options += [f"--ServerApp.root_dir={self.root}", "--LabApp.expose_app_in_browser=True"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PLAYGROUND_")} | {
            "IPYTHONDIR": str(folder / "ipython"),
            "JUPYTER_CONFIG_DIR": str(config),
            "JUPYTER_DATA_DIR": str(folder / "data"),
            "JUPYTER_RUNTIME_DIR": str(private),  # sockets: their paths have to be short
            "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
            "PLAYGROUND_HOME": str(home),
            "PYTHONPATH": MODULES,
            "PLAYGROUND_RUNTIME": str(private / "r"),
        }
        self._log = folder / "lab.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "jupyterlab", "--allow-root", "--no-browser", "--ip=127.0.0.1", *options],
                cwd=self.root,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def url(self, path: str, query: str = "") -> str:
        return f"http://127.0.0.1:{self.port}/{path}?token={self.token}{query}"

    def wait(self) -> None:
        deadline = time.monotonic() + START
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                urllib.request.urlopen(self.url("api/status"), timeout=2).close()
                return
            except OSError:
                time.sleep(0.1)
        pytest.fail(f"jupyter lab did not start within {START} s:\n{self._log.read_text()[-4000:]}")

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)


@pytest.fixture
def lab(tmp_path: Path, finished: Path) -> Iterator[Lab]:
    private = Path(tempfile.mkdtemp(prefix="pgl", dir="/tmp"))
    running = Lab(tmp_path / "lab", finished, private)
    try:
        running.wait()
        yield running
    finally:
        running.stop()
        shutil.rmtree(private, ignore_errors=True)


def open_notebook(page: Any, lab: Lab, name: str) -> None:
    page.goto(lab.url("lab", "&reset"))
    page.wait_for_selector("#jupyterlab-splash", state="detached")
    page.wait_for_function("window.jupyterapp?.started !== undefined")
    page.evaluate("window.jupyterapp.restored")
    page.evaluate("name => window.jupyterapp.commands.execute('docmanager:open', {path: name})", name)
    page.wait_for_selector(".jp-NotebookPanel:visible .jp-Cell")


def visible_text(page: Any) -> str:
    return "\n".join(page.locator(".jp-OutputArea-output:visible").all_inner_texts())


def play(lab: Lab) -> dict[str, Any]:
    """What a person does and sees."""
    from playwright.sync_api import sync_playwright

    seen: dict[str, Any] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        page = browser.new_context(viewport={"width": 1400, "height": 900}).new_page()
        page.set_default_timeout(30_000)
        open_notebook(page, lab, "view.ipynb")
        page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")

        page.wait_for_selector("select[aria-label='metric']")
        seen["pictures while it filters"] = page.locator(".jp-OutputArea img:visible").count()
        seen["first"] = page.evaluate(LINES)
        page.select_option("select[aria-label='metric']", "train/loss")
        seen["other metric"] = [line for line in page.evaluate(LINES) if line]
        page.uncheck("input[aria-label='show alice']")
        seen["points without alice"] = page.locator(DOTS).count()
        seen["points with alice"] = (page.check("input[aria-label='show alice']"), page.locator(DOTS).count())[1]
        page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
        page.wait_for_function("() => !document.querySelector('.jp-mod-dirty')")
        saved = lab.root / "view.ipynb"
        deadline = time.monotonic() + 10
        while "playground-task-" not in saved.read_text("utf-8") and time.monotonic() < deadline:
            time.sleep(0.1)
        seen["saved"] = nbformat.read(saved, as_version=4)

        page.evaluate("window.jupyterapp.serviceManager.sessions.shutdownAll()")
        unsigned = nbformat.from_dict(seen["saved"])
        unsigned.cells.append(nbformat.v4.new_markdown_cell("changed since it was signed"))
        nbformat.write(unsigned, lab.root / "strangers.ipynb")
        for title, name in (("its author", "view.ipynb"), ("a stranger", "strangers.ipynb")):
            open_notebook(page, lab, name)
            page.wait_for_selector(".jp-OutputArea img:visible")
            page.wait_for_timeout(3000)  # a widget that does not come says so after two seconds
            seen[title] = visible_text(page)
            seen[f"{title}: filters"] = page.locator("select[aria-label='metric']").count()
            width = "() => document.querySelector('.jp-OutputArea img').naturalWidth"
            seen[f"{title}: width of the picture"] = page.evaluate(width)
        browser.close()
    return seen


def test_it_filters_in_lab_and_a_notebook_saved_by_hand_keeps_picture_and_table(lab):
    pytest.importorskip("playwright", reason="playwright is not installed (pip install playwright)")
    pytest.importorskip("anywidget")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, lab.root / "view.ipynb")

    with ThreadPoolExecutor(1) as alone:  # other tests may have a browser open in this thread
        seen = alone.submit(play, lab).result()

    assert seen["pictures while it filters"] == 0, "one view, not two"
    assert "aggregator" in seen["first"]
    assert set(seen["other metric"]) >= {"alice", "bob"}
    assert (seen["points without alice"], seen["points with alice"]) == (2, 4), "two rounds of bob, and of alice"
    (output,) = seen["saved"].cells[0].outputs
    assert set(output.data) == {"text/plain", "text/html"}
    for reader in ("its author", "a stranger"):
        assert "digits: " in seen[reader]
        assert "alice" in seen[reader]
        assert "Error" not in seen[reader]
        assert "widget" not in seen[reader].lower()
        assert seen[f"{reader}: filters"] == 0
        assert seen[f"{reader}: width of the picture"] > 300
