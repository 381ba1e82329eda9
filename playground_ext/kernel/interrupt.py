"""Ctrl-C in a notebook that a program runs: said at once, so that the runner does not have to kill the kernel.

IPython takes more than a second to print a KeyboardInterrupt that struck deep inside a library (in `import torch`,
say), because it parses every file on the way there; where in a library it struck says nothing.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any

from playground_ext.party.failure import is_interactive, shorten

__all__ = ["load_ipython_extension", "unload_ipython_extension"]


def load_ipython_extension(shell: Any) -> None:
    """IPython's hook; the runner loads it into every kernel that it starts."""
    if not shell.custom_exceptions:  # the user's own handling comes first
        shell.set_custom_exc((KeyboardInterrupt,), _show)


def unload_ipython_extension(shell: Any) -> None:
    if shell.custom_exceptions == (KeyboardInterrupt,):
        shell.set_custom_exc((), None)


def _show(
    shell: Any,
    kind: type[KeyboardInterrupt],
    interrupt: KeyboardInterrupt,
    traceback: TracebackType,
    tb_offset: int | None = None,
) -> None:
    """The user's own frames are enough; a person gets all of them, who may look for what hangs."""
    if not is_interactive():
        shorten(interrupt)
        interrupt.__suppress_context__ = True  # what was being handled when it struck, just as deep
    shell.showtraceback((kind, interrupt, interrupt.__traceback__), running_compiled_code=True)
