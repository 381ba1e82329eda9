"""What the others are told when this party fails: the error, its traceback, and the notebook, cell and line."""

from __future__ import annotations

import functools
import os
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from playground_ext import settings
from playground_ext.errors import PlaygroundError

__all__ = ["describe", "in_kernel", "is_interactive", "reload_edited_modules", "shell", "shorten"]

_FRAMES = 12  # of a traceback, innermost last
_MAX_TEXT = 20_000  # characters of a traceback


def describe(error: BaseException) -> dict[str, Any]:
    """Error, traceback, notebook, cell and line, as the JSON body of a `fail` message.

    Frames of this package are left out, so that the reader sees the party's own code and the library it called.
    """
    inner = [frame for frame in _frames(error.__traceback__) if not _is_ours(frame[0])]
    frames = [*_callers(error.__traceback__), *inner]
    place = next((frame for frame in reversed(frames) if _is_users(frame[0])), frames[-1] if frames else None)
    body: dict[str, Any] = {"error": f"{type(error).__name__}: {_first_line(error)}", "traceback": _text(error, frames)}
    if notebook := settings.read().notebook:
        body["notebook"] = notebook.rsplit("/", 1)[-1]
    if place is not None:
        frame, line = place
        body["cell"] = _cell(frame) or frame.f_code.co_filename.rsplit("/", 1)[-1]
        body["line"] = f"line {line}"
    return body


def shell() -> Any | None:
    """The IPython shell of this kernel, or None outside Jupyter."""
    ipython = sys.modules.get("IPython")
    found = ipython.get_ipython() if ipython is not None else None
    return found if hasattr(found, "kernel") else None


def in_kernel() -> bool:
    return shell() is not None


def is_interactive() -> bool:
    """Is a person there to start the other notebooks? Papermill's requests allow no stdin, those of a front end do."""
    ipython = shell()
    if ipython is not None:
        return bool(getattr(ipython.kernel, "_allow_stdin", False))
    return sys.stdin is not None and sys.stdin.isatty()


def reload_edited_modules() -> None:
    """From now on a cell that runs uses modules as they are in their files: people mend them and run the cell again."""
    ipython = shell()
    if ipython is not None:
        ipython.run_line_magic("load_ext", "autoreload")  # it notes now how old the modules are
        ipython.run_line_magic("autoreload", "2")


def _frames(tb: TracebackType | None) -> Iterator[tuple[FrameType, int]]:
    while tb is not None:
        yield tb.tb_frame, tb.tb_lineno
        tb = tb.tb_next


def shorten(interrupt: KeyboardInterrupt) -> None:
    """Leave the user's own frames in its traceback: where in a library it struck says nothing, and takes IPython more
    than a second to print.
    """
    found: list[TracebackType] = []
    link = interrupt.__traceback__
    while link is not None:
        if not found or _is_users(link.tb_frame):  # the first is the frame that handles it now
            found.append(link)
        link = link.tb_next
    short = None
    for link in reversed(found):
        short = TracebackType(short, link.tb_frame, link.tb_lasti, link.tb_lineno)
    interrupt.__traceback__ = short


def _callers(tb: TracebackType | None) -> list[tuple[FrameType, int]]:
    """The user's frames that led to where the error is being handled, which its traceback does not hold yet."""
    found = []
    frame = tb.tb_frame.f_back if tb is not None else None
    while frame is not None:
        if _is_users(frame):
            found.append((frame, frame.f_lineno))
        frame = frame.f_back
    return found[::-1]


def _is_users(frame: FrameType) -> bool:
    """Typed into a notebook, or in a script or module of the user's."""
    name = frame.f_code.co_filename
    return bool(_cell(frame)) or not (_is_ours(frame) or name.startswith("<") or name.startswith(_libraries()))


@functools.cache
def _libraries() -> tuple[str, ...]:
    return tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})


def _is_ours(frame: FrameType) -> bool:
    package = str(frame.f_globals.get("__name__", "")).split(".")[0]
    if package in ("playground_ext", "IPython", "ipykernel"):
        return True
    return package == "__main__" and frame.f_code.co_filename.startswith(_package())  # `python -m playground_ext.…`


@functools.cache
def _package() -> str:
    """This package's folder, with the separator behind it."""
    return str(Path(__file__).parents[1]) + os.sep


def _cell(frame: FrameType) -> str | None:
    """`cell [5]` if the frame's code was typed into a notebook."""
    ipython = shell()
    if ipython is None:
        return None
    named = ipython.compile.format_code_name(frame.f_code.co_filename)
    if not named or named[0] != "Cell":
        return None
    return f"cell {named[1].removeprefix('In').strip() or named[1]}"


def _first_line(error: BaseException) -> str:
    text = error.what if isinstance(error, PlaygroundError) else str(error)
    if isinstance(error, KeyboardInterrupt):
        text = text or "it was interrupted"
    return text.strip().splitlines()[0] if text.strip() else "(no message)"


def _text(error: BaseException, frames: list[tuple[FrameType, int]]) -> str:
    lines = ["Traceback (most recent call last):"]
    if len(frames) > _FRAMES:
        lines.append(f"  … {len(frames) - _FRAMES} outer frames")
    for frame, line in frames[-_FRAMES:]:
        code = frame.f_code
        place = _cell(frame) or f'File "{code.co_filename}"'
        lines.append(f"  {place}, line {line}, in {code.co_name}")
        lines.extend(_source(code.co_filename, line))
    lines.extend(text.rstrip() for text in traceback.format_exception_only(type(error), error))
    return "\n".join(lines)[-_MAX_TEXT:]


def _source(filename: str, line: int) -> list[str]:
    import linecache

    text = linecache.getline(filename, line).strip()
    return [f"    {text}"] if text else []
