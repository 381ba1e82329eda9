"""Errors that a route answers with a status of their own.

PlaygroundError
├── NotFound     404   no such task, folder or notebook
├── Conflict     409   it exists already, or something still runs
└── ConfigError
    └── BadField 400   a value of the page's form; `field` names it
"""

from __future__ import annotations

from playground_ext.errors import ConfigError, PlaygroundError

__all__ = ["BadField", "Conflict", "NotFound"]


class NotFound(PlaygroundError):
    """There is no such thing."""


class Conflict(PlaygroundError):
    """Not now: something of that name exists, or runs."""


class BadField(ConfigError):
    """A value that the page sent cannot be used."""

    def __init__(self, field: str, what: str, *, next_step: str | None = None) -> None:
        super().__init__(what, next_step=next_step)
        self.field = field
