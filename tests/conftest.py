"""Every test has its own folders and server, and nothing of the developer's environment."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from playground_ext.bus.server import EmbeddedServer

sys.path.insert(0, str(Path(__file__).parent))  # scripted_parties: forked processes import it by name

import script_server
import warm_kernels as warm
from scripted_parties import ScriptedParties
from warm_kernels import WarmKernels

sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]  # else jsonschema makes parsers for 2 s

SLOW = (
    "ui",
    "compat",
    "chaos",
    "end_to_end",
    "kernel",
    "runner",
    "deployment",
    "test_packaging.py",
    "notebooks",
    "fed_avg",
    "hetero_nn",
    "server",
    "logs",
    "overview",
    "bus",
)


def pytest_configure(config: pytest.Config) -> None:
    """What all workers share; xdist's workers inherit the environment variables that say where it is."""
    if not hasattr(config, "workerinput"):
        for shared in (script_server.shared(), warm.shared()):
            shared.__enter__()
            config.add_cleanup(partial(shared.__exit__, None, None, None))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Nothing that comes now is garbage: looking for it takes a fifth of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Folders that wait for kernels come first, so that no worker is left alone with one of them at the end."""
    items.sort(key=lambda item: next((SLOW.index(part) for part in item.path.parts if part in SLOW), len(SLOW)))


@pytest.fixture(scope="session")
def session_cache() -> Iterator[Path]:
    """Unpacked data sets, once for all tests."""
    with tempfile.TemporaryDirectory(prefix="pg-cache-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def warm_kernels() -> Iterator[WarmKernels]:
    """A zygote that tests share, so that they start kernels as fast as users do."""
    with contextlib.closing(WarmKernels()) as shared:
        yield shared


@pytest.fixture(autouse=True)
def own_environment(tmp_path: Path, session_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PLAYGROUND_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PLAYGROUND_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PLAYGROUND_CACHE", str(session_cache))
    monkeypatch.setenv("PLAYGROUND_WORKSPACE", str(tmp_path))


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as running:
        yield running


@pytest.fixture
def parties(server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedParties]:
    """Scripts as parties of tasks on one server."""
    monkeypatch.setenv("PLAYGROUND_REDIS_URL", server.url)
    folder = tmp_path / "scripts"
    folder.mkdir()
    processes = ScriptedParties(folder)
    yield processes
    processes.kill()
