"""Everything that can go wrong, as one tree.

PlaygroundError
├── ConfigError              an argument, setting or parameter that cannot work
│   ├── ParameterError       a template parameter that does not exist or has a wrong value
│   └── TemplateError        a federation folder that is not one
├── ServerError              the Redis-protocol server
│   ├── ServerUnreachable    nobody answers at the address, or the password is wrong
│   └── ServerFull           the server's memory limit is reached
├── ProtocolError            what another party sent makes no sense
│   └── MalformedPayload     bytes that are not the tensors they claim to be
├── CheckInError             the parties could not start together
│   ├── PartyMissing         a party never showed up
│   ├── DuplicateParty       two notebooks claim to be the same party
│   └── ModelMismatch        the parties built different models
├── ReceiveTimeout           a party sent nothing before the deadline
├── RoundInterrupted         a party was lost in the middle of a round, which begins again when all are back
├── RunReplaced              the initiator opened a new run of this task
├── PartyReplaced            another notebook has taken this party's place
├── PartyFailed              another party failed; carries that party's traceback
│   └── PartyDied            another party's process is gone
├── AggregationError         updates that cannot be averaged
│   └── TooFewSurvivors      secure aggregation: fewer parties answered than its threshold
├── StorageError             a folder or file of this party (disk full, not writable)
└── RunFailed                `playground run`: the first failing party's traceback, cell and line
"""

from __future__ import annotations

import sys
import textwrap
from types import TracebackType
from typing import Self

__all__ = [
    "AggregationError",
    "CheckInError",
    "ConfigError",
    "DuplicateParty",
    "MalformedPayload",
    "ModelMismatch",
    "ParameterError",
    "PartyDied",
    "PartyFailed",
    "PartyMissing",
    "PartyReplaced",
    "PlaygroundError",
    "ProtocolError",
    "ReceiveTimeout",
    "RoundInterrupted",
    "RunFailed",
    "RunReplaced",
    "ServerError",
    "ServerFull",
    "ServerUnreachable",
    "StorageError",
    "TemplateError",
    "TooFewSurvivors",
]


class PlaygroundError(Exception):
    """Says who, where, what, and what to do next.

    `what` is one sentence; `party`, `task` and `round` say where; `next_step` tells the reader what to do. `details` is
    longer text, such as another party's traceback, shown below.
    """

    def __init__(
        self,
        what: str,
        *,
        party: str | None = None,
        task: str | None = None,
        round: int | None = None,
        next_step: str | None = None,
        details: str | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.party = party
        self.task = task
        self.round = round
        self.next_step = next_step
        self.details = details

    def where(self) -> str:
        """Task, round and party, as far as they are known, for one line."""
        known = (("task", self.task), ("round", self.round), ("party", self.party))
        return ", ".join(f"{name} {value}" for name, value in known if value is not None)

    def located(self, *, party: str | None = None, task: str | None = None, round: int | None = None) -> Self:
        """Fill in what the raiser could not know, and return self."""
        self.party = self.party or party
        self.task = self.task or task
        self.round = self.round if self.round is not None else round
        return self

    def __str__(self) -> str:
        lines = [self.what]
        if where := self.where():
            lines.append(f"  where: {where}")
        if self.next_step:
            lines.append(f"  next:  {self.next_step}")
        if self.details:
            lines.append(textwrap.indent(self.details.rstrip(), "  | "))
        return "\n".join(lines)

    def _render_traceback_(self) -> list[str]:
        """IPython's hook: one screen instead of the library's frames."""
        return [f"{type(self).__name__}: {self}", *_user_frames(self.__traceback__)]


def _user_frames(traceback: TracebackType | None) -> list[str]:
    """The frames outside this package, IPython and the standard library's plumbing, innermost last, one line each."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    lines: list[str] = []
    while traceback is not None:
        module = str(traceback.tb_frame.f_globals.get("__name__", ""))
        if module.split(".")[0] not in ("playground_ext", "IPython", "ipykernel", "contextlib"):
            code = traceback.tb_frame.f_code
            cell = shell.compile.format_code_name(code.co_filename) if shell is not None else None
            place = f"cell {cell[1].removeprefix('In').strip()}" if cell else code.co_filename
            lines.append(f"  at {place}, line {traceback.tb_lineno}, in {code.co_name}")
        traceback = traceback.tb_next
    return lines


class ConfigError(PlaygroundError):
    """An argument, setting or parameter that cannot work."""


class ParameterError(ConfigError):
    """A template parameter that does not exist or has a wrong value."""


class TemplateError(ConfigError):
    """A federation folder that is not one."""


class ServerError(PlaygroundError):
    """Something about the Redis-protocol server."""


class ServerUnreachable(ServerError):
    """Nobody answers at the address, or the password is wrong."""


class ServerFull(ServerError):
    """The server's memory limit is reached."""


class ProtocolError(PlaygroundError):
    """What another party sent makes no sense."""


class MalformedPayload(ProtocolError):
    """Bytes that are not the tensors they claim to be."""


class CheckInError(PlaygroundError):
    """The parties could not start together."""


class PartyMissing(CheckInError):
    """A party never showed up."""


class DuplicateParty(CheckInError):
    """Two notebooks claim to be the same party."""


class ModelMismatch(CheckInError):
    """The parties built different models."""


class ReceiveTimeout(PlaygroundError):
    """A party sent nothing before the deadline."""


class RoundInterrupted(PlaygroundError):
    """A party was lost in the middle of a round. Never reaches the user: the round begins again when all are back."""


class RunReplaced(PlaygroundError):
    """The initiator opened a new run of this task."""


class PartyReplaced(PlaygroundError):
    """Another notebook has taken this party's place."""


class PartyFailed(PlaygroundError):
    """Another party failed; `party` names it and `details` is its traceback."""


class PartyDied(PartyFailed):
    """Another party's process is gone."""


class AggregationError(PlaygroundError):
    """Updates that cannot be averaged."""


class TooFewSurvivors(AggregationError):
    """Secure aggregation: fewer parties answered than its threshold, so nobody can take the masks off."""


class StorageError(PlaygroundError):
    """A folder or file of this party: disk full, not writable, corrupted."""


class RunFailed(PlaygroundError):
    """`playground run`: the first failing party's traceback, cell and line."""
