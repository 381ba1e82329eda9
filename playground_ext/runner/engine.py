"""papermill engine `playground`: a kernel of this interpreter, over ipc, with an environment and a folder of its own.

papermill's default engine ignores `env=` silently, and its `cwd=` changes the folder of the whole process, so neither
can be used by threads that execute several notebooks at once. TCP ports race when many kernels start together; sockets
in a private folder do not.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jupyter_core.utils import run_sync
from nbformat import NotebookNode, from_dict
from nbformat.v4 import writes  # nbformat's own checks the whole notebook every time, only to log what it finds
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, NotebookExecutionManager, papermill_engines
from papermill.log import logger

from playground_ext.bus.private_folder import PrivateFolder
from playground_ext.errors import StorageError
from playground_ext.runner.kernel import KernelDied, PartyKernel, quiet

__all__ = ["NotebookFile", "PlaygroundEngine", "Stopped", "register"]

AUTOSAVE = 10  # seconds between saves during a long cell
IOPUB_TIMEOUT = 30  # seconds that the last output of a cell may be behind its reply on a busy machine


def register() -> str:
    """Make the engine known to papermill, also where the package's entry points are not installed; its name."""
    papermill_engines.register("playground", PlaygroundEngine)
    return "playground"


class Stopped(RuntimeError):
    """The runner stopped this notebook between two cells."""


class NotebookFile:
    """The file a notebook is saved to while it runs: readers never see half of one, a full disk leaves the last one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._notebook: NotebookNode | None = None

    def save(self, notebook: NotebookNode | None = None) -> None:
        """Write `notebook`, or the last one again: papermill adds its error marks after the engine is done.

        Raises:
            StorageError: the disk is full or not writable.
        """
        self._notebook = self._notebook if notebook is None else notebook
        if self._notebook is None:
            return
        draft = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            draft.write_text(str(writes(self._notebook)) + "\n", "utf-8")  # type: ignore[no-untyped-call]
            draft.replace(self.path)
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise StorageError(
                f"{self.path.name} cannot be saved: {error.strerror or error}",
                next_step="make room, or choose another place with --output DIR",
            ) from error


class _SavingManager(NotebookExecutionManager):  # type: ignore[misc]
    """papermill's bookkeeping of a notebook's execution, saving through a NotebookFile when there is one.

    It saves when code begins to run, with all that is done by then. papermill also saves before and after every text.
    """

    def __init__(self, nb: NotebookNode, file: NotebookFile | None, **options: Any) -> None:
        super().__init__(nb, **options)
        self._file = file
        self._saves = True

    def cell_start(self, cell: NotebookNode, cell_index: int | None = None, **options: Any) -> None:
        self._saves = cell.cell_type == "code"
        super().cell_start(cell, cell_index, **options)
        self._saves = True

    def cell_complete(self, cell: NotebookNode, cell_index: int | None = None, **options: Any) -> None:
        self._saves = False  # the next one does, or the end
        super().cell_complete(cell, cell_index, **options)
        self._saves = True

    def save(self, **options: Any) -> None:
        if not self._saves:
            return
        if self._file is None:
            super().save(**options)
        else:
            self._file.save(options.get("nb", self.nb))
            self.last_save_time = self.now()

    def autosave_cell(self) -> None:
        try:
            super().autosave_cell()
        except StorageError:  # raised within a message of the kernel; the save at the end of the cell reports it
            self.last_save_time = self.now() + datetime.timedelta(seconds=AUTOSAVE)


class PlaygroundEngine(NBClientEngine):  # type: ignore[misc]
    """Executes one notebook. As `papermill --engine playground` it needs none of its own arguments.

    Engine arguments:
        kernel: a PartyKernel that was started already, so that it boots while papermill is being imported.
        env: variables added to this process' environment for the kernel.
        kernel_cwd: the kernel's folder; its modules can be imported.
        on_cell: told the number of the code cell that begins, from 1, and how many there are.
        file: NotebookFile to save to instead of papermill's output path.
    """

    @classmethod
    def execute_notebook(
        cls,
        nb: NotebookNode,
        kernel_name: str,
        output_path: str | None = None,
        progress_bar: bool = True,
        log_output: bool = False,
        autosave_cell_every: int = AUTOSAVE,
        file: NotebookFile | None = None,
        **options: Any,
    ) -> NotebookNode:
        book = _SavingManager(
            nb,
            file,
            output_path=output_path,
            log_output=log_output,
            progress_bar=progress_bar,
            autosave_cell_every=autosave_cell_every,
        )
        book.notebook_start()
        try:
            cls.execute_managed_notebook(book, kernel_name, log_output=log_output, **options)
        finally:
            book.cleanup_pbar()
            book.notebook_complete()
        return nb

    @classmethod
    def execute_managed_notebook(
        cls,
        nb_man: Any,
        kernel_name: str,
        *,
        start_timeout: int = 60,
        execution_timeout: int | None = None,
        kernel: PartyKernel | None = None,
        env: dict[str, str] | None = None,
        kernel_cwd: Path | None = None,
        on_cell: Callable[[int, int], None] | None = None,
        log_output: bool = False,
        stdout_file: Any = None,
        stderr_file: Any = None,
        **_ignored: Any,
    ) -> None:
        """Run all cells.

        Raises:
            KernelDied: the kernel's process ended; names the signal.
            Stopped: `kernel.stop()` was called while no cell ran.
        """
        folder = PrivateFolder() if kernel is None else None
        try:
            if kernel is None and folder is not None:
                kernel = PartyKernel(
                    "kernel",
                    folder.path,
                    kernel_name,
                    env=env or {},
                    cwd=kernel_cwd or Path.cwd(),
                    on_plain=lambda why: logger.info("This kernel starts as an ordinary process: %s", why),
                )
                kernel.start()
            _execute(
                nb_man,
                kernel,
                on_cell,
                log=logger if folder is not None else quiet,
                startup_timeout=start_timeout,
                timeout=execution_timeout,
                log_output=log_output,
                stdout_file=stdout_file,
                stderr_file=stderr_file,
            )
        finally:
            if folder is not None:
                folder.remove()


def _execute(nb_man: Any, kernel: Any, on_cell: Callable[[int, int], None] | None, **options: Any) -> None:
    count = sum(cell.cell_type == "code" for cell in nb_man.nb.cells)

    def on_cell_start(cell: NotebookNode, cell_index: int) -> None:
        if kernel.stopping:
            raise Stopped("the runner stopped this notebook")
        if cell.cell_type == "code":
            kernel.begin_cell()
            if on_cell is not None:
                on_cell(kernel.code_cell, count)

    client = PapermillNotebookClient(
        nb_man,
        km=kernel.manager,
        kernel_name=kernel.manager.kernel_name,
        shell_timeout_interval=1,
        iopub_timeout=IOPUB_TIMEOUT,
        on_cell_start=on_cell_start,
        **options,
    )
    try:
        client.execute(cleanup_kc=True)
    except RuntimeError as error:  # DeadKernelError, and the RuntimeErrors of a kernel that never answers
        code = kernel.wait(timeout=1.0)
        if isinstance(error, Stopped) or code is None:
            raise
        if kernel.stopping:
            stopped = Stopped("the runner stopped this notebook and killed its kernel")
            _note_end(nb_man.nb, stopped)
            raise stopped from error
        died = KernelDied(code, kernel.log_tail())
        _note_end(nb_man.nb, died, died.log)
        raise died from error
    finally:
        run_sync(kernel.close)()


def _note_end(notebook: NotebookNode, reason: Exception, log: str = "") -> None:
    """The cell that ran shows in the saved notebook why its kernel could not say anything more."""
    code_cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    ran = [cell for cell in code_cells if cell.metadata.papermill.get("start_time")]
    if ran:
        ran[-1].metadata.papermill.update(status="failed", exception=True)
        name, text = type(reason).__name__, str(reason)
        traceback = [f"{name}: {text}", *log.splitlines()]
        output = {"output_type": "error", "ename": name, "evalue": text, "traceback": traceback}
        ran[-1].outputs.append(from_dict(output))  # type: ignore[no-untyped-call]
