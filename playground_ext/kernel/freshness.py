"""Whether the packages that this process has imported are still the ones on disk."""

from __future__ import annotations

import os
import sys
import sysconfig
import time
from collections.abc import Iterable

__all__ = ["Installed"]

_MARKS = (".dist-info", ".egg-info", ".egg-link", ".pth")  # what installing and removing a package leaves changed


class Installed:
    """What was on disk when it was made: packages, the interpreter, and imported files outside of packages."""

    def __init__(self) -> None:
        self._began = time.time_ns()
        self._folders = {entry: _stamp(entry) for entry in sys.path}
        self._packages = _packages(self._folders)
        self._files: dict[str, int | None] = {sys.executable: _stamp(sys.executable)}
        self._change: str | None = None

    def remember_imports(self) -> None:
        """To be called when everything is imported: a checkout's files are watched one by one."""
        installed = tuple(os.path.join(sysconfig.get_path(name), "") for name in ("stdlib", "purelib", "platlib"))
        for module in list(sys.modules.values()):
            file = getattr(module, "__file__", None)
            if not isinstance(file, str) or not os.path.isabs(file) or file.startswith(installed):
                continue  # modules that are made up have made up files
            self._files[file] = stamp = _stamp(file)
            if stamp is not None and self._began < stamp <= time.time_ns():
                self._change = f"{os.path.basename(file)} changed while it was imported"

    def change(self) -> str | None:
        """What has changed, in words; None if nothing has."""
        self._change = self._change or self._look()
        return self._change

    def _look(self) -> str | None:
        for file, stamp in self._files.items():
            if _stamp(file) != stamp:
                return f"{os.path.basename(file)} has changed"
        folders = {entry: _stamp(entry) for entry in self._folders}
        if folders == self._folders:
            return None
        changed = sorted({name for name, _ in _packages(folders) ^ self._packages})
        if changed:
            more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
            return f"packages have changed: {changed[0]}{more}"
        self._folders = folders  # something else lies there now, such as a __pycache__
        return None


def _packages(folders: Iterable[str]) -> set[tuple[str, int | None]]:
    found: set[tuple[str, int | None]] = set()
    for folder in folders:
        try:
            names = os.listdir(folder or ".")
        except OSError:
            continue  # a zip file, or nothing
        found.update((name, _stamp(os.path.join(folder, name))) for name in names if name.endswith(_MARKS))
    return found


def _stamp(path: str) -> int | None:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return None
