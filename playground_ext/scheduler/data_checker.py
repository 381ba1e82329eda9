"""DataChecker: is a party's data there and usable? Asked before anybody trains."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from playground_ext.errors import CheckInError, ConfigError

__all__ = ["DataChecker", "Verification", "compare_verifications", "verification"]

_ANY_TASK = ""

logger = logging.getLogger("playground")


@dataclass(frozen=True)
class Verification:
    """How a data check ended; everybody gets to see it."""

    checker: str
    passed: bool
    reason: str = ""

    def __str__(self) -> str:
        outcome = "passed" if self.passed else "failed"
        return f"{self.checker} {outcome}{f': {self.reason}' if self.reason else ''}"


_executed: dict[str, Verification] = {}  # task id -> the latest check that this process ran by hand


class DataChecker(ABC):
    """Subclass it and write `verify_data`.

    Then either call `execute_verification()` in a cell before the scheduler runs, or give the checker to the scheduler
    (`scheduler.data_checker = …`), which runs it at check-in. Either way all parties see every result, and a check that
    failed stops the task before any training.
    """

    def __init__(self, task_id: str | None = None) -> None:
        self.task_id = task_id

    @abstractmethod
    def verify_data(self) -> bool | tuple[bool, str]:
        """Whether the data is fit for the task; with a reason if you like. Do not put data into the reason."""

    def execute_verification(self) -> bool:
        """Run the check now, keep its result for the check-in of this task, and return whether it passed.

        An exception of `verify_data` counts as a failure with that reason.

        Raises:
            ConfigError: `verify_data` returned something else.
        """
        result = self.verify()
        _executed[self.task_id or _ANY_TASK] = result
        logger.log(logging.INFO if result.passed else logging.ERROR, "data check: %s", result)
        return result.passed

    def verify(self) -> Verification:
        """`verify_data` as a `Verification`."""
        name = type(self).__name__
        try:
            answer = self.verify_data()
        except Exception as error:
            logger.exception("%s could not read the data", name)
            return Verification(name, False, f"{type(error).__name__}: {error}")
        passed, reason = answer if isinstance(answer, tuple) and len(answer) == 2 else (answer, "")
        if not isinstance(passed, bool) or not isinstance(reason, str):
            raise ConfigError(
                f"{name}.verify_data() returned {answer!r}", next_step="return True, False, or (False, 'the reason')"
            )
        return Verification(name, passed, reason)


def verification(checker: DataChecker | None, task: str) -> dict[str, Any]:
    """What a party says about its data at check-in: its scheduler's check, else the one that was executed by hand."""
    result = checker.verify() if checker is not None else _executed.get(task, _executed.get(_ANY_TASK))
    if result is None:
        return {}
    logger.log(logging.INFO if result.passed else logging.ERROR, "data check: %s", result)
    return {"data_check": asdict(result)}


def compare_verifications(check_ins: Mapping[str, Mapping[str, Any]]) -> None:
    """At the initiator: stop before training if a party's check failed.

    Raises:
        CheckInError: naming every party's result.
    """
    results = {party: body.get("data_check") for party, body in check_ins.items()}
    failed = [party for party, result in results.items() if result and not result.get("passed")]
    if not failed:
        return
    parts = []
    for party, result in results.items():
        outcome = "made no check" if not result else "passed" if result.get("passed") else "failed"
        reason = f" ({result['reason']})" if result and result.get("reason") else ""
        parts.append(f"{party} {outcome}{reason}")
    raise CheckInError(
        f"the data of {', '.join(failed)} did not pass the check: {'; '.join(parts)}",
        next_step=f"mend the data of {failed[0]}, or the checker in its notebook, then run all parties again",
    )
