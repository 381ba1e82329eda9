"""plan.json in a run's folder: all that `playground resume` has to know to go on with it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from playground_ext.errors import StorageError, TemplateError
from playground_ext.runner.parameters import tagged_cells
from playground_ext.runner.plan import PLAN, Plan
from playground_ext.runner.templates import read_notebook

__all__ = ["KeptPlan", "code_digest", "read_plan", "write_plan"]

FORMAT = 1


@dataclass(frozen=True)
class KeptPlan:
    """A plan, how it was executed, and what the notebooks were when they were copied from where they came from."""

    plan: Plan
    plain: bool  # --kernel plain
    restarts: int  # --restart-failed
    code: dict[str, str] = field(default_factory=dict)  # per party: code_digest of its notebook
    format: int = FORMAT


def write_plan(folder: Path, kept: KeptPlan) -> None:
    """Raises StorageError: the disk is full or not writable."""
    draft = folder / f".{PLAN}.new"
    try:
        draft.write_bytes(msgspec.json.format(msgspec.json.encode(kept, enc_hook=str), indent=2) + b"\n")
        draft.replace(folder / PLAN)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise StorageError(
            f"{folder / PLAN} cannot be written: {error.strerror or error}", next_step="make room"
        ) from error


def read_plan(folder: Path) -> KeptPlan | None:
    """None if there is none, or none that can be read: the run was made by another version."""
    try:
        return msgspec.json.decode((folder / PLAN).read_bytes(), type=KeptPlan, dec_hook=_decode)
    except (OSError, msgspec.MsgspecError):
        return None


def code_digest(notebook: Path) -> str:
    """SHA-256 of a notebook's code, without the cell that papermill injects; empty if the notebook cannot be read."""
    try:
        content = read_notebook(notebook)
    except TemplateError:
        return ""
    injected = tagged_cells(content, "injected-parameters")
    code = [cell for cell in content["cells"] if cell.get("cell_type") == "code" and cell not in injected]
    return hashlib.sha256("\0".join("".join(cell.get("source", "")) for cell in code).encode()).hexdigest()


def _decode(kind: type, value: Any) -> Any:
    if kind is Path:
        return Path(value)
    raise NotImplementedError(kind)
