"""Algorithms whose initiator and collaborators run different classes: the class says who leads."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from playground_ext.errors import ConfigError
from playground_ext.party.identity import Party
from playground_ext.scheduler.base import Scheduler

__all__ = ["SidedScheduler"]


class SidedScheduler(Scheduler):
    """One side of an algorithm. `family` names the algorithm: all its sides fit together and nothing else does."""

    family: ClassVar[str]
    leads: ClassVar[bool]  # this class plays the initiator

    @property
    def collaborators(self) -> list[str]:
        """All parties but the initiator, in the initiator's order."""
        return [node for node in self.nodes if node != self.session.party.initiator]

    @classmethod
    def _algorithm(cls) -> str:
        return cls.family

    def _with_leader(self, party: Party, role: str | None) -> Party:
        """The class decides who initiates, wherever that party stands in `nodes`."""
        mine = self.initiator_role if self.leads else self.collaborator_role
        known = (mine, "initiator" if self.leads else "collaborator")
        if role is not None and role not in known:
            raise ConfigError(
                f"{type(self).__name__} plays the {mine}, but role={role!r} was given",
                party=party.id,
                next_step=f"leave role= away, or subclass the scheduler of the {role}",
            )
        if len(party.nodes) < 2:
            raise ConfigError(
                f"{self.family} needs a {self.initiator_role} and at least one {self.collaborator_role}",
                party=party.id,
                next_step="name all parties in nodes=[…]",
            )
        if self.leads:
            return replace(party, leader=party.id)
        if not party.is_initiator:
            return party
        return replace(party, leader=next(node for node in party.nodes if node != party.id))
