"""What all AlphaMed schedulers have besides their algorithm: names, arguments and attributes of both generations."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import Any, ClassVar

from playground_ext.compat.current import borrowed, leave
from playground_ext.compat.hooks import check_private_names, rename, wrap
from playground_ext.compat.log import logger
from playground_ext.compat.talk import KINDS, Talk
from playground_ext.errors import ConfigError
from playground_ext.party.identity import Party
from playground_ext.scheduler.base import Scheduler
from playground_ext.scheduler.result import TaskResult

__all__ = ["Dialect", "Voice", "timeouts"]


class Voice:
    """Status and log lines, in AlphaMed's names."""

    status: str = "init"

    def push_log(self, message: str) -> None:
        """A line in everybody's log."""
        logger.info("%s", message)

    def _switch_status(self, _status: str) -> None:
        self.status = _status
        logger.debug("status: %s", _status)


class Dialect(Voice, Scheduler):
    """Goes before a native scheduler among the bases of a class."""

    kinds: ClassVar[tuple[str, ...]] = KINDS

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if cls.__module__.startswith("playground_ext."):
            return
        rename(cls, Dialect)
        check_private_names(cls)
        wrap(cls, Dialect)

    def _speak(self, *, name: str | None, max_rounds: int) -> None:
        """Remember what the native scheduler does not know; called once it is constructed."""
        self._name = name
        self._complete = False  # the user's class has said so
        self._without_rounds = not max_rounds
        if self._without_rounds and type(self).is_task_finished is not Dialect.is_task_finished:
            self.max_rounds = sys.maxsize  # AlphaMed's way to go on until the class says that it is enough

    # -- lifecycle --------------------------------------------------------------------------------------------------

    def submit(self, task_id: str | None = None) -> TaskResult:
        """0.4.9's name of `launch_task`."""
        return self.launch_task(task_id)

    def _take_part(self, party: Party, role: str | None) -> TaskResult:
        leave(party.id)
        self._complete = False
        with ExitStack() as self._contracts:
            return super()._take_part(party, role)

    def _prepare(self) -> None:
        if self._session is not None:
            self._contracts.enter_context(borrowed(self.task_id, self._talk()))
            if self._without_rounds and self.is_initiator and self.max_rounds < sys.maxsize:
                raise ConfigError(
                    "max_rounds=0 is no number of rounds",
                    next_step="give the initiator's scheduler max_rounds, or write is_task_finished()",
                )
        super()._prepare()  # type: ignore[safe-super]

    def _talk(self) -> Talk:
        """Contracts and data streams in this scheduler's own run."""
        session = self.session
        return Talk(
            session.mailbox,
            session.watch,
            me=self.id,
            task=self.task_id,
            nodes=self.nodes,
            patience=session.check_in_timeout,
            acknowledge=False,
        )

    def is_task_finished(self) -> bool:
        """By default true when `max_rounds` is reached."""
        return self._complete or self._is_reach_max_rounds()

    def _is_reach_max_rounds(self) -> bool:
        return self._without_rounds or self.current_round >= self.max_rounds

    # -- attributes -------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The task's name: by default its id."""
        return self._name or (self.task_id if self._session is not None else type(self).__name__)

    @name.setter
    def name(self, value: str | None) -> None:
        self._name = value

    @property
    def contractor(self) -> Any:
        """A TaskMessageContractor of this task, in this scheduler's run."""
        from playground_ext.compat.alphafed.contractor import TaskMessageContractor

        return TaskMessageContractor(self.task_id)

    @property
    def data_channel(self) -> Any:
        """A SharedFileDataChannel of this task, in this scheduler's run."""
        from playground_ext.compat.alphafed.data_channel import SharedFileDataChannel

        return SharedFileDataChannel(self.contractor)

    @property
    def _result_dir(self) -> str:
        return str(self.session.folder.results)

    @property
    def _log_dir(self) -> str:
        return self._result_dir  # TensorBoard's files lie there


def timeouts(schedule_timeout: float, data_channel_timeout: tuple[float, float] | None) -> float:
    """Seconds for messages to arrive: AlphaMed counts those for data, (to connect, to transfer), apart.

    Raises:
        ConfigError: not two numbers.
    """
    if data_channel_timeout is None or not schedule_timeout:
        return schedule_timeout
    try:
        connect, transfer = data_channel_timeout
        return max(schedule_timeout, connect, transfer)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"data_channel_timeout={data_channel_timeout!r} is not two numbers of seconds",
            next_step="write data_channel_timeout=(30, 60)",
        ) from error
