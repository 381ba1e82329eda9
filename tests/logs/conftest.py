"""A real server, and real kernels that run notebooks side by side."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
import textwrap
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from traitlets import default

from playground_ext.bus.keys import RunKeys
from playground_ext.bus.server import EmbeddedServer

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as running:
        yield running


@pytest.fixture
def keys() -> RunKeys:
    return RunKeys("logtest", "r1")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """For child processes: this checkout, and no configuration of the user."""
    path = os.pathsep.join(filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH"))))
    monkeypatch.setenv("PYTHONPATH", path)
    with TemporaryDirectory(prefix="pg-") as folder:  # short: kernels put their sockets there
        for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR"):
            monkeypatch.setenv(name, folder)
        yield dict(os.environ)


class ThisPython(AsyncKernelManager):  # type: ignore[misc]
    """ipykernel of the interpreter that runs the tests, whatever kernelspecs are installed; over ipc."""

    transport = "ipc"

    @default("ip")
    def _short_socket_path(self) -> str:
        return os.path.join(os.environ["JUPYTER_RUNTIME_DIR"], secrets.token_hex(4))

    @property
    def kernel_spec(self) -> KernelSpec:
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--HistoryManager.enabled=False"]
        return KernelSpec(argv=argv, display_name="test", language="python")


class _Completing(NotebookClient):  # type: ignore[misc]
    async def async_execute_cell(self, *arguments: Any, **options: Any) -> Any:
        cell = asyncio.ensure_future(super().async_execute_cell(*arguments, **options))
        while not cell.done():
            self.kc.complete("impo")
            await asyncio.wait([cell], timeout=0.1)
        return await cell


class Notebooks:
    """Runs notebooks as papermill would, and reads what they saved."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *notebooks: Sequence[str], allow_errors: bool = False, completing: bool = False) -> list[Any]:
        """One notebook per list of cells, all at once; `completing`: with Tab pressed again and again meanwhile."""

        def execute(cells: Sequence[str]) -> Any:
            code = [nbformat.v4.new_code_cell(textwrap.dedent(cell)) for cell in cells]
            notebook = nbformat.v4.new_notebook(cells=code)
            resources = {"metadata": {"path": str(self.folder)}}
            client = (_Completing if completing else NotebookClient)(
                notebook,
                timeout=60,
                allow_errors=allow_errors,
                kernel_manager_class=ThisPython,
                resources=resources,
            )
            asyncio.run(client.async_execute())
            return notebook

        with ThreadPoolExecutor(len(notebooks)) as pool:
            return list(pool.map(execute, notebooks))

    @staticmethod
    def pane(cell: Any, mime: str = "text/plain") -> str:
        """What the panes of a cell say."""
        return "\n".join(
            output["data"][mime]
            for output in cell.outputs
            if output.output_type == "display_data" and "playground" in output.get("metadata", {})
        )

    @staticmethod
    def stream(cell: Any, name: str = "stdout") -> str:
        return "".join(output.text for output in cell.outputs if output.output_type == "stream" and output.name == name)


@pytest.fixture
def notebooks(environment: dict[str, str], tmp_path: Path) -> Notebooks:
    return Notebooks(tmp_path)
