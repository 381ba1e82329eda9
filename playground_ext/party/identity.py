"""Party: who takes part in a task, and as what."""

from __future__ import annotations

from dataclasses import dataclass

from playground_ext.bus.keys import check_name
from playground_ext.errors import ConfigError

__all__ = ["Party"]


@dataclass(frozen=True)
class Party:
    """One participant of one task. The first of `nodes` is the initiator unless `leader` names another."""

    id: str
    task: str
    nodes: tuple[str, ...]
    leader: str | None = None

    def __post_init__(self) -> None:
        check_name("party id", self.id)
        check_name("task id", self.task)
        for node in self.nodes:
            check_name("party id", node)
        if len(set(self.nodes)) != len(self.nodes):
            twice = sorted({node for node in self.nodes if self.nodes.count(node) > 1})
            raise ConfigError(f"nodes names {', '.join(twice)} more than once", next_step="give every party its own id")
        if self.id not in self.nodes:
            raise ConfigError(
                f"party id {self.id!r} is not one of nodes: {', '.join(self.nodes)}",
                task=self.task,
                next_step="use an id of the list, or a larger number of collaborators (the same in every notebook)",
            )

    @property
    def initiator(self) -> str:
        return self.leader or self.nodes[0]

    @property
    def is_initiator(self) -> bool:
        return self.id == self.initiator

    @property
    def peers(self) -> tuple[str, ...]:
        """The other parties, in a fixed order."""
        return tuple(node for node in self.nodes if node != self.id)
