"""Data between the parties: bytes of any size, on streams of their own."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from playground_ext.compat.alphafed.contractor.common import ContractEvent
from playground_ext.compat.alphafed.contractor.task_message import TaskMessageContractor
from playground_ext.compat.log import logger
from playground_ext.compat.talk import Contract, Talk
from playground_ext.errors import ConfigError, PlaygroundError, ReceiveTimeout

__all__ = ["DataChannel", "SendingError"]

Handler = Callable[[ContractEvent], None]


class SendingError(PlaygroundError):
    """Data that could not be sent, or did not come."""


class _NothingCame(SendingError, ReceiveTimeout):
    """A source sent nothing before the deadline."""


class DataChannel:
    """Sends and receives bytes in the run of a contractor. Every way that AlphaMed has is this one here.

    Sending does not wait for the receiver to ask, so two parties may send to each other at once; it waits until the
    receiver is there. What a party sends to another arrives in that order.
    """

    def __init__(self, contractor: TaskMessageContractor) -> None:
        self.contractor = contractor

    def send_stream(
        self,
        source: str,
        target: str,
        data_stream: bytes,
        connection_timeout: float = 30,
        timeout: float = 60,
        **kwargs: Any,
    ) -> str:
        """Send to one party; returns its id.

        `connection_timeout`: seconds for the receiver to be there. `timeout`: seconds for the data; 0: unlimited.

        Raises:
            ConfigError: nothing to send, or ids that are not those of the task.
            SendingError: the receiver is not there, or has left.
        """
        talk = self._talk(source, "source")
        data = _checked(data_stream)
        if problem := talk.wait_for(_name(target), connection_timeout):
            raise SendingError(
                f"{len(data):,} bytes cannot be sent to {target}: {problem}",
                party=talk.me,
                task=talk.task,
                next_step=f"start {target}'s notebook, or give it more time with connection_timeout",
            )
        talk.send_data([target], data, timeout)
        return target

    def batch_send_stream(
        self,
        source: str,
        target: Sequence[str],
        data_stream: bytes,
        connection_timeout: float = 30,
        timeout: float = 60,
        ensure_all_succ: bool = False,
        **kwargs: Any,
    ) -> list[str]:
        """Send to several parties, stored once; returns the ids of those that were there. Raises like `send_stream`.

        `ensure_all_succ`: one that is not there is an error, instead of a warning in the log.
        """
        talk = self._talk(source, "source")
        data = _checked(data_stream)
        deadline = time.monotonic() + connection_timeout
        problems = {}
        for party in map(_name, target):
            left = max(0.001, deadline - time.monotonic()) if connection_timeout else 0.0
            if problem := talk.wait_for(party, left):
                problems[party] = problem
        if problems and ensure_all_succ:
            raise SendingError(
                f"{len(data):,} bytes cannot be sent to {', '.join(problems)}: {'; '.join(problems.values())}",
                party=talk.me,
                task=talk.task,
                next_step="start their notebooks, or give them more time with connection_timeout",
            )
        for problem in problems.values():
            logger.warning("data is not sent: %s", problem)
        reached = [party for party in target if party not in problems]
        if reached:
            talk.send_data(reached, data, timeout)
        return reached

    def receive_stream(
        self,
        receiver: str,
        source: str,
        complementary_handler: Handler | None = None,
        timeout: float = 0,
        **kwargs: Any,
    ) -> tuple[str, bytes]:
        """The next data of one party, as (source, data).

        `complementary_handler` is called with the messages that come meanwhile; without it they wait for
        `contract_events`. `timeout`: seconds; 0: for as long as the source can speak.

        Raises:
            SendingError (also a ReceiveTimeout): nothing came in time.
            PartyMissing: the source has left or never came.
            PartyFailed, PartyDied: a party is in trouble.
        """
        found = self.batch_receive_stream(receiver, [source], complementary_handler, timeout, ensure_all_succ=True)
        return source, found[source]

    def batch_receive_stream(
        self,
        receiver: str,
        source_list: Sequence[str],
        complementary_handler: Handler | None = None,
        timeout: float = 0,
        ensure_all_succ: bool = False,
        **kwargs: Any,
    ) -> dict[str, bytes]:
        """The next data of each of several parties, in the order of `source_list`. Raises like `receive_stream`.

        `ensure_all_succ`: a party whose data does not come in time is an error, instead of a warning in the log.
        """
        talk = self._talk(receiver, "receiver")
        sources = [_name(party) for party in source_list]

        def handle(sender: str, contract: Contract) -> None:
            event = self.contractor.read(sender, contract)
            if event is not None and complementary_handler is not None:
                complementary_handler(event)

        deadline = time.monotonic() + timeout if timeout > 0 else float("inf")
        found = talk.receive_data(sources, deadline, handle if complementary_handler is not None else None)
        missing = [party for party in sources if party not in found]
        if missing and ensure_all_succ:
            raise _NothingCame(
                f"{', '.join(missing)} sent no data within {timeout:g} s ({talk.last_words(missing)})",
                party=talk.me,
                task=talk.task,
                next_step=f"look at the notebook of {missing[0]}; if it is only slow, give a larger timeout",
            )
        if missing:
            logger.warning("no data of %s (%s)", ", ".join(missing), talk.last_words(missing))
        return found

    def _talk(self, me: str, what: str) -> Talk:
        talk = self.contractor.talk
        if me != talk.me:
            raise ConfigError(
                f"{what}={me!r}, but this notebook is {talk.me}", next_step=f"give this party's own id as {what}"
            )
        return talk


def _name(party: object) -> str:
    if not isinstance(party, str):
        raise ConfigError(f"{party!r} is no party id", next_step="give the ids as texts, several in a list to batch_…")
    return party


def _checked(data: object) -> bytes:
    if not isinstance(data, bytes | bytearray | memoryview) or not len(data):
        raise ConfigError(
            f"data_stream is {type(data).__name__ if data else 'empty'}", next_step="give the data as bytes"
        )
    return bytes(data)
