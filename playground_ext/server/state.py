"""What the parties of a run say about themselves, from the run's description and their control streams."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from playground_ext.bus.envelope import Control
from playground_ext.party.lease import is_held, machine
from playground_ext.server.wire import PartyStatus

__all__ = ["PartyWords", "RunWords"]

LAST_WORDS = 0.5  # seconds between a party's last words and the moment at which they are read here
REMOTE_SILENCE = 10.0  # seconds without a word after which a party on another machine is not alive; it speaks every 2 s


@dataclass
class PartyWords:
    """What one party said last."""

    hello: dict[str, Any] = field(default_factory=dict)  # empty: it has not joined
    waiting: dict[str, Any] = field(default_factory=dict)  # its entry in the lobby
    state: str = ""
    round: int | None = None
    rounds: int | None = None
    heard: float | None = None  # when it last spoke while somebody listened
    failure: dict[str, Any] | None = None
    ended: str | None = None  # completed, stopped, left
    _gone_since: float | None = None  # on the monotonic clock

    @property
    def alive(self) -> bool:
        """Does its process take part now?"""
        here = self.hello or self.waiting
        if not here or "error" in here or self.failure is not None or self.ended is not None:
            return False
        if here.get("host") == machine():
            return is_held(Path(str(here.get("lease"))))
        return self.heard is not None and time.time() - self.heard < REMOTE_SILENCE

    @property
    def gone(self) -> bool:
        """Not alive for so long that its last words would have come: it says them just before it leaves."""
        if self.alive:
            self._gone_since = None
            return False
        now = time.monotonic()
        self._gone_since = self._gone_since or now
        return now - self._gone_since > LAST_WORDS


@dataclass
class RunWords:
    """What is known about one run from the server."""

    run: str | None = None
    status: str = ""  # open, running, ended, failed; empty before a run
    meta: dict[str, Any] = field(default_factory=dict)
    parties: dict[str, PartyWords] = field(default_factory=dict)

    @property
    def nodes(self) -> list[str]:
        """All parties, the initiator's order first."""
        nodes = self.meta.get("nodes")
        said = [str(node) for node in nodes] if isinstance(nodes, list) else []
        return said + [party for party in self.parties if party not in said]

    @property
    def rounds(self) -> int | None:
        arguments = self.meta.get("arguments")
        rounds = arguments.get("max_rounds") if isinstance(arguments, dict) else None
        return rounds if isinstance(rounds, int) else None

    @property
    def anybody(self) -> bool:
        return any(words.alive for words in list(self.parties.values()))

    def of(self, party: str) -> PartyWords:
        return self.parties.setdefault(party, PartyWords())

    def describe(self, fields: Mapping[bytes, bytes]) -> None:
        """Take the hash that describes the run."""
        self.status = fields.get(b"status", b"").decode("utf-8", "replace")
        self.meta = _object(fields.get(b"run", b"")) or self.meta
        for node in self.nodes:
            self.of(node)
        for name, data in fields.items():
            if name.startswith(b"party:"):
                self.of(name[6:].decode("utf-8", "replace")).hello = _object(data)

    def wait(self, lobby: Mapping[bytes, bytes]) -> None:
        """Take the hash of those who wait for a run."""
        for words in self.parties.values():
            words.waiting = {}
        for name, data in lobby.items():
            self.of(name.decode("utf-8", "replace")).waiting = _object(data)

    def control(self, message: Control, *, heard: float | None) -> None:
        """Take a control message; `heard`: the moment, None if it is an old one."""
        words = self.of(message.sender)
        words.heard = heard if heard is not None else words.heard
        body = message.body
        match message.kind:
            case "hello":
                words.hello, words.failure, words.ended, words.state = body, None, None, "starting"
            case "check-in":
                words.state = "ready"
            case "progress":
                words.state = str(body.get("state", ""))
                words.round = _count(body.get("round"))
                words.rounds = _count(body.get("rounds")) or words.rounds
            case "fail":
                words.failure, words.state = body, "failed"
            case "end":
                words.ended = str(body.get("status", "completed"))
                words.state = {"completed": "done"}.get(words.ended, words.ended)

    def status_of(self, party: str) -> tuple[PartyStatus, str]:
        """How a party stands, and its state in words."""
        words = self.of(party)
        if words.failure is not None:
            return "failed", "failed"
        if words.ended is not None:
            known: dict[str, PartyStatus] = {"completed": "finished", "stopped": "failed"}
            return known.get(words.ended, "missing"), words.state
        if words.hello:
            if not words.gone or (words.heard is None and words.hello.get("host") != machine()):
                return ("waiting" if self.status == "open" else "running"), words.state or "starting"
            return "lost", f"gone while it was {words.state}" if words.state else "gone"
        if "error" in words.waiting:
            return "failed", "failed before it could join"
        if words.alive:
            return "waiting", "waiting for the others"
        return "missing", "not here"

    def first_failure(self) -> str | None:
        """The party whose failure came first, by the server's ids."""

        def moment(item: tuple[str, PartyWords]) -> tuple[int, int]:
            milliseconds, _, number = str((item[1].failure or {}).get("log_id") or "").partition("-")
            return (
                int(milliseconds) if milliseconds.isdecimal() else 1 << 62,
                int(number) if number.isdecimal() else 0,
            )

        failed = [item for item in self.parties.items() if item[1].failure is not None]
        return min(failed, key=moment)[0] if failed else None


def _object(data: bytes) -> dict[str, Any]:
    try:
        said = msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
