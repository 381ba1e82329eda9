"""`playground lab`: JupyterLab in the current folder, with the Playground in it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from playground_ext.errors import ConfigError

__all__ = ["EXTENSION", "lab_arguments", "lab_command"]

EXTENSION = "playground-ext"  # the front end's folder below share/jupyter/labextensions


def lab_command(options: Sequence[str], *, port: int | None, browser: bool, say: Callable[[str], None]) -> None:
    """Become JupyterLab: this process is replaced, so that Ctrl-C and its exit code are Jupyter's.

    Raises:
        ConfigError: JupyterLab is not installed.
    """
    if find_spec("jupyterlab") is None:
        raise ConfigError(
            "JupyterLab is not installed in this environment",
            next_step='pip install "playground-ext[lab]", or `make lab` in a checkout',
        )
    if not _is_installed():
        say(
            "Lab will open without the Playground's pages: they are not installed in this environment. Install the "
            "package again (pip install --force-reinstall --no-deps playground-ext; in a checkout: pip install -e .)"
        )
    arguments = lab_arguments(options, port=port, browser=browser, folder=Path.cwd())
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, "-m", "jupyterlab", *arguments])


def lab_arguments(options: Sequence[str], *, port: int | None, browser: bool, folder: Path) -> list[str]:
    """What JupyterLab is told; the user's own options come last and win.

    Jupyter makes a new token for every start, unless the user has configured one.
    """
    arguments = ["--ServerApp.ip=127.0.0.1", f"--ServerApp.root_dir={folder}"]
    arguments += ["--ServerApp.jpserver_extensions=playground_ext=True"]
    arguments += [f"--ServerApp.port={port}"] if port is not None else []
    arguments += [] if browser else ["--no-browser"]
    return [*arguments, *options]


def _is_installed() -> bool:
    from jupyter_core.paths import jupyter_path

    return any((Path(folder) / EXTENSION / "package.json").is_file() for folder in jupyter_path("labextensions"))
