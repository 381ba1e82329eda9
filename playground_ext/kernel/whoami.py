"""Who a notebook is, as far as it has said so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from playground_ext import settings
from playground_ext.party.context import Context, current

__all__ = ["Identity", "identify"]


@dataclass(frozen=True)
class Identity:
    """A notebook's party; what is not known yet is None or empty."""

    party: str | None
    task: str | None
    role: str | None
    nodes: tuple[str, ...]

    @property
    def peers(self) -> tuple[str, ...]:
        return tuple(node for node in self.nodes if node != self.party)

    def __str__(self) -> str:
        if self.party is None and self.task is None:
            return "This notebook has not said yet who it is: run the cell with mock_context(id=…, nodes=…, task_id=…)"
        role = f", {self.role}" if self.role and self.role != self.party else ""
        return f"I am {self.party or 'nobody yet'}{role}, in task {self.task or '(unknown)'}"


def identify(names: Mapping[str, Any]) -> Identity:
    """From the innermost mock_context, else one that `names` hold, else variables of a template, else the environment.

    `names`: the notebook's variables.
    """
    known = settings.read()
    contexts = [value for value in names.values() if isinstance(value, Context)]
    context = current() or (contexts[-1] if contexts else None)
    return Identity(
        _first(context and context.id, names.get("party_id"), known.party),
        _first(context and context.task_id, names.get("task_id"), known.task),
        _first(context and context.role, known.role),
        _names(context and context.nodes) or _names(names.get("nodes")) or known.nodes,
    )


def _first(*values: Any) -> str | None:
    return next((value for value in values if isinstance(value, str) and value), None)


def _names(value: Any) -> tuple[str, ...]:
    if isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(name, str) for name in value):
        return tuple(value)
    return ()
