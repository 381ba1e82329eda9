"""AlphaMed's package `alphafed`, on the Playground: its names, 0.4.9 and the guide of October 2022 alike.

Names are imported when they are first used: `import alphafed` costs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from playground_ext.compat.log import logger, task_logger

if TYPE_CHECKING:
    from playground_ext.compat.alphafed.fs import (
        get_dataset_dir,
        get_model_dir,
        get_result_dir,
        get_root_dir,
        get_runtime_dir,
        get_share_dir,
    )
    from playground_ext.compat.alphafed.mock import is_mock_mode, mock_context, mock_node_id, mock_nodes

_FOLDERS = (
    "get_dataset_dir",
    "get_model_dir",
    "get_result_dir",
    "get_root_dir",
    "get_runtime_dir",
    "get_share_dir",
)
_MOCK = ("is_mock_mode", "mock_context", "mock_node_id", "mock_nodes")

__all__ = [
    "get_dataset_dir",
    "get_model_dir",
    "get_result_dir",
    "get_root_dir",
    "get_runtime_dir",
    "get_share_dir",
    "is_mock_mode",
    "logger",
    "mock_context",
    "mock_node_id",
    "mock_nodes",
    "task_logger",
]

__version__ = "0.4.9+playground"  # whose names these are


def __getattr__(name: str) -> Any:
    if name in _FOLDERS:
        return getattr(import_module("playground_ext.compat.alphafed.fs"), name)
    if name in _MOCK:
        return getattr(import_module("playground_ext.compat.alphafed.mock"), name)
    raise AttributeError(f"module 'alphafed' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
