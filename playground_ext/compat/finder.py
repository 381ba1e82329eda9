"""`import alphafed…` finds `playground_ext.compat.alphafed…`: the same modules under a second name."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

from playground_ext import settings
from playground_ext.compat.log import show_lines_outside_runs
from playground_ext.errors import ConfigError

__all__ = ["AlphafedFinder", "install_finder"]

NAME = "alphafed"
OURS = "playground_ext.compat.alphafed"

logger = logging.getLogger("playground")


class AlphafedFinder(MetaPathFinder):
    """Stands first in `sys.meta_path`, and steps back where the real package is installed."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """
        Raises:
            ModuleNotFoundError: a part of the real package that is not covered here.
            ConfigError: PLAYGROUND_COMPAT is something else than alphafed.
        """
        if fullname == NAME:
            return self._find_package()
        if not fullname.startswith(f"{NAME}.") or not _is_ours(sys.modules.get(NAME)):
            return None
        real = OURS + fullname.removeprefix(NAME)
        if importlib.util.find_spec(real) is None:
            raise ModuleNotFoundError(
                f"{fullname} is not covered by the Playground (notebooks/coming_from_alphafed.ipynb says what is)",
                name=fullname,
            )
        return _spec(fullname, real)

    def _find_package(self) -> ModuleSpec | None:
        wish = settings.read().compat
        if wish not in (None, NAME):
            raise ConfigError(f"PLAYGROUND_COMPAT={wish!r}", next_step="set it to alphafed, or unset it")
        installed = PathFinder.find_spec(NAME)
        if installed is not None and installed.origin is not None and wish is None:
            logger.info(
                "alphafed: the package installed in %s is used; PLAYGROUND_COMPAT=alphafed would take the Playground's",
                installed.origin,
            )
            return None
        show_lines_outside_runs()
        logger.info("alphafed: the Playground's own (%s) is used", OURS)
        return _spec(NAME, OURS)


class _Alias(Loader):
    """Hands out a module that has another name."""

    def __init__(self, real: str) -> None:
        self._real = real
        self._spec: ModuleSpec | None = None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(self._real)
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec  # the import system has just put the second name there
        if self._real == OURS:
            from playground_ext.compat.local_data import prefer_local_data

            prefer_local_data()


def install_finder(finder: AlphafedFinder) -> None:
    """Put it first, once."""
    if not any(isinstance(entry, AlphafedFinder) for entry in sys.meta_path):
        sys.meta_path.insert(0, finder)


def _spec(name: str, real: str) -> ModuleSpec:
    found = importlib.util.find_spec(real)
    is_package = found is not None and found.submodule_search_locations is not None
    return ModuleSpec(name, _Alias(real), origin=found.origin if found else None, is_package=is_package)


def _is_ours(module: ModuleType | None) -> bool:
    return module is not None and module.__name__ == OURS
