"""Messages and data between parties that know one another's names and nothing else: AlphaMed's contracts and streams.

Both travel through the run's mailbox, each in a kind of its own, so that waiting for data never swallows a message, two
parties may send to each other at once, and nothing of an earlier run arrives.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from playground_ext.bus.envelope import Envelope
from playground_ext.bus.mailbox import Mailbox
from playground_ext.errors import ConfigError, MalformedPayload, PartyMissing
from playground_ext.party.liveness import Watch

__all__ = ["CONTRACT", "KINDS", "STREAM", "Talk"]

CONTRACT, STREAM = "contract", "stream"
KINDS = (CONTRACT, STREAM)
_ROUND = 1 << 30  # messages belong to no round, and are not forgotten with one
_SLICE = 1.0  # seconds after which a wait looks at who can still speak

logger = logging.getLogger("playground")

Contract = dict[str, Any]


class Talk:
    """One party's messages and data of one run; used by one thread.

    `patience`: seconds that parties get to join the run before a wait for them is given up. `acknowledge`: free what
    was received at its sender; not where checkpoints do that.
    """

    def __init__(
        self,
        mailbox: Mailbox,
        watch: Watch,
        *,
        me: str,
        task: str,
        nodes: Sequence[str],
        patience: float,
        acknowledge: bool,
        on_wait: Callable[[str | None], None] = lambda text: None,
    ) -> None:
        self.me, self.task, self.nodes = me, task, tuple(nodes)
        self._mailbox, self._watch = mailbox, watch
        self._peers = [node for node in nodes if node != me]
        self._until = time.monotonic() + patience
        self._patience = patience
        self._acknowledge = acknowledge
        self._on_wait = on_wait
        self._own: dict[str, deque[Any]] = {CONTRACT: deque(), STREAM: deque()}  # what this party said to itself

    def say(self, state: str) -> None:
        """Tell everybody what this party is doing."""
        self._watch.say(state)

    # -- messages ---------------------------------------------------------------------------------------------------

    def post(self, targets: Iterable[str], contract: Mapping[str, Any]) -> str:
        """Send a message, which is JSON; parties that have not joined get it when they do. Returns the message's id.

        Raises:
            ConfigError: a target that is no party of the task, or a message that is not JSON.
        """
        try:
            payload = msgspec.json.encode(contract)
        except (TypeError, msgspec.MsgspecError) as error:
            raise ConfigError(
                f"the message {contract.get('type')!r} cannot be written as JSON: {error}",
                next_step="override event_to_contract() and contract_to_event() for what is not JSON",
            ) from error
        token = secrets.token_hex(8)
        others = self._known(targets)
        if self.me in others:
            others.remove(self.me)
            self._own[CONTRACT].append(msgspec.json.decode(payload))
        self._mailbox.send(others, CONTRACT, payload, round=_ROUND, step=token)
        return token

    def next_contract(self, deadline: float) -> tuple[str, Contract] | None:
        """Sender and content of the next message; None at the deadline (monotonic), or when nobody can speak any more.

        Raises:
            PartyMissing: without a deadline, nobody is left who could speak.
            PartyFailed, PartyDied, RunReplaced: a party is in trouble.
        """
        if self._own[CONTRACT]:
            return self.me, self._own[CONTRACT].popleft()
        envelope = self._wait(self._peers, CONTRACT, deadline, "a message")
        return None if envelope is None else (envelope.sender, _contract(envelope))

    # -- data -------------------------------------------------------------------------------------------------------

    def wait_for(self, party: str, timeout: float) -> str | None:
        """Until `party` has joined, at most so many seconds (0: as long as people get); why it cannot be sent to."""
        if self._known([party]) == [self.me]:
            return None
        status = self._watch.statuses
        seconds = timeout or max(0.0, self._until - time.monotonic())
        here = self._watch.wait_until(lambda: status[party].hello is not None, min(seconds, _SLICE))
        if not here:
            self._on_wait(f"waiting for {party} to join")
            try:
                here = self._watch.wait_until(lambda: status[party].hello is not None, max(0.0, seconds - _SLICE))
            finally:
                self._on_wait(None)
        if not here:
            return f"{party} did not join task {self.task} within {seconds:.0f} s"
        return f"{party} has left the task" if status[party].ended else None

    def send_data(self, targets: Sequence[str], data: bytes, timeout: float) -> None:
        """Send bytes to parties that have joined; stored once for all. Returns when the server holds them."""
        others = self._known(targets)
        if self.me in others:
            others.remove(self.me)
            self._own[STREAM].append(data)
        self._mailbox.send(others, STREAM, data, round=_ROUND, step=secrets.token_hex(8), timeout=timeout)

    def receive_data(
        self, sources: Sequence[str], deadline: float, on_contract: Callable[[str, Contract], None] | None
    ) -> dict[str, bytes]:
        """The next data of each source, as far as it comes before the deadline (monotonic).

        `on_contract` gets the messages that come meanwhile; without it they wait. Raises like `next_contract`.
        """
        found: dict[str, bytes] = {}
        missing = self._known(sources)
        if self.me in missing and self._own[STREAM]:
            missing.remove(self.me)
            found[self.me] = self._own[STREAM].popleft()
        while missing:
            envelope = self._wait(missing, STREAM, deadline, "data", self._peers if on_contract is not None else ())
            if envelope is None:
                break
            if envelope.kind == CONTRACT and on_contract is not None:
                on_contract(envelope.sender, _contract(envelope))
                continue
            missing.remove(envelope.sender)
            found[envelope.sender] = bytes(envelope.payload)
            if self._acknowledge:
                self._watch.post("ack", {"cursors": self._mailbox.taken})
        return {source: found[source] for source in sources if source in found}

    def last_words(self, parties: Iterable[str]) -> str:
        """What silent parties last said, for an error message."""
        return "; ".join(f"{party}: {self._watch.last_word(party)}" for party in parties if party != self.me)

    # -- waiting ----------------------------------------------------------------------------------------------------

    def _wait(
        self, senders: Sequence[str], kind: str, deadline: float, what: str, contracts_of: Sequence[str] = ()
    ) -> Envelope | None:
        """One message of `senders`, or a contract of the others that are named; None at the deadline."""
        began = time.monotonic()
        wanted = [*((party, CONTRACT) for party in contracts_of), *((party, kind) for party in senders)]
        try:
            while True:
                left = deadline - time.monotonic()
                given_up = self._given_up(senders)
                # what was said before somebody left is there by the time that this is seen
                envelope = self._mailbox.receive_any(wanted, timeout=0.05 if given_up else max(0.0, min(left, _SLICE)))
                if envelope is not None:
                    return envelope
                if given_up and deadline == float("inf"):
                    raise PartyMissing(
                        f"{what} is awaited, but {given_up}",
                        party=self.me,
                        task=self.task,
                        next_step="let the parties send what the others wait for, or give the wait a timeout",
                    )
                if left <= 0 or given_up:
                    return None
                if time.monotonic() - began > _SLICE:
                    self._on_wait(f"waiting for {what} of {', '.join(senders)}")
        finally:
            self._on_wait(None)

    def _given_up(self, senders: Sequence[str]) -> str | None:
        """Why none of them will say anything more, in words; None while one may."""
        reasons = []
        for party in senders:
            status = self._watch.statuses.get(party)
            if status is None:
                reasons.append("nobody else can speak")
            elif status.ended:
                reasons.append(f"{party} has left")
            elif status.hello is None and time.monotonic() > self._until:
                reasons.append(f"{party} did not come within {self._patience:.0f} s")
            else:
                return None
        return ", ".join(reasons) or "there is nobody else"

    def _known(self, parties: Iterable[str]) -> list[str]:
        listed = list(dict.fromkeys(parties))
        unknown = [party for party in listed if party not in self.nodes]
        if unknown or not listed:
            raise ConfigError(
                f"{', '.join(unknown) or 'nobody'} is not a party of task {self.task}: {', '.join(self.nodes)}",
                party=self.me,
                next_step="name the parties in mock_context(id=…, nodes=[…])",
            )
        return listed


def _contract(envelope: Envelope) -> Contract:
    try:
        return msgspec.json.decode(envelope.payload, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise MalformedPayload(
            f"{envelope.sender} sent a message that cannot be read: {error}", party=envelope.sender
        ) from error
