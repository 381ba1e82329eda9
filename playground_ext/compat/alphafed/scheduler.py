"""`alphafed.scheduler`: the base of users' own algorithms, data checks, and errors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from playground_ext.compat.alphafed.mock import mock_context
from playground_ext.compat.current import leave
from playground_ext.compat.dialect import Dialect, Voice
from playground_ext.compat.hooks import TaskComplete, TaskFailed
from playground_ext.compat.log import logger
from playground_ext.compat.mapped_paths import missing_paths
from playground_ext.errors import ConfigError
from playground_ext.party.context import current, from_environment
from playground_ext.scheduler.data_checker import DataChecker as NativeChecker
from playground_ext.scheduler.data_checker import Verification
from playground_ext.scheduler.metric_sets import register_metrics

__all__ = ["ConfigError", "DataChecker", "Scheduler", "TaskComplete", "TaskFailed", "register_metrics"]


class Scheduler(Voice, ABC):
    """An algorithm of the user's: write `_run`, with contractors and data channels made for `task_id`.

    It needs no roles: whoever comes first begins, and each party leaves when its `_run` and `mock_context` end.
    """

    id: str
    task_id: str
    is_initiator: bool

    @abstractmethod
    def _run(self, id: str, task_id: str, is_initiator: bool = False, recover: bool = False) -> Any:
        """This party's part in the task, to the end."""

    def launch_task(self, task_id: str | None = None) -> Any:
        """`_run` as the party that the context or the environment (PLAYGROUND_PARTY, _NODES) says.

        Raises:
            ConfigError: nobody has said who this is.
        """
        context = current() or from_environment(task_id)
        party = context.party(task_id=task_id)
        is_initiator = context.role == "initiator" if context.role in ("initiator", "collaborator") else None
        if is_initiator is None:
            is_initiator = party.is_initiator
        error: BaseException | None = None
        with mock_context(id=party.id, nodes=party.nodes, task_id=party.task):
            try:
                return self._run(id=party.id, task_id=party.task, is_initiator=is_initiator)
            except TaskComplete:
                logger.info("task %s is complete", party.task)
                return None
            except BaseException as failure:
                error = failure
                raise
            finally:
                leave(party.id, error)

    def submit(self, task_id: str | None = None) -> Any:
        """0.4.9's name of `launch_task`."""
        return self.launch_task(task_id)


Scheduler.register(Dialect)  # type: ignore[type-abstract]  # FedAvgScheduler and the others are AlphaMed schedulers too


class DataChecker(NativeChecker):
    """`verify_data` answers True or False, or (True, "") or (False, "the reason"). A file that it misses is named."""

    def verify(self) -> Verification:
        """`verify_data` as a `Verification`."""
        with missing_paths() as missing:
            result = super().verify()
        if result.passed or result.reason or not missing:
            return result
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        return Verification(
            result.checker,
            False,
            f"{missing[0]}{more} cannot be found; PLAYGROUND_DATASETS={_top(missing[0])}=FOLDER has it read elsewhere",
        )

    def submit(self) -> bool:
        """0.4.9's name of `execute_verification`."""
        return self.execute_verification()


def _top(path: str) -> str:
    """Two levels of an absolute path: /data/MNIST of /data/MNIST/raw/x."""
    return "/".join(path.split("/")[:3])
