"""What a party that fails or dies does to the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from playground_ext import settings
from playground_ext.errors import ConfigError

__all__ = ["FailurePolicy"]

_CHOICES = ("stop", "wait")


@dataclass(frozen=True)
class FailurePolicy:
    """Set by the initiator for the run, and the same for everybody.

    `wait`: the others wait for a party that failed or died until it comes back, instead of ending too.
    `repair_timeout`: seconds that they wait; 0 means unlimited.
    `quorum`: number of collaborators that suffice, so that others may be lost without an end; 0 means all.
    """

    wait: bool = False
    repair_timeout: float = settings.REPAIR
    quorum: int = 0

    @classmethod
    def choose(
        cls, on_party_failure: str | None, repair_timeout: float | None, *, quorum: int = 0, interactive: bool
    ) -> FailurePolicy:
        """What the scheduler says, else the environment, else: wait where a person can mend it, otherwise stop.

        Raises:
            ConfigError: neither "stop" nor "wait", or a negative time.
        """
        known = settings.read()
        said = on_party_failure or known.on_party_failure or ("wait" if interactive else "stop")
        if said not in _CHOICES:
            raise ConfigError(f"on_party_failure={said!r}", next_step='use "stop" or "wait"')
        given = known.repair_timeout if repair_timeout is None else repair_timeout
        seconds = settings.REPAIR if given is None else given
        if seconds < 0:
            raise ConfigError(f"repair_timeout={seconds!r} is negative", next_step="give seconds; 0 means unlimited")
        return cls(said == "wait", seconds, quorum)

    @classmethod
    def of(cls, meta: Mapping[str, Any]) -> FailurePolicy:
        """As the initiator's description of the run says."""
        said = meta.get("policy") or {}
        return cls(
            bool(said.get("wait")), float(said.get("repair_timeout", settings.REPAIR)), int(said.get("quorum", 0))
        )

    def as_json(self) -> dict[str, Any]:
        return asdict(self)
