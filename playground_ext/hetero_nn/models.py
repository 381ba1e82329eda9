"""A party's models of a split model in one file, and back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from playground_ext.bus.tensors import load_file, save_file

__all__ = ["load_models", "save_models"]

StateDict = dict[str, torch.Tensor]


def save_models(states: Mapping[str, Mapping[str, torch.Tensor]], path: Path) -> None:
    """Write several state dicts into one safetensors file, each tensor under `<model>.<name>`.

    Raises:
        StorageError: the disk is full or not writable.
    """
    save_file({f"{model}.{name}": tensor for model, state in states.items() for name, tensor in state.items()}, path)


def load_models(path: str | Path) -> dict[str, StateDict]:
    """Read `save_models`: {"feature_model": …} of a collaborator, {"feature_model": …, "infer_model": …} of a host.

    Raises:
        StorageError: the file is missing or damaged.
    """
    states: dict[str, StateDict] = {}
    for key, tensor in load_file(Path(path)).items():
        model, _, name = key.partition(".")
        states.setdefault(model, {})[name] = tensor
    return states
