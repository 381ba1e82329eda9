"""Absolute paths that AlphaMed's documents name, such as /data/MNIST, read somewhere else on this machine.

Only with PLAYGROUND_DATASETS. Then the functions of Python by which files are found and read (`os.stat`, `os.path.…`,
`open`, `os.listdir`, `os.scandir`) look in the other folder for whatever is below the path; nothing else changes.
Libraries that open files in C see the path as it is.
"""

from __future__ import annotations

import builtins
import functools
import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["map_paths", "mapped", "missing_paths"]

_NAMES = ("stat", "lstat", "listdir", "scandir", "access")  # of os
_mapping: dict[str, str] = {}
_missing: list[list[str]] = []  # of the blocks of `missing_paths` that are entered
_originals: dict[str, Callable[..., Any]] = {}  # while the functions are replaced


def map_paths(pairs: Sequence[tuple[str, Path]]) -> None:
    """From now on read what is at or below the first of each pair at or below the second."""
    _mapping.update({place: str(folder) for place, folder in pairs})
    _replace()


def mapped(path: Any) -> Any:
    """Where a path is read; everything that is no mapped path is returned as it is."""
    if not _mapping or not isinstance(path, str | os.PathLike):
        return path
    text = os.fspath(path)
    if not isinstance(text, str) or not os.path.isabs(text):
        return path
    normal = os.path.normpath(text)
    for place, folder in _mapping.items():
        if normal == place or normal.startswith(place + os.sep):
            return folder + normal[len(place) :]
    return path


@contextmanager
def missing_paths() -> Iterator[list[str]]:
    """Absolute paths that the block asked for and did not find, in its order."""
    found: list[str] = []
    _replace()
    _missing.append(found)
    try:
        yield found
    finally:
        _missing.remove(found)
        if not (_missing or _mapping):
            _put_back()


def _replace() -> None:
    if _originals:
        return
    _originals["open"] = builtins.open
    builtins.open = io.open = _reading(builtins.open)
    for name in _NAMES:
        original = _originals[name] = getattr(os, name)
        replacement = _reading(original)
        setattr(os, name, replacement)
        for capable in (os.supports_fd, os.supports_dir_fd, os.supports_follow_symlinks):
            if original in capable:
                capable.add(replacement)


def _put_back() -> None:
    builtins.open = io.open = _originals.pop("open")
    for name in _NAMES:
        setattr(os, name, _originals.pop(name))


def _reading(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, whose first argument is a path."""

    @functools.wraps(function)
    def read(*arguments: Any, **options: Any) -> Any:
        path = arguments[0] if arguments else options.get("path", options.get("file"))
        try:
            if (elsewhere := mapped(path)) is not path:
                if arguments:
                    arguments = (elsewhere, *arguments[1:])
                else:
                    options["path" if "path" in options else "file"] = elsewhere
            return function(*arguments, **options)
        except FileNotFoundError:
            if _missing and isinstance(path, str | os.PathLike) and os.path.isabs(text := str(path)):
                _missing[-1] += [] if text in _missing[-1] else [text]
            raise

    return read
