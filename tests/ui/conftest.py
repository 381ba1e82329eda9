"""A real `jupyter lab` in folders of its own, and a real Chromium that looks at it."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib
import psutil
import pytest
from paths import CHROMIUM, MODULES
from warm_kernels import WarmKernels

try:
    from playwright.sync_api import Browser, Page, expect, sync_playwright
except ImportError:  # the tests are skipped, see `browser`
    sync_playwright = None

REPOSITORY = Path(__file__).resolve().parents[2]
LABEXTENSION = REPOSITORY / "playground_ext" / "labextension"
SCREENSHOTS = REPOSITORY / "screenshots"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
START = 90  # seconds that Lab may take
OURS = "playground-ext"  # in what the extension says on the console, and in the addresses of its scripts


@dataclass
class Lab:
    """A running server. `url` ends with the base URL."""

    url: str
    token: str
    root: Path
    log: Path
    runtime: Path
    process: subprocess.Popen[bytes] = field(repr=False)

    def address(self, path: str = "lab") -> str:
        return f"{self.url}{path}?token={self.token}"

    def get(self, path: str) -> Any:
        """JSON that a route of the server extension answers."""
        request = urllib.request.Request(
            f"{self.url}playground/{path}", headers={"Authorization": f"token {self.token}"}
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def start_lab(folder: Path, warm_kernels: WarmKernels, base_url: str = "/") -> Lab:
    """Start `jupyter lab` below `folder`; it serves the extension as it is built in this checkout."""
    root = folder / "work"
    config = folder / "config"
    extensions = folder / "labextensions"
    for made in (root, config / "labconfig", extensions):
        made.mkdir(parents=True)
    (extensions / "playground-ext").symlink_to(LABEXTENSION)
    announcements = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
    (config / "labconfig" / "page_config.json").write_text(json.dumps(announcements))
    token, port = secrets.token_hex(16), free_port()
    runtime = Path(tempfile.mkdtemp(prefix="pg-ui-"))  # sockets: their paths have to be short
    settings = {
        "ServerApp": {
            "base_url": base_url,
            "jpserver_extensions": {"playground_ext": True},
            "open_browser": False,
            "port_retries": 0,
            "root_dir": str(root),
        },
        "IdentityProvider": {"token": token},
        "LabApp": {"expose_app_in_browser": True, "extra_labextensions_path": [str(extensions)]},
    }
    (config / "jupyter_server_config.json").write_text(json.dumps(settings))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PLAYGROUND_")} | {
        "HOME": str(folder),
        "XDG_CACHE_HOME": str(Path(matplotlib.get_cachedir()).parent),  # or every kernel looks for all fonts once more
        "IPYTHONDIR": str(folder / "ipython"),
        "JUPYTER_CONFIG_DIR": str(config),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
        "MPLBACKEND": "agg",
        "PYTHONPATH": MODULES,
        "PLAYGROUND_HOME": str(folder / "home"),
        "PLAYGROUND_CACHE": str(folder / "cache"),
        "PLAYGROUND_RUNTIME": str(runtime),
    }
    warm_kernels.lend(runtime, environment)
    log = folder / "lab.log"
    command = [sys.executable, "-m", "jupyterlab", "--allow-root", "--no-browser", "--ip=127.0.0.1", f"--port={port}"]
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command, cwd=root, env=environment, stdout=sink, stderr=subprocess.STDOUT, start_new_session=True
        )
    lab = Lab(f"http://127.0.0.1:{port}{base_url}", token, root, log, runtime, process)
    deadline = time.monotonic() + START
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(lab.address("api/status"), timeout=2).close()
            return lab
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.1)
    stop_lab(lab)
    pytest.fail(f"jupyter lab did not start within {START} s:\n{log.read_text()[-4000:]}")


def stop_lab(lab: Lab) -> None:
    """Stop Lab, and what outlives it on purpose: the process that forks kernels, the shared server, background runs."""
    lab.process.terminate()
    try:
        lab.process.wait(20)
    except subprocess.TimeoutExpired:
        lab.process.kill()
        lab.process.wait(5)
    left = [process for process in psutil.process_iter(["cmdline", "environ"]) if _belongs(process, lab)]
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    for process in psutil.wait_procs(left, timeout=10)[1]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    shutil.rmtree(lab.runtime, ignore_errors=True)


def _belongs(process: psutil.Process, lab: Lab) -> bool:
    environment = process.info["environ"] or {}
    command = process.info["cmdline"] or []
    return environment.get("PLAYGROUND_RUNTIME") == str(lab.runtime) or any(
        str(lab.runtime) in word for word in command
    )


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One for a file, not for all: while playwright is open its event loop runs in this thread, and tests of other
    folders that start one of their own would find it."""
    if sync_playwright is None:
        pytest.skip("playwright is not installed (pip install playwright)")
    if CHROMIUM is None:
        pytest.skip("chromium is not installed (Debian: apt install chromium-headless-shell)")
    if not (LABEXTENSION / "package.json").exists():
        pytest.skip("the Lab extension is not built (make lab-build)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def lab(browser: Browser, tmp_path_factory: pytest.TempPathFactory, warm_kernels: WarmKernels) -> Iterator[Lab]:
    """Under a base URL like JupyterHub's: what works there works without one."""
    lab = start_lab(tmp_path_factory.mktemp("lab"), warm_kernels, "/user/alice/")
    yield lab
    stop_lab(lab)


if sync_playwright is not None:
    expect.set_options(timeout=20_000)  # milliseconds


class Opened:
    """A browser with Lab open, and the extension's errors on the page's console."""

    def __init__(self, browser: Browser, lab: Lab, scripts: Sequence[str]) -> None:
        self.errors: list[str] = []
        context = browser.new_context(viewport={"width": 1500, "height": 950}, reduced_motion="reduce")
        for script in scripts:
            context.add_init_script(script)
        self.page = page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("pageerror", lambda error: self._note(f"{error}\n{error.stack}", error.stack or ""))
        page.on("console", lambda said: self._note(said.text, said.text) if said.type == "error" else None)
        open_lab(page, lab, reset=True)

    def _note(self, error: str, where: str) -> None:
        if OURS in where:
            self.errors.append(error)


@pytest.fixture(scope="module")
def opened(browser: Browser, lab: Lab, request: pytest.FixtureRequest) -> Iterator[Opened]:
    """One for a file. Its SCRIPTS run in the page before anything else."""
    one = Opened(browser, lab, getattr(request.module, "SCRIPTS", ()))
    yield one
    one.page.context.close()


@pytest.fixture
def page(opened: Opened, lab: Lab) -> Iterator[Page]:
    """Lab as after a start: nothing open, light. The page is that of the file's other tests, which saves loading it.
    Errors of the extension on its console fail the test."""
    page = opened.page
    if page.url == "about:blank" or page.locator(".jp-Dialog").count():  # of a test that failed
        open_lab(page, lab, reset=True)
    page.evaluate(CLEAR)
    page.locator(".jp-Launcher").wait_for()
    opened.errors.clear()
    yield page
    assert not opened.errors, opened.errors


CLEAR = """async () => {
  const { commands, shell } = window.jupyterapp;
  for (const widget of [...shell.widgets('main')]) {
    if (widget.context) { widget.context.model.dirty = false; }
    widget.dispose();
  }
  if (document.body.dataset.jpThemeLight === 'false') {
    await commands.execute('apputils:change-theme', {theme: 'JupyterLab Light'});
  }
  await commands.execute('filebrowser:activate');
  if ([...shell.widgets('main')].length === 0) { await commands.execute('launcher:create'); }
}"""


def open_lab(page: Page, lab: Lab, reset: bool = False) -> None:
    page.goto(lab.address() + ("&reset" if reset else ""))
    page.wait_for_selector("#jupyterlab-splash", state="detached")
    page.wait_for_function("window.jupyterapp?.started !== undefined")
    page.evaluate("window.jupyterapp.restored")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Keep what a failed test saw."""
    report = yield
    page = getattr(item, "funcargs", {}).get("page")
    if report.when == "call" and report.failed and page is not None:
        SCREENSHOTS.mkdir(exist_ok=True)
        page.screenshot(path=str(SCREENSHOTS / f"FAILED-{item.name[:60]}.png"))
    return report


@pytest.fixture
def shot(page: Page) -> Callable[[str], None]:
    """Take a screenshot for people to look at."""
    SCREENSHOTS.mkdir(exist_ok=True)

    def shot(name: str) -> None:
        page.screenshot(path=str(SCREENSHOTS / f"{name}.png"))

    return shot


@pytest.fixture
def run(page: Page) -> Callable[..., Any]:
    """Run a command of Lab, and wait for what it returns to be there."""

    def run(command: str, **arguments: Any) -> Any:
        script = "async ([id, args]) => { await window.jupyterapp.commands.execute(id, args); }"
        return page.evaluate(script, [command, arguments])

    return run


def set_theme(page: Page, dark: bool) -> None:
    theme = "JupyterLab Dark" if dark else "JupyterLab Light"
    page.evaluate("theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", theme)
    page.wait_for_selector(f"body[data-jp-theme-light='{'false' if dark else 'true'}']", state="attached")
    page.wait_for_selector("#jupyterlab-splash", state="detached")
