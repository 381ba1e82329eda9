"""AlphaMed's users: scripts and folders of notebooks that import `alphafed`."""

from __future__ import annotations

import logging
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from alphamed_documents import INSTALL, tile_mnist
from sandbox import Sandbox
from scripted_parties import Outcome, ScriptedParties
from warm_kernels import WarmKernels

import playground_ext.compat


@pytest.fixture
def alphafed() -> Iterator[None]:
    """`import alphafed` works in this process, and everything is as before afterwards."""
    from torchvision.datasets import MNIST

    before, handlers, download = list(sys.meta_path), list(logging.getLogger("playground").handlers), MNIST.download
    level = logging.getLogger("playground").level
    playground_ext.compat.install()
    yield
    sys.meta_path[:] = before
    for name in [name for name in sys.modules if name.split(".")[0] == "alphafed"]:
        del sys.modules[name]
    MNIST.download = download
    logging.getLogger("playground").handlers[:] = handlers
    logging.getLogger("playground").setLevel(level)


Play = Callable[..., dict[str, Outcome]]


@pytest.fixture
def play(parties: ScriptedParties) -> Play:
    """Runs one script per party at the same time, `alphafed` installed; all must end well unless told otherwise."""

    def run(scripts: Mapping[str, str], *, fails: bool = False, **env: str) -> dict[str, Outcome]:
        for party, script in scripts.items():
            parties.start(party, INSTALL + script, env)
        outcomes = parties.finish(90)
        if not fails:
            assert {party: outcome.code for party, outcome in outcomes.items()} == dict.fromkeys(scripts, 0), "\n".join(
                f"--- {party}\n{outcome.out}{outcome.err}" for party, outcome in outcomes.items()
            )
        return outcomes

    return run


@pytest.fixture(scope="session")
def sixty_thousand() -> Iterator[Path]:
    """A folder for PLAYGROUND_DATA with as many images as the full MNIST has."""
    with tempfile.TemporaryDirectory(prefix="pg-mnist-") as folder:
        yield tile_mnist(Path(folder))


@pytest.fixture(scope="session")
def few_digits() -> Iterator[Path]:
    """The same with 600 and 100 images."""
    with tempfile.TemporaryDirectory(prefix="pg-mnist-") as folder:
        yield tile_mnist(Path(folder), train=600, test=100)


@pytest.fixture
def sandbox(tmp_path: Path, session_cache: Path, warm_kernels: WarmKernels) -> Iterator[Sandbox]:
    private = Path(tempfile.mkdtemp(prefix="pgc", dir="/tmp"))  # tmp_path is too long for sockets
    (private / "tmp").mkdir()
    made = Sandbox(tmp_path, private, session_cache, warm_kernels)
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(private, ignore_errors=True)
