"""The party kernel's application: IPython's, with `%party`; alone in its process, or in one that a zygote forked."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

import ipykernel.ipkernel
from ipykernel.kernelapp import IPKernelApp

from playground_ext import settings
from playground_ext.party.early_failure import watch_cells

__all__ = ["DIALECTS", "EXTENSION", "ModuleFiles", "PartyKernelApp", "run_alone", "run_forked"]

EXTENSION = "playground_ext.kernel.magic"
DIALECTS = "playground_ext.compat"  # other systems' notebooks; named, because kernels know no algorithm


class PartyKernelApp(IPKernelApp):
    """ipykernel's application, which also knows `%party`, and tells those who wait for it if it fails early."""

    name = "playground-kernel"

    def init_extensions(self) -> None:
        super().init_extensions()  # type: ignore[no-untyped-call]
        shell: Any = self.shell
        for extension in (EXTENSION, DIALECTS):
            shell.extension_manager.load_extension(extension)
        watch_cells()


def run_alone() -> NoReturn:
    """Be a kernel until it is shut down, and end the process."""
    _end_after(PartyKernelApp.launch_instance)


def run_forked(arguments: Sequence[str], ready: int, module_files: ModuleFiles) -> NoReturn:
    """Be a kernel in a forked process, and end the process as Python would end it.

    `ready`: descriptor that gets one byte when the sockets are bound.
    """
    sys.argv = [sys.modules["ipykernel"].__file__ or "ipykernel", *arguments]
    _end_after(lambda: _start(arguments, ready, module_files))


def _end_after(run: Callable[[], None]) -> NoReturn:
    """Run, and end the process as Python would end it, but for tearing the interpreter down: with torch in it that
    takes more than a second, and in a forked process it would copy every page that is shared with the zygote.
    """
    code = 0
    try:
        run()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc(file=sys.__stderr__)
        code = 1
    try:
        threading._shutdown()  # type: ignore[attr-defined]  # joins the user's threads, as the interpreter does
        atexit._run_exitfuncs()
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
    finally:
        os._exit(code)


def _start(arguments: Sequence[str], ready: int, module_files: ModuleFiles) -> None:
    app: Any = PartyKernelApp.instance(parent_handle=1)  # 1: somebody watches the parent already; the lease does
    try:
        with _without_module_scan(module_files):
            app.initialize(list(arguments))
        _configure_matplotlib()
    except BaseException:  # a taken port: the ordinary end would wait for its sockets for ever
        traceback.print_exc(file=sys.__stderr__)
        os._exit(1)
    os.write(ready, b"1")
    os.close(ready)
    app.start()


def _configure_matplotlib() -> None:
    """It asked the zygote's environment and folder when it was imported there."""
    matplotlib: Any = sys.modules.get("matplotlib")
    if matplotlib is None:
        return
    if os.path.exists("matplotlibrc"):
        matplotlib.rc_file("matplotlibrc")
    if backend := settings.read().matplotlib_backend:
        matplotlib.rcParams["backend"] = backend
    # While it is imported it tells the shell how to show figures. There was no shell yet: pyplot imports it once more.
    sys.modules.pop("matplotlib_inline.backend_inline", None)


class ModuleFiles:
    """Stands for `sys` in ipykernel: its look at every module, to know the debugger's own files, would copy 15 MB."""

    def __init__(self) -> None:
        """Made before the fork, when everything is imported."""
        files = [file for module in list(sys.modules.values()) if (file := getattr(module, "__file__", None))]
        self.modules = {str(number): _File(file) for number, file in enumerate(files)}

    def __getattr__(self, name: str) -> Any:
        return getattr(sys, name)


class _File:
    """What is asked of a module."""

    __slots__ = ("__file__",)

    def __init__(self, file: str) -> None:
        self.__file__ = file


@contextlib.contextmanager
def _without_module_scan(files: ModuleFiles) -> Iterator[None]:
    scanning: Any = ipykernel.ipkernel
    scanning.sys = files
    try:
        yield
    finally:
        scanning.sys = sys
