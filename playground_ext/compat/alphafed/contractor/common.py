"""Messages as dataclasses, and how they become JSON and back."""

from __future__ import annotations

import base64
import dataclasses
import json
import typing
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from playground_ext.errors import ConfigError, PlaygroundError

__all__ = ["ContractEvent", "ContractEventFactory", "ContractException", "Contractor"]


class ContractException(PlaygroundError):
    """A message that cannot be sent or read."""


class ContractEvent:
    """A message. Subclass it as a dataclass with a `TYPE` of its own; the fields travel as JSON, bytes as base64."""

    TYPE: ClassVar[str]

    @classmethod
    def contract_to_event(cls, contract: dict[str, Any]) -> Self:
        """The event that `event_to_contract` described. Override it to check what came, with assertions if you like.

        Raises:
            ContractException: another type, or a field is missing.
        """
        if contract.get("type") != cls.TYPE:
            raise ContractException(f"a message of type {contract.get('type')!r} is not {cls.TYPE!r}")
        hints = typing.get_type_hints(cls)
        values: dict[str, Any] = {}
        for field in _fields(cls):
            if field.name not in contract:
                if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
                    raise ContractException(f"a message of type {cls.TYPE!r} lacks {field.name!r}")
                continue
            value = contract[field.name]
            as_bytes = hints.get(field.name) is bytes and isinstance(value, str)
            values[field.name] = base64.b64decode(value) if as_bytes else value
        return cls(**values)

    def event_to_contract(self) -> dict[str, Any]:
        """The event as JSON: its type and its fields."""
        return {"type": self.TYPE, **{field.name: _plain(getattr(self, field.name)) for field in _fields(type(self))}}

    def validate(self) -> None:
        """Called before it is sent.

        Raises:
            ConfigError: no dataclass, no `TYPE`, or a field that is not JSON.
        """
        name = type(self).__name__
        if not isinstance(getattr(self, "TYPE", None), str) or not self.TYPE:
            raise ConfigError(f"{name} has no TYPE", next_step=f"write TYPE = 'a_name_of_its_own' in {name}")
        try:
            json.dumps(self.event_to_contract())
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"{name} cannot be written as JSON: {error}",
                next_step="override event_to_contract() and contract_to_event() for what is not JSON",
            ) from error


class ContractEventFactory:
    """Knows the types of messages: subclass it with a `_CLASS_MAP` from `TYPE` to class."""

    _CLASS_MAP: ClassVar[Mapping[str, type[ContractEvent]]] = {}

    @classmethod
    def contract_to_event(cls, contract: dict[str, Any]) -> ContractEvent | None:
        """
        Raises:
            ContractException: a type that is not in the map, or a message that its class refuses.
        """
        kind = contract.get("type")
        event = cls._CLASS_MAP.get(str(kind))
        if event is None:
            raise ContractException(
                f"{cls.__name__} knows no message of type {kind!r}",
                next_step=f"put it into {cls.__name__}._CLASS_MAP; there are {', '.join(cls._CLASS_MAP) or 'none'}",
            )
        try:
            return event.contract_to_event(contract)
        except AssertionError as error:
            raise ContractException(f"{event.__name__} refuses a message: {error}") from error


class Contractor:
    """What all contractors have in common."""

    EVERYONE: ClassVar[list[str]] = ["*"]


def _fields(event: type) -> tuple[dataclasses.Field[Any], ...]:
    if not dataclasses.is_dataclass(event):
        raise ConfigError(
            f"{event.__name__} is no dataclass", next_step=f"put @dataclass before class {event.__name__}"
        )
    return dataclasses.fields(event)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(entry) for entry in value]
    return value
