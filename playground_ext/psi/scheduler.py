"""Private set intersection as a task of its own: one initiator, one or more collaborators.

Both protocols assume semi-honest parties, and tell nobody an id that it does not have itself (see the package's
docstring for who learns what). Secrets are drawn anew for every run and are in no message, log or file.
"""

from __future__ import annotations

import csv
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from playground_ext.errors import ConfigError
from playground_ext.party.checkpoint import Checkpoints
from playground_ext.party.disk import storage_error
from playground_ext.psi.channel import KINDS
from playground_ext.psi.exchange import Protocol
from playground_ext.psi.ids import IdSet, normalise
from playground_ext.psi.rsa import MAX_BITS, MIN_BITS
from playground_ext.psi.star import Outcome, follow_intersection, lead_intersection
from playground_ext.scheduler.attempts import KINDS as ATTEMPT_KINDS
from playground_ext.scheduler.attempts import NOTHING, Attempt, follow, lead
from playground_ext.scheduler.result import TaskResult
from playground_ext.scheduler.sides import SidedScheduler

__all__ = [
    "ECDHPSICollaboratorScheduler",
    "ECDHPSIInitiatorScheduler",
    "RSAPSICollaboratorScheduler",
    "RSAPSIInitiatorScheduler",
]

Ids = Iterable[str | int]

logger = logging.getLogger("playground")


class _PSIScheduler(SidedScheduler):
    """What all four have in common. Give `ids`, or override `load_local_ids`.

    After `run()`, `intersection` holds the common ids as this party spells them, in the order it gave them, and
    `outcome` says how long it took, how many bytes it cost and what each party learned. The results folder has the
    same ids in `intersection.csv`. Its memory beside the ids and the result is that of the package's docstring.
    """

    initiator_role: ClassVar[str] = "initiator"
    kinds = (*KINDS, *ATTEMPT_KINDS)
    durable_messages = False  # when a party comes back all begin again, with new keys
    protocol: ClassVar[Protocol]

    def __init__(
        self,
        ids: Ids | None = None,
        *,
        share_result: bool = True,
        calculation_timeout: float = 300.0,
        schedule_timeout: float = 30.0,
    ) -> None:
        super().__init__(calculation_timeout=calculation_timeout, schedule_timeout=schedule_timeout)
        self.share_result = share_result
        self._ids = ids if ids is None else tuple(ids)
        self.intersection: list[str | int] | None = None
        self.outcome: Outcome | None = None

    def load_local_ids(self) -> Sequence[str | int]:
        """This party's ids; nobody else gets to see them."""
        if self._ids is None:
            raise ConfigError(
                f"{type(self).__name__} has no ids",
                next_step=f"write {type(self).__name__}(ids=[…]), or override load_local_ids()",
            )
        return self._ids

    def _arguments(self) -> dict[str, Any]:
        return {**super()._arguments(), "share_result": self.share_result}

    def _prepare(self) -> None:
        self.intersection = self.outcome = None  # a used scheduler starts afresh
        self._own = normalise(self.load_local_ids())
        if self._own.duplicates:
            logger.info("%d of my ids came more than once and count once", self._own.duplicates)

    def _check_in(self) -> Mapping[str, Any]:
        return {}  # not even the number of ids: only those who intersect with this party learn it

    def _play(self) -> Path | None:
        take_part = lead if self.leads else follow
        take_part(self.session, self._begin, self._conclude, timeout=2 * self._round_timeout())
        return None

    def _conclude(self) -> None:
        """The others have done their parts, and so has this party, up to its checkpoint."""
        if self.session.restored is not None:
            self._go_back(self.session.restored)

    def _begin(self, attempt: Attempt) -> None:
        if attempt.round == NOTHING:
            self.current_round, self._reports = 1, []  # of an attempt before nothing is left
            with self._reported_round(self.nodes), self.session.user_code("intersecting ids", 1):
                outcome = self._intersect(self._own, attempt.number)
            logger.info("%s", outcome.report())
            self._take(outcome)
            self._checkpoint()
        elif self.outcome is None:  # this party was started again
            self._go_back(self.session.checkpoints.load(attempt.round))

    def _take(self, outcome: Outcome) -> None:
        self.outcome = outcome
        if outcome.positions is not None:
            self.intersection = list(outcome.common(self._own))
            self._save(self.intersection)

    def _state(self) -> Mapping[str, Any]:
        return {"outcome": None if self.outcome is None else self.outcome.state()}

    def _restore(self, state: Mapping[str, Any]) -> None:
        self._take(Outcome.of_state(state["outcome"]))

    def _load_result(self, result: TaskResult) -> None:
        newest = Checkpoints(result.folder.parent / "checkpoints").newest()
        if newest is not None:
            self._restore(newest)

    def _intersect(self, ids: IdSet, attempt: int) -> Outcome:
        raise NotImplementedError

    def _save(self, ids: Sequence[str | int]) -> None:
        path = self.session.folder.results / "intersection.csv"
        try:
            with path.open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerow(["id"])
                csv.writer(file).writerows([value] for value in ids)
        except OSError as error:
            raise storage_error(error, path.parent, "save the intersection") from error
        logger.info("%d common ids are in %s", len(ids), path)


class _Initiator(_PSIScheduler):
    """Learns the common ids and the others' numbers of ids. `share_result`: tell the collaborators which are common."""

    leads = True

    def _intersect(self, ids: IdSet, attempt: int) -> Outcome:
        return lead_intersection(
            self.session,
            ids,
            protocol=self.protocol,
            timeout=self._round_timeout(),
            share_result=self.share_result,
            attempt=attempt,
        )


class _Collaborator(_PSIScheduler):
    """Learns the initiator's number of ids, and which of its own are common if the initiator says so."""

    leads = False
    key_bits: int = MIN_BITS

    def _intersect(self, ids: IdSet, attempt: int) -> Outcome:
        return follow_intersection(
            self.session,
            ids,
            protocol=self.protocol,
            timeout=self._round_timeout(),
            share_result=self.share_result,
            key_bits=self.key_bits,
            attempt=attempt,
        )


class ECDHPSIInitiatorScheduler(_Initiator):
    """The initiator of an intersection on Curve25519 (see `psi.ecdh`)."""

    family, protocol = "ECDH-PSI", "ecdh"


class ECDHPSICollaboratorScheduler(_Collaborator):
    """A collaborator of an intersection on Curve25519 (see `psi.ecdh`)."""

    family, protocol = "ECDH-PSI", "ecdh"


class RSAPSIInitiatorScheduler(_Initiator):
    """The initiator of an intersection by blind RSA signatures (see `psi.rsa`): it asks, the collaborators sign."""

    family, protocol = "RSA-PSI", "rsa"


class RSAPSICollaboratorScheduler(_Collaborator):
    """A collaborator of an intersection by blind RSA signatures (see `psi.rsa`): it signs.

    `key_bits`: length of the RSA key, drawn anew for every run; 2048 at least.
    """

    family, protocol = "RSA-PSI", "rsa"

    def __init__(self, ids: Ids | None = None, *, key_bits: int = MIN_BITS, **options: Any) -> None:
        super().__init__(ids, **options)
        if not isinstance(key_bits, int) or not MIN_BITS <= key_bits <= MAX_BITS or key_bits % 256:
            raise ConfigError(
                f"{key_bits}-bit RSA keys are not offered", next_step=f"choose {MIN_BITS} (the default), 3072 or 4096"
            )
        self.key_bits = key_bits
