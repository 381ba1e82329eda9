"""`alphafed.fs`: this party's folders. Those of a run that is running, where there is one."""

from __future__ import annotations

from playground_ext.party.folders import (
    get_dataset_dir,
    get_model_dir,
    get_result_dir,
    get_root_dir,
    get_runtime_dir,
    get_share_dir,
)

__all__ = [
    "get_dataset_dir",
    "get_model_dir",
    "get_result_dir",
    "get_root_dir",
    "get_runtime_dir",
    "get_share_dir",
]
