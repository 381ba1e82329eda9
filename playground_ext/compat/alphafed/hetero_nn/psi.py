"""`alphafed.hetero_nn.psi`: private set intersection by RSA, alone, as AlphaMed's package calls it.

Split learning needs none of this: its schedulers intersect by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from playground_ext.compat.current import leave
from playground_ext.compat.dialect import Voice
from playground_ext.errors import ConfigError, PlaygroundError
from playground_ext.party.context import current, from_environment, mock_context
from playground_ext.party.identity import Party
from playground_ext.psi import scheduler as native

__all__ = ["IntersectionError", "RSAPSICollaboratorScheduler", "RSAPSIInitiatorScheduler"]

Ids = Sequence[str]


class IntersectionError(PlaygroundError):
    """An intersection that could not be made."""


class RSAPSIInitiatorScheduler(Voice):
    """The initiator: learns the common ids, and tells the collaborators."""

    def __init__(
        self, task_id: str, initiator_id: str, ids: Ids, collaborator_ids: Sequence[str], contractor: Any = None
    ) -> None:
        self.task_id, self.initiator_id, self.ids = task_id, initiator_id, ids
        self.collaborator_ids = list(collaborator_ids)
        self.intersection: set[str] = set()

    def make_intersection(self) -> set[str]:
        """The ids that all parties have. Raises as `playground_ext.psi.scheduler` does."""
        leave(self.initiator_id)
        scheduler = native.RSAPSIInitiatorScheduler(ids=self.ids)
        party = Party(self.initiator_id, self.task_id, (self.initiator_id, *self.collaborator_ids))
        self.intersection = _intersect(scheduler, party)
        return self.intersection


class RSAPSICollaboratorScheduler(Voice):
    """A collaborator; who the others are says `mock_context`, or PLAYGROUND_NODES."""

    def __init__(self, task_id: str, collaborator_id: str, ids: Ids, contractor: Any = None) -> None:
        self.task_id, self.collaborator_id, self.ids = task_id, collaborator_id, ids
        self.intersection: set[str] = set()

    def collaborate_intersection(self) -> set[str]:
        """The ids that all parties have. Raises as `playground_ext.psi.scheduler` does."""
        leave(self.collaborator_id)
        context = current() or from_environment(self.task_id)
        party = context.party(id=self.collaborator_id, task_id=self.task_id)
        self.intersection = _intersect(native.RSAPSICollaboratorScheduler(ids=self.ids), party)
        return self.intersection


def _intersect(scheduler: Any, party: Party) -> set[str]:
    if not scheduler.load_local_ids():
        raise ConfigError(f"{party.id} has no ids", next_step="give them as ids=[…]")
    with mock_context(id=party.id, nodes=party.nodes, task_id=party.task):
        scheduler.run()
    return set(scheduler.intersection or ())
