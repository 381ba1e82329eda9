"""`MNIST(…, download=True)` of a notebook for AlphaMed takes the data that is here, and leaves the network alone."""

from __future__ import annotations

import importlib.util
import os
import secrets
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from playground_ext.data import FILES, RAW, dataset_dir, mnist_root

__all__ = ["prefer_local_data", "subset_in_use"]

_MODULE = "torchvision.datasets.mnist"


def prefer_local_data() -> None:
    """From now on torchvision's MNIST downloads nothing; it costs no import of torchvision before somebody asks."""
    if (module := sys.modules.get(_MODULE)) is not None:
        _replace_download(module)
    elif not any(isinstance(finder, _AfterImport) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterImport())


def subset_in_use() -> bool:
    """Is the bundled subset what a notebook gets that asks for MNIST?"""
    return mnist_root() is None


def _replace_download(module: ModuleType) -> None:
    mnist: Any = vars(module)["MNIST"]
    original = mnist.download
    if hasattr(original, "original"):
        return

    def download(self: Any) -> None:
        """Use the files below `root` if they are there, else the full set or the subset that the Playground has."""
        is_digits = type(self).resources is mnist.resources  # FashionMNIST and others inherit this method
        packed = all((Path(self.raw_folder) / f"{name}.gz").is_file() for name in FILES)
        if self._check_exists() or packed or not is_digits:
            original(self)
        elif type(self) is mnist:
            self.root = str(dataset_dir())
        else:
            _link(dataset_dir() / RAW, Path(self.raw_folder))  # a class of the user's, whose folder has its own name

    download.original = original  # type: ignore[attr-defined]
    mnist.download = download


def _link(source: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        draft = folder / f".{name}.{secrets.token_hex(4)}"
        draft.symlink_to(source / name)
        os.replace(draft, folder / name)  # several parties may do this at once


class _AfterImport(MetaPathFinder):
    """Waits for torchvision's module, and replaces its method when it has been loaded."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != _MODULE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _Replacing(spec.loader)
        return spec


class _Replacing(Loader):
    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        _replace_download(module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)
