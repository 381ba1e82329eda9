"""TaskMessageContractor: messages between the parties of a task, on the Playground's streams."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from playground_ext.bus.keys import check_name
from playground_ext.compat.alphafed.contractor.common import (
    ContractEvent,
    ContractEventFactory,
    ContractException,
    Contractor,
)
from playground_ext.compat.alphafed.contractor.events import TaskMessageEventFactory
from playground_ext.compat.current import talk_of, task_nodes
from playground_ext.compat.log import logger
from playground_ext.compat.talk import Contract, Talk
from playground_ext.errors import ConfigError, StorageError
from playground_ext.party.folders import get_result_dir, get_share_dir

__all__ = ["AutoTaskMessageContractor", "TaskContractor", "TaskMessageContractor"]


class TaskMessageContractor(Contractor):
    """Sends and receives messages about one task; joins its run when it is first used.

    Subclass it, set `_event_factory` in `__init__`, and send with `_new_contract`.
    """

    def __init__(self, task_id: str) -> None:
        self.task_id = check_name("task id", task_id)
        self._event_factory: type[ContractEventFactory] = TaskMessageEventFactory

    @property
    def talk(self) -> Talk:
        """The run in which this contractor speaks, joined now if it was not yet."""
        return talk_of(self.task_id)

    def _new_contract(self, targets: Sequence[str], event: ContractEvent, message_title: str = "task_inside") -> str:
        """Send a message to these parties, `EVERYONE` for all (the sender too). Returns its id.

        Raises:
            ConfigError: a target that is no party of the task, or an event that is not JSON.
        """
        if not isinstance(event, ContractEvent):
            raise ConfigError(f"{event!r} is no ContractEvent", next_step="subclass ContractEvent as a dataclass")
        event.validate()
        listed = [targets] if isinstance(targets, str) else list(targets)
        everyone = listed == self.EVERYONE
        return self.talk.post(self.talk.nodes if everyone else listed, event.event_to_contract())

    def contract_events(self, timeout: float = 0) -> Iterator[ContractEvent]:
        """Messages as they come. Ends after `timeout` seconds in all; 0: goes on for as long as somebody can speak.

        A message that cannot be read is logged as an error and left out.

        Raises:
            PartyMissing: without a timeout, when all others have left or never came.
            PartyFailed, PartyDied: a party is in trouble.
        """
        talk = self.talk  # joining takes none of the caller's time
        deadline = time.monotonic() + timeout if timeout > 0 else float("inf")
        while (found := talk.next_contract(deadline)) is not None:
            if (event := self.read(*found)) is not None:
                yield event

    def read(self, sender: str, contract: Contract) -> ContractEvent | None:
        """The event of a message; None, with an error in the log, if it makes no sense."""
        try:
            return self._event_factory.contract_to_event(contract)
        except ContractException as error:
            logger.error("%s sent a message that cannot be read: %s", sender, error)
            return None

    def query_nodes(self) -> list[str]:
        """All parties of the task."""
        return task_nodes(self.task_id)

    # -- files and progress -----------------------------------------------------------------------------------------

    def upload_file(self, fp: str | IO[bytes], persistent: bool = False, upload_name: str | None = None) -> str:
        """Put a file where all parties on this machine can read it; returns its path.

        Raises:
            StorageError: it cannot be read or written.
        """
        name = upload_name or (Path(fp).name if isinstance(fp, str) else f"upload-{time.time_ns()}")
        target = Path(get_result_dir(self.task_id) if persistent else get_share_dir(self.task_id)) / Path(name).name
        try:
            if isinstance(fp, str):
                if Path(fp).resolve() != target.resolve():
                    shutil.copyfile(fp, target)
            else:
                with target.open("wb") as file:
                    shutil.copyfileobj(fp, file)
        except OSError as error:
            raise StorageError(f"{name} cannot be kept: {error}", next_step="check the file, and the disk") from error
        return str(target)

    def upload_metric_report(self, receivers: Sequence[str], report_file: str | None = None) -> None:
        """Keep the report with the results."""
        self._keep("report", report_file)

    def upload_model(self, receivers: Sequence[str], model_file: str | None = None) -> None:
        """Keep the model with the results."""
        self._keep("model", model_file)

    def upload_task_achivement(
        self, aggregator: str, report_file: str | None = None, model_file: str | None = None
    ) -> None:
        """Keep report and model with the results."""
        self._keep("report", report_file)
        self._keep("model", model_file)

    def notify_task_completion(self, result: bool) -> None:
        """There is no task manager: this is a line in the log."""
        if result:
            logger.info("task %s is complete", self.task_id)
        else:
            logger.error("task %s has failed", self.task_id)

    def report_progress(self, percent: int) -> None:
        """Show everybody how far this party is."""
        self.talk.say(f"{percent} % done")
        logger.info("%d %% done", percent)

    def _keep(self, what: str, file: str | None) -> None:
        if file:
            logger.info("the %s is %s", what, self.upload_file(file, persistent=True))


class AutoTaskMessageContractor(TaskMessageContractor):
    """The same; AutoML, for which AlphaMed has it, is not there."""


class TaskContractor:
    """What AlphaMed's schedulers ask about a task."""

    def __init__(self, task_id: str) -> None:
        self._messages: Any = TaskMessageContractor(task_id)

    def query_nodes(self) -> list[str]:
        """All parties of the task."""
        nodes: list[str] = self._messages.query_nodes()
        return nodes

    def report_progress(self, percent: int) -> None:
        """Show everybody how far this party is."""
        self._messages.report_progress(percent)
