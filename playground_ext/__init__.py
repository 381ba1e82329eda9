"""The Playground: one notebook per party of a federated task, all running at the same time.

Names are imported when they are first used: `import playground_ext` costs no torch.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playground_ext.errors import PlaygroundError
    from playground_ext.logs.capture import logger
    from playground_ext.overview.task_view import task_view
    from playground_ext.party.context import mock_context
    from playground_ext.party.folders import (
        get_dataset_dir,
        get_model_dir,
        get_result_dir,
        get_root_dir,
        get_runtime_dir,
        get_share_dir,
    )
    from playground_ext.scheduler.result import TaskResult

__version__ = "0.1.0"

_HOMES = {
    "PlaygroundError": "playground_ext.errors",
    "TaskResult": "playground_ext.scheduler.result",
    "logger": "playground_ext.logs.capture",
    "mock_context": "playground_ext.party.context",
    "task_view": "playground_ext.overview.task_view",
    "get_dataset_dir": "playground_ext.party.folders",
    "get_model_dir": "playground_ext.party.folders",
    "get_result_dir": "playground_ext.party.folders",
    "get_root_dir": "playground_ext.party.folders",
    "get_runtime_dir": "playground_ext.party.folders",
    "get_share_dir": "playground_ext.party.folders",
}

__all__ = [
    "PlaygroundError",
    "TaskResult",
    "__version__",
    "get_dataset_dir",
    "get_model_dir",
    "get_result_dir",
    "get_root_dir",
    "get_runtime_dir",
    "get_share_dir",
    "logger",
    "mock_context",
    "task_view",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'playground_ext' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """For Jupyter: what `playground_ext` adds to its server."""
    from playground_ext.server.app import PlaygroundApp

    return [{"module": "playground_ext", "app": PlaygroundApp}]


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    """For `jupyter labextension develop`: where the built front end lies."""
    return [{"src": "labextension", "dest": "playground-ext"}]


def __dir__() -> list[str]:
    return sorted(__all__)


if "ipykernel" in sys.modules:  # a notebook that a program runs tells the others if it fails before it joins them
    from playground_ext.party.early_failure import watch_cells

    watch_cells()
    del watch_cells
