"""A user's folder for each test, or for all tests of a file."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sandbox import Sandbox
from warm_kernels import WarmKernels


def _make_sandbox(folder: Path, cache: Path, warm_kernels: WarmKernels) -> Iterator[Sandbox]:
    private = Path(tempfile.mkdtemp(prefix="pge", dir="/tmp"))
    (private / "tmp").mkdir()
    made = Sandbox(folder, private, cache, warm_kernels)
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(private, ignore_errors=True)


@pytest.fixture
def sandbox(tmp_path: Path, session_cache: Path, warm_kernels: WarmKernels) -> Iterator[Sandbox]:
    yield from _make_sandbox(tmp_path, session_cache, warm_kernels)


@pytest.fixture(scope="module")
def shared_sandbox(
    tmp_path_factory: pytest.TempPathFactory, session_cache: Path, warm_kernels: WarmKernels
) -> Iterator[Sandbox]:
    """One for all tests of a file."""
    yield from _make_sandbox(tmp_path_factory.mktemp("shared"), session_cache, warm_kernels)
