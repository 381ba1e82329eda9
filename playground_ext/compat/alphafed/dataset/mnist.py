"""MNIST in ten equal parts, for demonstrations with several parties."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torchvision.datasets import MNIST

from playground_ext.data import dataset_dir
from playground_ext.errors import ConfigError

__all__ = ["FedMNIST"]

PARTS = 10


class FedMNIST(MNIST):  # type: ignore[misc]
    """The samples of the parts `client_ids`, each a number from 1 to 10 or a list of them; all without.

    `root`: where FedMNIST/raw or MNIST/raw lies; if neither does, `download=True` takes the data that the Playground
    has (the full set, or the bundled subset), without the network. Parts are equal, in MNIST's order.

    Raises:
        ConfigError: a part that does not exist.
    """

    def __init__(
        self,
        root: str | Path,
        train: bool = True,
        transform: Callable[..., Any] | None = None,
        target_transform: Callable[..., Any] | None = None,
        download: bool = False,
        client_ids: int | Sequence[int] = tuple(range(1, PARTS + 1)),
    ) -> None:
        chosen = [client_ids] if isinstance(client_ids, int) else list(client_ids)
        if not chosen or not all(isinstance(part, int) and 1 <= part <= PARTS for part in chosen):
            raise ConfigError(
                f"client_ids={client_ids!r} names a part that does not exist",
                next_step=f"use numbers from 1 to {PARTS}",
            )
        self.client_ids = sorted(set(chosen))
        super().__init__(root, train, transform, target_transform, download)

    @property
    def raw_folder(self) -> str:
        """Where the files are: AlphaMed's folder, else MNIST's own."""
        own, usual = (os.path.join(self.root, name, "raw") for name in ("FedMNIST", "MNIST"))
        return own if os.path.isdir(own) else usual

    def download(self) -> None:
        """Nothing comes from the network."""
        if not self._check_exists():
            self.root = str(dataset_dir())

    def _load_data(self) -> tuple[torch.Tensor, torch.Tensor]:
        images, labels = super()._load_data()
        size = len(images) // PARTS
        picked = torch.cat([torch.arange(size * (part - 1), size * part) for part in self.client_ids])
        return images[picked], labels[picked]
